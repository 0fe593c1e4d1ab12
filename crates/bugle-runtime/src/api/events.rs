//! The record of events, as callers read and correct it.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bugle_core::{
    ErrorKind, EventLog, EventQuery, JournalError, LogError, LoggedEvent, Page, PageCursor,
    RequestId,
};
use futures_util::Stream;

use crate::api::pages::pages;
use crate::tree::Specs;

/// Reads the event log: one event, a page, or all as a stream, newest first; and marks an event as
/// delivered, or deletes it.
///
/// The log has every event that waits or is a dead letter, and as many of the settled ones as the
/// store keeps. [`LoggedEvent::is_delivered`] says what is left to do.
#[derive(Debug, Clone)]
pub struct Events {
    /// None where the store keeps no such record.
    log: Option<Arc<dyn EventLog>>,
    /// Whose receipts are told.
    specs: Weak<Specs>,
    /// Couriers compare it.
    taken: Arc<AtomicU64>,
}

impl Events {
    pub(crate) fn new(
        log: Option<Arc<dyn EventLog>>,
        specs: Weak<Specs>,
        taken: Arc<AtomicU64>,
    ) -> Self {
        Self { log, specs, taken }
    }

    fn log(&self) -> Result<&Arc<dyn EventLog>, LogError> {
        self.log.as_ref().ok_or_else(|| {
            let message = "this store keeps no record of events: choose one that does";
            JournalError::new(ErrorKind::Refused, message).into()
        })
    }

    /// One event by its request id, the newest if several have it; `None` when there is none, or
    /// no more.
    ///
    /// # Errors
    /// [`LogError`] when the store can't read.
    pub async fn get(&self, id: impl Borrow<RequestId>) -> Result<Option<LoggedEvent>, LogError> {
        self.log()?.get(id.borrow()).await
    }

    /// One page: from the start, or from the cursor of the page before. The cursor of the next
    /// page is `None` at the end.
    ///
    /// # Errors
    /// [`LogError`] when the limit is not from 1 to 100, or the store can't read.
    pub async fn page(
        &self,
        query: impl Borrow<EventQuery>,
        cursor: Option<PageCursor>,
    ) -> Result<Page<LoggedEvent>, LogError> {
        self.log()?.page(query.borrow(), cursor).await
    }

    /// All events that fit, read page by page as the stream is polled; at most `limit` of them
    /// when the query has one.
    pub fn query(
        &self,
        mut query: EventQuery,
    ) -> impl Stream<Item = Result<LoggedEvent, LogError>> + Send + 'static {
        let left = query.limit.take();
        let log = self.log().cloned();
        pages(left, move |cursor| {
            let (log, query) = (log.clone(), query.clone());
            async move { log?.page(&query, cursor).await }
        })
    }

    /// Marks an event as delivered: it is settled at every emitter that waits for it, and its dead
    /// letters are removed. No other event's turn changes. An attempt that is in flight goes on,
    /// and nothing follows it, whatever comes of it. Answers whether there is such an event, when
    /// this is as safe as an accepted event.
    ///
    /// # Errors
    /// [`LogError`] when the store can't.
    pub async fn mark_delivered(&self, id: impl Borrow<RequestId>) -> Result<bool, LogError> {
        let marked = self.log()?.mark_delivered(id.borrow()).await;
        self.tell();
        marked
    }

    /// Deletes an event: it is dropped at every emitter that waits for it, its dead letters are
    /// removed, and it is gone from the log. Its attempts stay. Otherwise as
    /// [`Events::mark_delivered`].
    ///
    /// # Errors
    /// [`LogError`] when the store can't.
    pub async fn delete(&self, id: impl Borrow<RequestId>) -> Result<bool, LogError> {
        let deleted = self.log()?.delete(id.borrow()).await;
        self.tell();
        deleted
    }

    /// Has couriers look before they go on, and those who wait for receipts.
    fn tell(&self) {
        self.taken.fetch_add(1, Ordering::Release);
        if let Some(specs) = self.specs.upgrade() {
            specs.read().values().for_each(|spec| spec.settlements.tell());
        }
    }
}
