//! The port to an emitter's place in the journal.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::JournalError;
use crate::{Answer, DeadLetter, Event, Sequence, Setback, Setbacks};

/// An emitter's place in the journal: its cursor, and the entries that it has still to read.
/// Everything up to the cursor that its subscription matches is settled; above it a few entries may
/// be, when the emitter keeps a window of deliveries.
///
/// A reader has its emitter until another one is opened, by this process or elsewhere. From then on
/// it is fenced: what it is asked to do is answered with [`ErrorKind::Fenced`](crate::ErrorKind),
/// and does nothing.
pub trait Reader: Send + Sync + fmt::Debug {
    /// Reads the first unsettled entries after a place that the subscription matches, at most
    /// `limit`, in order. Empty at the end.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read, or this reader is fenced.
    fn read(&self, after: Sequence, limit: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>>;

    /// Settles an entry: it is never read again, also not after a crash. Without an await, the
    /// settling is in the journal's hands when this returns; the answer comes when it is as safe
    /// as the journal promises. After an error it still is in the journal's hands, which goes on
    /// trying by itself, unless this reader is fenced. Settling an entry twice does nothing.
    ///
    /// # Errors
    /// [`JournalError`] when it is not safe yet, or this reader is fenced.
    fn settle(
        &self,
        sequence: Sequence,
        settlement: Settlement,
    ) -> Answer<'static, Result<(), JournalError>>;

    /// Remembers a failed attempt that ended at this time of day, as [`Setbacks::take`] does, with
    /// the emitter's place: until its event is settled, or it is forgiven. Without an await it is
    /// in the journal's hands when this returns; the answer comes when it outlives what the journal
    /// outlives. [`Reader::settle`] enters what it says of the receiver by itself. A receiver that
    /// never fails costs nothing.
    ///
    /// # Errors
    /// As [`Reader::settle`].
    fn set_back(
        &self,
        setback: &Setback,
        at: Timestamp,
    ) -> Answer<'static, Result<(), JournalError>>;

    /// The setbacks of the emitter, seen at this time of day ([`Setbacks::seen_at`]). They come
    /// with the reader, and cost no question.
    fn setbacks(&self, now: Timestamp) -> Setbacks;

    /// Forgets setbacks: somebody has looked into it. In the journal's hands as a settling is.
    ///
    /// # Errors
    /// As [`Reader::settle`].
    fn forgive(&self, what: Forgive) -> Answer<'static, Result<(), JournalError>>;

    /// The emitter's standing, as far as this reader knows: as it was at the reader's last answer
    /// at the latest, and exactly as it is where the store counts
    /// [exactly](crate::Capabilities::exact_counts). It costs no question.
    fn info(&self) -> ReaderInfo;

    /// Reads the fate of an entry at this emitter; `None` while it waits. A store remembers every
    /// dead letter that it keeps; everything else at or below the cursor was delivered. A fenced
    /// reader may answer it, too.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't say.
    fn fate(&self, sequence: Sequence) -> Answer<'_, Result<Option<Fate>, JournalError>>;

    /// Pauses the emitter: it reads nothing until [`Reader::resume`]. With [`Backlog::Discard`] its
    /// backlog is dropped and nothing new is kept for it; with [`Backlog::Keep`] both are kept as
    /// long as there is room: a paused emitter blocks no `emit`, its oldest entries drop first. In
    /// the journal's hands as a settling is, and the last call stands.
    ///
    /// # Errors
    /// As [`Reader::settle`].
    fn pause(&self, backlog: Backlog) -> Answer<'static, Result<(), JournalError>>;

    /// Lets the emitter read again.
    ///
    /// # Errors
    /// As [`Reader::settle`].
    fn resume(&self) -> Answer<'static, Result<(), JournalError>>;
}

/// The standing of an emitter in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderInfo {
    /// The end of the journal when the emitter got its subscription: earlier events were not meant
    /// for it by this one.
    pub since: Sequence,
    /// The place up to which everything that the subscription matches is settled.
    pub cursor: Sequence,
    /// The number of entries that wait to be settled.
    pub depth: u64,
    /// The number of entries dropped unsettled: by `DropOldest`, or by [`Backlog::Discard`].
    pub dropped: u64,
    /// The number of dead letters of this emitter that are kept.
    pub dead_letters: u64,
}

impl ReaderInfo {
    /// Puts the numbers together.
    pub fn new(
        since: Sequence,
        cursor: Sequence,
        depth: u64,
        dropped: u64,
        dead_letters: u64,
    ) -> Self {
        Self { since, cursor, depth, dropped, dead_letters }
    }
}

/// An event and its place.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The event's place in the journal.
    pub sequence: Sequence,
    /// The event, shared with everyone who reads it.
    pub event: Arc<Event>,
    /// The damage of the stored event, if it is damaged. It is not to be delivered then: `event` is
    /// what could still be read of it, and its payload is `null`.
    pub damage: Option<Arc<str>>,
}

impl Entry {
    /// Puts an event and its place together.
    pub fn new(sequence: Sequence, event: Arc<Event>) -> Self {
        Self { sequence, event, damage: None }
    }

    /// Makes the entry of an event that is damaged: the rest of it, and what is wrong with it.
    pub fn damaged(sequence: Sequence, event: Arc<Event>, damage: impl Into<Arc<str>>) -> Self {
        Self { sequence, event, damage: Some(damage.into()) }
    }
}

/// The way in which an entry is settled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Settlement {
    /// The receiver has the event.
    Delivered,
    /// The event gets no more attempts and goes to the dead letters.
    DeadLettered(Box<DeadLetter>),
}

/// The part of an emitter's setbacks that is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgive {
    /// The waits. The tries of each event stay.
    Waits,
    /// The waits and the tries.
    All,
}

/// The fate of an event at one emitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// The emitter gave up on it; it is among the dead letters.
    DeadLettered,
    /// It was dropped before it was settled: the emitter was paused or detached with its backlog
    /// discarded, or the journal was full and dropped its oldest.
    Dropped,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Delivered => "delivered",
            Self::DeadLettered => "dead-lettered",
            Self::Dropped => "dropped",
        })
    }
}

/// The treatment of the entries that wait for an emitter that is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backlog {
    /// They wait, and are delivered in order after the restart.
    Keep,
    /// They are dropped, and so are events that are emitted during the pause.
    Discard,
}
