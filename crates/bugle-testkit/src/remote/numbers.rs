//! Sequence numbers with gaps: those of the store here, spread.

use std::sync::Arc;

use bugle_core::{
    DeadLetter, Entry, Expired, LoggedEvent, Replay, Replayed, Sequence, Setback, Setbacks, Tries,
};
use jiff::Timestamp;

/// Eight numbers for each, of which one is an event's.
const BITS: u32 = 3;
const OFFSET: u64 = 5;

/// The number that is told for one of the store's.
pub(super) fn outer(inner: Sequence) -> Sequence {
    match inner {
        Sequence::START => inner,
        Sequence(inner) => Sequence((inner << BITS) + OFFSET),
    }
}

/// The highest of the store's numbers that is told as this one or a lower one.
pub(super) fn inner(outer: Sequence) -> Sequence {
    Sequence(outer.0.checked_sub(OFFSET).map_or(0, |it| it >> BITS))
}

/// The store's number that is told as this one; none for what is in a gap.
pub(super) fn exactly(told: Sequence) -> Option<Sequence> {
    let inner = inner(told);
    (outer(inner) == told).then_some(inner)
}

pub(super) fn entry_out(mut entry: Entry) -> Entry {
    entry.sequence = outer(entry.sequence);
    entry
}

pub(super) fn letter_out(mut letter: DeadLetter) -> DeadLetter {
    (letter.sequence, letter.origin) = (outer(letter.sequence), outer(letter.origin));
    letter
}

pub(super) fn letter_in(mut letter: DeadLetter) -> DeadLetter {
    (letter.sequence, letter.origin) = (inner(letter.sequence), inner(letter.origin));
    letter
}

pub(super) fn row_out(mut row: LoggedEvent) -> LoggedEvent {
    row.sequence = outer(row.sequence);
    row
}

pub(super) fn replay_in(replay: &Replay) -> Replay {
    let again = Replay::new(Arc::clone(&replay.event), inner(replay.origin));
    if replay.only_dead { again.only_dead() } else { again }
}

pub(super) fn replayed_out(replayed: Replayed) -> Replayed {
    match replayed {
        Replayed::Queued(sequence) => Replayed::Queued(outer(sequence)),
        other => other,
    }
}

pub(super) fn expired_out(expired: &mut Expired) {
    expired.sequence = outer(expired.sequence);
}

/// The same setbacks, of the events under the numbers that are told.
pub(super) fn setbacks_out(kept: &Setbacks, now: Timestamp) -> Setbacks {
    let mut told = Setbacks::default();
    let of_the_emitter = Setback {
        sequence: Sequence::START,
        tries: Tries::default(),
        failures: kept.failures(),
        backoff: kept.backoff(now),
        asked: kept.asked(now),
        ..Setback::default()
    };
    for (sequence, tries, delay) in kept.tried(now) {
        told.take(&Setback { sequence: outer(sequence), tries, delay, ..of_the_emitter }, now);
    }
    told.take(&of_the_emitter, now);
    told
}
