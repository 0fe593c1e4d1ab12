//! The port to the record of events.

use std::fmt;

use super::reader::Entry;
use crate::{Answer, EventQuery, LogError, LoggedEvent, Page, PageCursor, RequestId, Sequence};

/// The port to the record of events. It shows the events of the journal, and as many of the settled
/// ones as the store keeps.
pub trait EventLog: Send + Sync + fmt::Debug + 'static {
    /// Reads one event by its request id, the newest if several have it; `None` when there is none,
    /// or no more.
    ///
    /// # Errors
    /// [`LogError`] when the store can't read.
    fn get(&self, id: &RequestId) -> Answer<'_, Result<Option<LoggedEvent>, LogError>>;

    /// Reads one page, newest first, from the start or from the cursor of the page before.
    ///
    /// # Errors
    /// [`LogError`] when the limit is not from 1 to 100, or the store can't read.
    fn page(
        &self,
        query: &EventQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<LoggedEvent>, LogError>>;

    /// Reads one event by its request id as the journal has it, to be delivered again: the newest
    /// if several have it, at its first place. `None` when there is none, or no more.
    ///
    /// # Errors
    /// [`LogError`] when the store can't read.
    fn entry(&self, id: &RequestId) -> Answer<'_, Result<Option<Entry>, LogError>>;

    /// Reads the events behind a place that fit, in the order of the journal, as many at a time as
    /// the store sees fit; none at the end only. Each event is there once, at its first place,
    /// however often it was delivered again. The query's limit does not matter, nor whether an
    /// event is delivered.
    ///
    /// # Errors
    /// [`LogError`] when the store can't read.
    fn entries_after(
        &self,
        after: Sequence,
        query: &EventQuery,
    ) -> Answer<'_, Result<Vec<Entry>, LogError>>;

    /// Marks an event as delivered: it is settled at every emitter that waits for it, and its dead
    /// letters are removed. No other event's turn changes. An attempt that is in flight goes on,
    /// and nothing follows it, whatever comes of it. Answers whether there is such an event, when
    /// this is as safe as an accepted event.
    ///
    /// # Errors
    /// [`LogError`] when the store can't.
    fn mark_delivered(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>>;

    /// Deletes an event: it is dropped at every emitter that waits for it, its dead letters are
    /// removed, and it is gone from the log. Its attempts stay. Otherwise as
    /// [`EventLog::mark_delivered`].
    ///
    /// # Errors
    /// [`LogError`] when the store can't.
    fn delete(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>>;
}
