//! The answer that a webhook gets.

use http::StatusCode;

use super::args::MisbehaveArgs;
use crate::server::Answer;

/// Decides by counting, so that a run can be repeated.
pub(super) struct Behaviour {
    statuses: Vec<StatusCode>,
    fail_rate: f64,
    failure: Failure,
    /// The number of webhooks that came.
    seen: u64,
    /// The number of webhooks that were answered with one of the statuses.
    answered: usize,
}

#[derive(Clone, Copy)]
enum Failure {
    Status,
    Hang,
    Reset,
}

impl Behaviour {
    pub(super) fn new(args: &MisbehaveArgs) -> Self {
        let failure = match (args.hang, args.reset) {
            (true, _) => Failure::Hang,
            (_, true) => Failure::Reset,
            _ => Failure::Status,
        };
        let statuses = match args.status.as_slice() {
            [] => vec![StatusCode::NO_CONTENT],
            statuses => statuses.to_vec(),
        };
        let always = if matches!(failure, Failure::Status) { 0.0 } else { 1.0 };
        let fail_rate = args.fail_rate.unwrap_or(always);
        Self { statuses, fail_rate, failure, seen: 0, answered: 0 }
    }

    /// The answer to the next webhook.
    pub(super) fn next(&mut self) -> Answer {
        // Failures are spread evenly: one whenever their due number has grown by one.
        let due = |seen: u64| (seen as f64 * self.fail_rate).round() as u64;
        let fails = due(self.seen + 1) > due(self.seen);
        self.seen += 1;
        if fails {
            return match self.failure {
                Failure::Status => Answer::Status(StatusCode::INTERNAL_SERVER_ERROR),
                Failure::Hang => Answer::Hang,
                Failure::Reset => Answer::Cut,
            };
        }
        let status = self.statuses.get(self.answered % self.statuses.len());
        self.answered += 1;
        Answer::Status(status.copied().unwrap_or(StatusCode::NO_CONTENT))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answers(args: MisbehaveArgs, times: usize) -> Vec<u16> {
        let mut behaviour = Behaviour::new(&args);
        let mut next = || match behaviour.next() {
            Answer::Status(status) => status.as_u16(),
            Answer::Hang => 0,
            Answer::Cut => 1,
        };
        (0..times).map(|_| next()).collect()
    }

    fn args() -> MisbehaveArgs {
        MisbehaveArgs {
            status: Vec::new(),
            fail_rate: None,
            delay: Duration::ZERO,
            hang: false,
            reset: false,
        }
    }

    #[test]
    fn it_misbehaves_as_told() {
        let status = |codes: &[u16]| {
            codes.iter().map(|code| StatusCode::from_u16(*code).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(answers(args(), 2), [204, 204]);
        let cycle = MisbehaveArgs { status: status(&[500, 200]), ..args() };
        assert_eq!(answers(cycle, 3), [500, 200, 500]);
        let third = MisbehaveArgs { fail_rate: Some(0.333), ..args() };
        assert_eq!(answers(third, 6), [204, 500, 204, 204, 500, 204]);
        assert_eq!(answers(MisbehaveArgs { hang: true, ..args() }, 2), [0, 0]);
        let half = MisbehaveArgs { reset: true, fail_rate: Some(0.5), ..args() };
        assert_eq!(answers(half, 4), [1, 204, 1, 204]);
    }
}
