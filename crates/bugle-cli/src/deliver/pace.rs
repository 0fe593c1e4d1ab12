//! The pace at which events settle, and the time that the rest takes at that pace.

use std::collections::VecDeque;
use std::time::Duration;

/// The time over which a pace is measured: long enough for a figure that can be read, short enough
/// to follow a receiver that slows down.
const WINDOW: Duration = Duration::from_secs(5);

/// The counts of some moments, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Pace {
    counts: VecDeque<(Duration, u64)>,
}

impl Pace {
    /// Notes that so many were settled by `now`, since the start.
    pub(super) fn measure(&mut self, now: Duration, settled: u64) {
        self.counts.push_back((now, settled));
        // The one before the window's start is where it is measured from.
        while self.counts.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW) {
            self.counts.pop_front();
        }
    }

    /// The number of events that settle in a second. Zero where nothing does, or too little is
    /// known.
    pub(super) fn per_second(&self) -> f64 {
        let (Some((start, then)), Some((end, now))) = (self.counts.front(), self.counts.back())
        else {
            return 0.0;
        };
        let seconds = end.saturating_sub(*start).as_secs_f64();
        if seconds > 0.0 { now.saturating_sub(*then) as f64 / seconds } else { 0.0 }
    }

    /// The time that so many more take; `None` where nothing settles.
    pub(super) fn time_for(&self, left: u64) -> Option<Duration> {
        let pace = self.per_second();
        let seconds = (pace > 0.0).then(|| left as f64 / pace)?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// Words a time as people do: `less than 1 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `3 days`.
pub(super) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => "less than 1 s".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_the_last_seconds_say() {
        let mut pace = Pace::default();
        assert_eq!(pace.time_for(10), None);
        let at = Duration::from_millis;
        pace.measure(at(0), 0);
        assert_eq!((pace.per_second(), pace.time_for(10)), (0.0, None));
        // A thousand a second, and then a hundred.
        for tick in 1..=100 {
            pace.measure(at(tick * 100), tick * 100);
        }
        assert_eq!((pace.per_second(), pace.time_for(500)), (1_000.0, Some(at(500))));
        for tick in 101..=160 {
            pace.measure(at(tick * 100), 10_000 + (tick - 100) * 10);
        }
        assert_eq!((pace.per_second(), pace.time_for(500)), (100.0, Some(at(5_000))));
        assert!(pace.counts.len() <= 52, "no more is kept than the window needs");
        // It stands still.
        for tick in 161..=220 {
            pace.measure(at(tick * 100), 10_600);
        }
        assert_eq!((pace.per_second(), pace.time_for(1)), (0.0, None));
    }

    #[test]
    fn times_are_said_as_people_do() {
        for (seconds, said) in [
            (0.4, "less than 1 s"),
            (42.0, "42 s"),
            (200.0, "3 min 20 s"),
            (7_500.0, "2 h 5 min"),
            (300_000.0, "3 days"),
        ] {
            assert_eq!(in_words(Duration::from_secs_f64(seconds)), said);
        }
    }
}
