//! The port to what was accepted: an append-only journal.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::appended::Appended;
use super::error::{ErrorKind, JournalError};
use super::reader::Reader;
use crate::{
    Answer, Batch, EmitterId, Event, Replay, ReplayError, Replayed, Sequence, Subscription,
};

/// The accepted events, in order. Each event is kept once, whatever the number of emitters that
/// want it, and goes when the last of them has settled it.
///
/// Sequence numbers rise, and there may be gaps between them.
pub trait Journal: Send + Sync + fmt::Debug + 'static {
    /// Appends an event, as safely as this journal promises, and returns its place. Appends are
    /// ordered: of two that follow one another, the second has the higher sequence number, and no
    /// reader sees an entry before all lower ones that it matches.
    ///
    /// When the journal is full the [`Overflow`] policy decides; with [`Overflow::Block`] the
    /// answer comes when there is room. A caller that stops waiting has appended nothing where the
    /// store [takes back](crate::Capabilities::takes_back), though on disk a kill just then may
    /// leave the event; elsewhere the event may have been appended.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was stored then, unless it is [`ErrorKind::Unavailable`].
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>>;

    /// Appends all events of a batch, in their order, together with their source's position, or
    /// nothing of it: also when the process is killed on the way, where the journal outlives it.
    /// Answers the events' places, one for each. A batch without events moves the position only.
    ///
    /// The overflow policy holds for the batch as a whole: it is not begun before all of it has
    /// room. For a caller that stops waiting it is as with [`Journal::append`], for the events and
    /// the position alike. A source appends one batch after the other: the next one when this one
    /// was answered.
    ///
    /// # Errors
    /// As [`Journal::append`].
    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>>;

    /// Opens an emitter's reader, for this owner. An emitter that this journal knows goes on from
    /// its cursor and reads again if it was paused; a new one starts behind everything appended so
    /// far. With another subscription than it had, entries that wait for it still do, and entries
    /// that are appended from now on are matched anew.
    ///
    /// A reader that was opened before, by whomever, is fenced: it reads and changes nothing any
    /// more. Where it is not for this process to say who has the emitter, the answer is
    /// [`ErrorKind::Fenced`], and the emitter is known nevertheless.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't keep the cursor, or another owner has the emitter.
    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>>;

    /// Opens an emitter's reader unless somebody has the emitter: the answer is
    /// [`ErrorKind::Fenced`] then. A runtime that lost a reader asks so, on its own, whether it may
    /// have it back. Default: as
    /// [`Journal::reader`], for a store that gives nobody what another owner has.
    ///
    /// # Errors
    /// As [`Journal::reader`].
    fn reader_if_free(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        self.reader(emitter, subscription)
    }

    /// Forgets an emitter: its cursor is deleted, with its spec where the store keeps one, and what
    /// it had not settled is dropped. Forgetting an unknown emitter does nothing. Its readers read
    /// nothing from then on.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't.
    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>>;

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
    /// [`ReplayError`]; nothing was appended then, and the dead letters are there, unless it is
    /// [`ErrorKind::Unavailable`]: asked again, those that wait already are
    /// [`Replayed::Waits`](crate::Replayed::Waits).
    fn replay(
        &self,
        emitter: &EmitterId,
        events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>>;

    /// Tells, from now on, for whom something was appended, whoever appended it, and what else a
    /// runtime has to know. Any number may listen; it ends with the journal.
    fn appended(&self) -> Appended;

    /// Waits until everything that was handed to the journal is as safe as it promises.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't.
    fn flush(&self) -> Answer<'_, Result<(), JournalError>>;
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

/// The reason why an event was not appended. Nothing of it was stored, unless its kind is
/// [`ErrorKind::Unavailable`].
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
    /// The kind of the error: what follows from it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. } => ErrorKind::Full,
            Self::TooLarge { .. } | Self::BatchTooLarge { .. } => ErrorKind::Refused,
            Self::Store(error) => error.kind,
        }
    }

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
