//! When to try again.

use std::time::Duration;

use crate::ConfigError;

/// When and how often to try again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    max_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3 }
    }
}

impl RetryPolicy {
    /// The long schedule.
    pub fn patient() -> Self {
        Self { max_attempts: 8 }
    }

    /// Sets how many attempts.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How many attempts.
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The delay after this many failures in a row.
    pub fn delay(&self, failures: u32, seed: u64) -> Duration {
        let _ = seed;
        Duration::from_secs(u64::from(failures))
    }

    /// The least and the most that `delay` answers for this many failures in a row.
    pub fn bounds(&self, failures: u32) -> std::ops::RangeInclusive<Duration> {
        self.delay(failures, 0)..=self.delay(failures, 0)
    }

    /// Checks it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.max_attempts == 0 {
            return Err(ConfigError::new("max_attempts", "an event gets at least one attempt"));
        }
        Ok(())
    }
}
