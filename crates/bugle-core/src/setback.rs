//! The memory of failed attempts, which outlives an emitter's courier and process.
//!
//! A lane is disposable, but three things that it knows were promised: how often an event was
//! tried, how long the emitter backs off, and what a receiver asked for with `Retry-After`. So each
//! failed attempt is a [`Setback`], which a [`Reader`](crate::Reader) keeps with the emitter's
//! place, and all that is kept are its [`Setbacks`], which the next lane begins with. A delivery
//! that succeeds at once leaves nothing to remember.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Sequence;

/// The number of times that a delivery was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// The attempts that count, all of them failed.
    pub attempts: u32,
    /// The number of the last ones, in a row, that made the emitter crash.
    pub crashes: u32,
}

/// A failed attempt, with the state in which it leaves its emitter. All delays are from the moment
/// at which it failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setback {
    /// The place of the event that could not be delivered.
    pub sequence: Sequence,
    /// The number of times that it was tried by now.
    pub tries: Tries,
    /// The delay before it may be tried again.
    pub delay: Duration,
    /// The emitter's failures in a row.
    pub failures: u32,
    /// The time that the emitter backs off, unless a success shows that the receiver is well.
    pub backoff: Duration,
    /// The time that the receiver asked to be left alone.
    pub asked: Duration,
}

/// The setbacks of an emitter that still matter.
///
/// They are the same wherever they are kept: [`Setbacks::take`] enters a setback,
/// [`Setbacks::delivered`] and [`Setbacks::given_up`] enter that an event was settled since. Waits
/// are kept as the time of day at which they began and their length. So none is longer than was
/// asked for, whichever way the clock is set meanwhile: see [`Setbacks::seen_at`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setbacks {
    /// The number of setbacks there were in all. It tells an older one from a newer.
    count: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    failures: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    backoff: Wait,
    #[serde(default, skip_serializing_if = "is_default")]
    asked: Wait,
    /// The events that were tried and are not settled.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tried: BTreeMap<Sequence, Unsettled>,
}

/// An event that was tried and is not settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Unsettled {
    #[serde(flatten)]
    tries: Tries,
    wait: Wait,
}

/// A wait: the time at which it began, and its length, both in nanoseconds; the first since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Wait(i64, u64);

impl Wait {
    fn new(began: Timestamp, length: Duration) -> Self {
        if length.is_zero() {
            return Self::default();
        }
        Self(nanoseconds(began), u64::try_from(length.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The rest of the wait. A clock that says that it has not begun yet was set back: then it
    /// begins now.
    fn left(self, now: Timestamp) -> Duration {
        let gone = nanoseconds(now).saturating_sub(self.0);
        Duration::from_nanos(self.1.saturating_sub(u64::try_from(gone).unwrap_or(0)))
    }

    /// Has it begin now, if the clock says that it begins later. Answers whether that was so.
    fn begin_by(&mut self, now: Timestamp) -> bool {
        let later = self.1 > 0 && self.0 > nanoseconds(now);
        if later {
            self.0 = nanoseconds(now);
        }
        later
    }
}

impl Setbacks {
    /// Enters a failed attempt that ended at this time of day.
    pub fn take(&mut self, setback: &Setback, at: Timestamp) {
        self.count += 1;
        self.failures = setback.failures;
        self.backoff = Wait::new(at, setback.backoff);
        self.asked = Wait::new(at, setback.asked);
        let tried = Unsettled { tries: setback.tries, wait: Wait::new(at, setback.delay) };
        if setback.tries == Tries::default() {
            self.tried.remove(&setback.sequence);
        } else {
            self.tried.insert(setback.sequence, tried);
        }
    }

    /// Enters a setback that was written down as number `count`, unless it is entered already.
    /// Answers whether it was new.
    pub fn take_nth(&mut self, count: u64, setback: &Setback, at: Timestamp) -> bool {
        let new = count > self.count;
        if new {
            self.count = count - 1;
            self.take(setback, at);
        }
        new
    }

    /// Notes that an event was delivered: the receiver is well.
    pub fn delivered(&mut self, sequence: Sequence) {
        self.failures = 0;
        self.backoff = Wait::default();
        self.tried.remove(&sequence);
    }

    /// Notes that an event was settled otherwise, which tells nothing of the receiver.
    pub fn given_up(&mut self, sequence: Sequence) {
        self.tried.remove(&sequence);
    }

    /// Notes that everything up to here is settled.
    pub fn settled_through(&mut self, cursor: Sequence) {
        while let Some(first) = self.tried.first_entry()
            && *first.key() <= cursor
        {
            first.remove();
        }
    }

    /// Forgets the waits, and nothing else.
    pub fn forgive_waits(&mut self) {
        self.failures = 0;
        self.backoff = Wait::default();
        self.asked = Wait::default();
        for tried in self.tried.values_mut() {
            tried.wait = Wait::default();
        }
    }

    /// Forgets everything.
    pub fn forgive_all(&mut self) {
        *self = Self { count: self.count, ..Self::default() };
    }

    /// Has no wait begin later than now: where the clock was set back, each is waited for once more
    /// in full, and no longer. Answers whether there was such a one.
    pub fn seen_at(&mut self, now: Timestamp) -> bool {
        let waits = [&mut self.backoff, &mut self.asked].into_iter();
        let waits = waits.chain(self.tried.values_mut().map(|tried| &mut tried.wait));
        waits.filter_map(|wait| wait.begin_by(now).then_some(())).count() > 0
    }

    /// The number of setbacks there were in all, those that are forgotten included.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The emitter's failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The time that the emitter still backs off.
    pub fn backoff(&self, now: Timestamp) -> Duration {
        self.backoff.left(now)
    }

    /// The time that the receiver still wants to be left alone.
    pub fn asked(&self, now: Timestamp) -> Duration {
        self.asked.left(now)
    }

    /// The events that were tried and are not settled, each with its tries and the rest of its
    /// wait, in the order of the journal.
    pub fn tried(&self, now: Timestamp) -> impl Iterator<Item = (Sequence, Tries, Duration)> {
        self.tried.iter().map(move |(sequence, it)| (*sequence, it.tries, it.wait.left(now)))
    }

    /// True when there is nothing to remember.
    pub fn is_clear(&self) -> bool {
        *self == Self { count: self.count, ..Self::default() }
    }
}

/// Counts nanoseconds since 1970: until the year 2262.
fn nanoseconds(at: Timestamp) -> i64 {
    let since = at.as_nanosecond();
    i64::try_from(since).unwrap_or(if since < 0 { i64::MIN } else { i64::MAX })
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn setback(sequence: u64, attempts: u32) -> Setback {
        Setback {
            sequence: Sequence(sequence),
            tries: Tries { attempts, crashes: 0 },
            delay: Duration::from_secs(20),
            failures: attempts,
            backoff: Duration::from_secs(8),
            asked: Duration::from_secs(20),
        }
    }

    fn waits(setbacks: &Setbacks, now: Timestamp) -> [u64; 3] {
        let own = setbacks.tried(now).next().map_or(Duration::ZERO, |(_, _, delay)| delay);
        [setbacks.backoff(now), setbacks.asked(now), own].map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_never_longer_than_was_asked_for() {
        let years = 10 * 365 * 24 * HOUR;
        let table = [
            ("at once", 0, [8, 20, 20]),
            ("in the middle", 5, [3, 15, 15]),
            ("the backoff is over", 9, [0, 11, 11]),
            ("all is over", 20, [0, 0, 0]),
            ("set forward by an hour", HOUR, [0, 0, 0]),
            ("set forward by years", years, [0, 0, 0]),
            ("set back by a second", -1, [8, 20, 20]),
            ("set back by an hour", -HOUR, [8, 20, 20]),
            ("set back by years", -years, [8, 20, 20]),
        ];
        for (what, second, expected) in table {
            let mut setbacks = Setbacks::default();
            setbacks.take(&setback(7, 2), at(0));
            assert_eq!(waits(&setbacks, at(second)), expected, "{what}");
            // Seen at that time, it goes on from there.
            assert_eq!(setbacks.seen_at(at(second)), second < 0, "{what}");
            assert_eq!(waits(&setbacks, at(second)), expected, "{what}");
            let later = expected.map(|wait| wait.saturating_sub(6));
            assert_eq!(waits(&setbacks, at(second + 6)), later, "{what}, six seconds later");
            assert_eq!(waits(&setbacks, at(second + 20)), [0; 3], "{what}, at the end");
        }
    }

    #[test]
    fn what_is_settled_is_forgotten() {
        let mut setbacks = Setbacks::default();
        assert!(setbacks.is_clear());
        setbacks.take(&setback(7, 1), at(0));
        setbacks.take(&setback(9, 2), at(1));
        let tried = |setbacks: &Setbacks| {
            setbacks.tried(at(1)).map(|(at, tries, _)| (at.0, tries.attempts)).collect::<Vec<_>>()
        };
        assert_eq!((tried(&setbacks), setbacks.failures()), (vec![(7, 1), (9, 2)], 2));
        setbacks.given_up(Sequence(9));
        assert_eq!((tried(&setbacks), setbacks.failures()), (vec![(7, 1)], 2));
        setbacks.delivered(Sequence(8));
        assert_eq!((tried(&setbacks), setbacks.failures()), (vec![(7, 1)], 0));
        assert_eq!(waits(&setbacks, at(1)), [0, 20, 19], "what was asked for holds on");
        setbacks.settled_through(Sequence(6));
        assert_eq!(tried(&setbacks), [(7, 1)]);
        setbacks.forgive_waits();
        assert_eq!((tried(&setbacks), waits(&setbacks, at(1))), (vec![(7, 1)], [0; 3]));
        setbacks.settled_through(Sequence(7));
        assert!(setbacks.is_clear());
        setbacks.take(&setback(10, 1), at(2));
        setbacks.forgive_all();
        assert_eq!((setbacks.is_clear(), setbacks.count()), (true, 3));
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let mut setbacks = Setbacks::default();
        for clear in [true, false] {
            let text = serde_json::to_string(&setbacks).unwrap();
            assert_eq!(serde_json::from_str::<Setbacks>(&text).unwrap(), setbacks, "{text}");
            assert_eq!(setbacks.is_clear(), clear);
            setbacks.take(&setback(u64::MAX, 3), Timestamp::MAX);
            setbacks.take(&setback(3, 1), at(0));
            setbacks.take(&Setback { asked: Duration::MAX, ..setback(4, 1) }, Timestamp::MIN);
        }
        for bad in ["", "[]", "{}", "{\"count\":-1}", "{\"tried\":{\"x\":{}}}", "{\"other\":1}"] {
            assert!(serde_json::from_str::<Setbacks>(bad).is_err(), "{bad}");
        }
    }
}
