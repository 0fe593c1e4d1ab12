//! The record of attempts, as callers read it.

use std::borrow::Borrow;
use std::sync::Arc;

use bugle_core::{Attempt, AttemptId, AttemptLog, AttemptQuery, LogError, Page, PageCursor};
use futures_util::Stream;

use crate::api::pages::pages;

/// Reads the attempt log: one attempt, a page, or all as a stream; newest first.
#[derive(Debug, Clone)]
pub struct Attempts {
    log: Arc<dyn AttemptLog>,
}

impl Attempts {
    pub(crate) fn new(log: Arc<dyn AttemptLog>) -> Self {
        Self { log }
    }

    /// One attempt by its id; `None` when there is none, or no more.
    ///
    /// # Errors
    /// [`LogError`] when the store can't read.
    pub async fn get(&self, id: impl Borrow<AttemptId>) -> Result<Option<Attempt>, LogError> {
        self.log.get(*id.borrow()).await
    }

    /// Counts the attempts lost since the store was opened, because the log could not keep up or
    /// could not write. No delivery waits for the log.
    pub fn lost(&self) -> u64 {
        self.log.lost()
    }

    /// One page: from the start, or from the cursor of the page before. The cursor of the next
    /// page is `None` at the end.
    ///
    /// # Errors
    /// [`LogError`] when the limit is not from 1 to 100, or the store can't read.
    pub async fn page(
        &self,
        query: impl Borrow<AttemptQuery>,
        cursor: Option<PageCursor>,
    ) -> Result<Page<Attempt>, LogError> {
        self.log.page(query.borrow(), cursor).await
    }

    /// All attempts that fit, read page by page as the stream is polled; at most `limit` of them
    /// when the query has one.
    pub fn query(
        &self,
        mut query: AttemptQuery,
    ) -> impl Stream<Item = Result<Attempt, LogError>> + Send + 'static {
        let left = query.limit.take();
        let log = Arc::clone(&self.log);
        pages(left, move |cursor| {
            let (log, query) = (Arc::clone(&log), query.clone());
            async move { log.page(&query, cursor).await }
        })
    }
}
