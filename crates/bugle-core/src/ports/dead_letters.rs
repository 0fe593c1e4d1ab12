//! The port to the dead letters.

use std::fmt;

use super::error::JournalError;
use crate::{
    Answer, DeadLetter, DeadLetterId, DeadLetterQuery, EmitterId, LogError, Page, PageCursor,
    Sequence,
};

/// The dead letters of all emitters. They come by [`Reader::settle`](crate::Reader::settle), and
/// go by being deleted here, or delivered again by [`Journal::replay`](crate::Journal::replay).
pub trait DeadLetters: Send + Sync + fmt::Debug + 'static {
    /// Reads one dead letter by its id; `None` when there is none, or no more.
    ///
    /// # Errors
    /// [`LogError`] when the store can't read.
    fn get(&self, id: DeadLetterId) -> Answer<'_, Result<Option<DeadLetter>, LogError>>;

    /// Reads a page of dead letters, newest first, from the start or the cursor of the page before.
    ///
    /// # Errors
    /// [`LogError`] when the limit is not from 1 to 100, or the store can't read.
    fn page(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<DeadLetter>, LogError>>;

    /// Counts the dead letters that fit, whatever the query's limit.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read.
    fn count(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>>;

    /// Reads the dead letters of one emitter that fit, from behind a place in the journal on, in
    /// the order of the journal: of their events' first places ([`DeadLetter::origin`]). At most as
    /// many as the query's limit says, or as the store sees fit without one; none at the end only.
    /// The query's emitters don't matter.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read.
    fn after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>>;

    /// Deletes dead letters; answers how many of them were there.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't; none was deleted then, unless it is
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable).
    fn discard(&self, ids: Vec<DeadLetterId>) -> Answer<'_, Result<u64, JournalError>>;
}
