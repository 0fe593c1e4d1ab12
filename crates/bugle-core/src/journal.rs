//! The port to what was accepted: an append-only journal, and each emitter's place in it.
//!
//! Every implementation runs the conformance suite of `bugle-testkit`.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Answer, Batch, DeadLetter, DeadLetterId, DeadLetterQuery, EmitterId, Event, LogError,
    OnExpired, Page, PageCursor, Position, Replay, ReplayError, Replayed, Sequence, Setback,
    Setbacks, SourceId, Subscription,
};

/// The accepted events, in order. Each event is kept once, whatever the number of emitters that
/// want it, and goes when the last of them has settled it.
pub trait Journal: Send + Sync + fmt::Debug + 'static {
    /// Appends an event, as safely as this journal promises, and returns its place. Appends are
    /// ordered: of two that follow one another, the second has the higher sequence number, and no
    /// reader sees an entry before all lower ones that it matches.
    ///
    /// When the journal is full the [`Overflow`] policy decides; with [`Overflow::Block`] the
    /// answer comes when there is room. A caller that stops waiting has appended nothing; on disk,
    /// a kill just then may leave the event.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was stored then.
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>>;

    /// Appends all events of a batch, in their order, together with their source's position, or
    /// nothing of it: also when the process is killed on the way, where the journal outlives it.
    /// Answers the events' places, one for each. A batch without events moves the position only.
    ///
    /// The overflow policy holds for the batch as a whole: it is not begun before all of it has
    /// room. A caller that stops waiting has appended nothing, and the position is what it was; on
    /// disk, a kill just then may leave both. A source appends one batch after the other: the next
    /// one when this one was answered.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was stored then.
    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>>;

    /// Reads the position that the last batch of a source came with; `None` when there was none.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read it.
    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>>;

    /// Opens an emitter's reader. An emitter that this journal knows goes on from its cursor and
    /// reads again if it was paused; a new one starts behind everything appended so far. With
    /// another subscription than it had, entries that wait for it still do, and entries that are
    /// appended from now on are matched anew.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't keep the cursor.
    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>>;

    /// Forgets an emitter: its cursor and its spec are deleted, and its unsettled entries dropped.
    /// Its readers read nothing from then on. Forgetting an unknown emitter does nothing.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't.
    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>>;

    /// Has `told` receive, from now on, each event that is dropped because it has waited too long,
    /// in the place of the receiver before it. Default: none, where no event waits too long.
    fn on_expired(&self, told: OnExpired) {
        drop(told);
    }

    /// The treatment of a paused emitter's backlog unless the caller chooses.
    fn default_backlog(&self) -> Backlog;

    /// Reads a page of dead letters, newest first, from the start or the cursor of the page before.
    ///
    /// # Errors
    /// [`LogError`] when the limit is not from 1 to 100, or the store can't read.
    fn dead_letters(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<DeadLetter>, LogError>>;

    /// Counts the dead letters that fit, whatever the query's limit.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read.
    fn count_dead_letters(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>>;

    /// Reads the dead letters of one emitter that fit, from behind a place in the journal on, in
    /// the order of the journal: of their events' first places ([`DeadLetter::origin`]). At most as
    /// many as the query's limit says, or as the journal sees fit without one; none at the end
    /// only. The query's emitters don't matter.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read.
    fn dead_letters_after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>>;

    /// Deletes dead letters; answers how many of them were there.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't; none was deleted then.
    fn discard_dead_letters(&self, ids: Vec<DeadLetterId>)
    -> Answer<'_, Result<u64, JournalError>>;

    /// Has events delivered again to one emitter: each is appended as a new entry that only this
    /// emitter reads, behind all that waits for it, and its dead letter is deleted in the same
    /// step. Whatever ends the process, an event is a dead letter or it waits, never both, and
    /// never neither.
    ///
    /// Answers the results of the first of them: of as many as there was room for, and of one at
    /// least. Where there is room for none the [`Overflow`] policy decides; with
    /// [`Overflow::Block`] the answer comes when there is, and nothing is dropped for a replay. A
    /// caller that stops waiting has appended either all of what would have been answered, or
    /// nothing.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing was appended then, and the dead letters are there.
    fn replay(
        &self,
        emitter: &EmitterId,
        events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>>;

    /// The counts of the journal: what it holds, and what it has done.
    fn stats(&self) -> JournalStats;

    /// The reason why nothing is accepted any more, until the store is opened again: a sync failed,
    /// or the files were deleted under the running service. Default: all is well.
    fn trouble(&self) -> Option<JournalError> {
        None
    }

    /// Waits until everything that was handed to the journal is as safe as it promises.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't.
    fn flush(&self) -> Answer<'_, Result<(), JournalError>>;
}

/// An emitter's place in the journal: its cursor, and the entries that it has still to read.
/// Everything up to the cursor that its subscription matches is settled; above it a few entries may
/// be, when the emitter keeps a window of deliveries.
pub trait Reader: Send + Sync + fmt::Debug {
    /// Reads the first unsettled entries after a place that the subscription matches, at most
    /// `limit`, in order. Empty at the end.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read.
    fn read(&self, after: Sequence, limit: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>>;

    /// Settles an entry: it is never read again, also not after a crash. Without an await, the
    /// settling is in the journal's hands when this returns; the answer comes when it is as safe
    /// as the journal promises. Settling an entry twice does nothing.
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
    fn set_back(
        &self,
        setback: &Setback,
        at: Timestamp,
    ) -> Answer<'static, Result<(), JournalError>>;

    /// The setbacks of the emitter, seen at this time of day ([`Setbacks::seen_at`]).
    fn setbacks(&self, now: Timestamp) -> Setbacks;

    /// Forgets setbacks: somebody has looked into it.
    fn forgive(&self, what: Forgive);

    /// The number of dead letters of this emitter that are kept.
    fn dead_letters(&self) -> u64;

    /// The end of the journal when the emitter got its subscription: earlier events were not meant
    /// for it by this one.
    fn since(&self) -> Sequence;

    /// The place up to which everything that the subscription matches is settled.
    fn cursor(&self) -> Sequence;

    /// The number of entries that wait to be settled.
    fn depth(&self) -> u64;

    /// The number of entries dropped unsettled: by `DropOldest`, or by [`Backlog::Discard`].
    fn dropped(&self) -> u64;

    /// The number of times that events were taken from those who waited for them since the journal
    /// was opened: they were marked as delivered, deleted, or too old. When it rises, an entry that
    /// was read may wait no more; [`Reader::fate`] says which. It costs next to nothing.
    fn taken(&self) -> u64;

    /// The fate of an entry at this emitter; `None` while it waits. A store remembers every dead
    /// letter that it keeps; everything else at or below the cursor was delivered.
    fn fate(&self, sequence: Sequence) -> Option<Fate>;

    /// Pauses the emitter: it reads nothing until [`Reader::resume`]. With [`Backlog::Discard`] its
    /// backlog is dropped and nothing new is kept for it; with [`Backlog::Keep`] both are kept as
    /// long as there is room: a paused emitter blocks no `emit`, its oldest entries drop first.
    fn pause(&self, backlog: Backlog);

    /// Lets the emitter read again.
    fn resume(&self);
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

/// The behaviour of `emit` when the journal is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// `emit` waits until there is room: backpressure. The default.
    #[default]
    Block,
    /// `emit` returns [`AppendError::Full`].
    Reject,
    /// The oldest entries make room; each emitter that had not settled them counts them as dropped.
    DropOldest,
}

/// The counts of a journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JournalStats {
    /// Events held now.
    pub events: u64,
    /// Bytes of payload held now.
    pub bytes: u64,
    /// Events appended since the journal was opened.
    pub appended: u64,
    /// Appends that had to wait for room.
    pub blocked: u64,
    /// Appends that were refused for want of room.
    pub rejected: u64,
    /// Entries dropped unsettled, counted once for each emitter that wanted them.
    pub dropped: u64,
    /// Of the dropped entries, the number that had waited longer than the store lets an event wait.
    pub expired: u64,
}

/// The reason why an event was not appended. Nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The journal is full, and its overflow policy is [`Overflow::Reject`].
    #[error(
        "the journal is full ({limit}): slow down, or give it more room, or choose another \
         overflow policy"
    )]
    Full {
        /// The limit that was reached, in words.
        limit: String,
    },
    /// The event alone is larger than the journal may ever be.
    #[error("a payload of {bytes} bytes does not fit a journal of at most {limit} bytes")]
    TooLarge {
        /// The payload's size, in bytes.
        bytes: u64,
        /// The journal's limit, in bytes.
        limit: u64,
    },
    /// The batch would not even fit if the journal were empty.
    #[error("a batch of {events} events never fits the journal ({limit}): make smaller batches")]
    BatchTooLarge {
        /// The number of events in the batch.
        events: usize,
        /// The limit that it exceeds, in words.
        limit: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] JournalError),
}

impl AppendError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `journalFull`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "journalFull",
            Self::TooLarge { .. } => "payloadTooLarge",
            Self::BatchTooLarge { .. } => "batchTooLarge",
            Self::Store(error) => error.code(),
        }
    }
}

/// The reason why a store could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct JournalError {
    /// Says what failed, and what to do about it.
    pub message: String,
}

impl JournalError {
    /// A name for the kind of error that stays the same from version to version: `storeFailed`.
    pub fn code(&self) -> &'static str {
        "storeFailed"
    }

    /// Makes an error that says what failed, and what to do about it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
