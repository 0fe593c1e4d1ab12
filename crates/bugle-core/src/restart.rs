//! The restart budget: decides purely whether an emitter that crashed starts again.

use std::collections::VecDeque;
use std::time::Duration;

/// The number of restarts that an emitter gets within a time. Over budget it becomes Failed, alone:
/// OTP would take the whole supervisor down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartBudget {
    /// The number of restarts. Default 3, as OTP's.
    pub restarts: u32,
    /// The time within which they count. Default 5 s, as OTP's.
    pub within: Duration,
    /// The wait before the first restart; each further one within the budget's time waits twice as
    /// long. Default 10 ms.
    pub first_delay: Duration,
    /// The longest that a restart waits. Default 1 s.
    pub max_delay: Duration,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self {
            restarts: 3,
            within: Duration::from_secs(5),
            first_delay: Duration::from_millis(10),
            max_delay: Duration::from_secs(1),
        }
    }
}

impl RestartBudget {
    /// Makes a budget with the default delays.
    pub fn new(restarts: u32, within: Duration) -> Self {
        Self { restarts, within, ..Self::default() }
    }
}

/// The decision about a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Start it again after this delay.
    After(Duration),
    /// It is over its budget.
    GiveUp,
}

/// The crashes of one emitter that still count.
#[derive(Debug, Clone, Default)]
pub struct RestartLog {
    crashes: VecDeque<Duration>,
}

impl RestartLog {
    /// Decides about a crash at this time, measured from any fixed start.
    pub fn crashed(&mut self, budget: &RestartBudget, now: Duration) -> Restart {
        while self.crashes.front().is_some_and(|at| now.saturating_sub(*at) > budget.within) {
            self.crashes.pop_front();
        }
        let recent = u32::try_from(self.crashes.len()).unwrap_or(u32::MAX);
        if recent >= budget.restarts {
            return Restart::GiveUp;
        }
        self.crashes.push_back(now);
        let factor = 2_u32.saturating_pow(recent);
        Restart::After(budget.first_delay.saturating_mul(factor).min(budget.max_delay))
    }

    /// Forgets them all: the emitter was restarted by hand.
    pub fn clear(&mut self) {
        self.crashes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(crashes_at_ms: &[u64]) -> Vec<Option<u64>> {
        let mut log = RestartLog::default();
        let budget = RestartBudget::default();
        crashes_at_ms
            .iter()
            .map(|ms| match log.crashed(&budget, Duration::from_millis(*ms)) {
                Restart::After(delay) => u64::try_from(delay.as_millis()).ok(),
                Restart::GiveUp => None,
            })
            .collect()
    }

    #[test]
    fn three_restarts_in_five_seconds() {
        assert_eq!(run(&[0, 100, 200, 300]), [Some(10), Some(20), Some(40), None]);
        assert_eq!(run(&[0, 100, 200, 5_050]), [Some(10), Some(20), Some(40), Some(40)]);
        assert_eq!(run(&[0, 6_000, 12_000, 18_000, 24_000]), [Some(10); 5]);
    }

    #[test]
    fn no_budget_at_all() {
        let budget = RestartBudget::new(0, Duration::from_secs(5));
        assert_eq!(RestartLog::default().crashed(&budget, Duration::ZERO), Restart::GiveUp);
    }
}
