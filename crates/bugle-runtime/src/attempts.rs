//! The record of attempts, as callers read it.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::sync::Arc;

use bugle_core::{Attempt, AttemptId, AttemptLog, AttemptLogError, AttemptQuery, Page, PageCursor};
use futures_util::Stream;
use futures_util::stream::try_unfold;

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
    /// [`AttemptLogError`] when the store can't read.
    pub async fn get(
        &self,
        id: impl Borrow<AttemptId>,
    ) -> Result<Option<Attempt>, AttemptLogError> {
        self.log.get(*id.borrow()).await
    }

    /// One page: from the start, or from the cursor of the page before. The cursor of the next
    /// page is `None` at the end.
    ///
    /// # Errors
    /// [`AttemptLogError`] when the limit is not from 1 to 100, or the store can't read.
    pub async fn page(
        &self,
        query: impl Borrow<AttemptQuery>,
        cursor: Option<PageCursor>,
    ) -> Result<Page<Attempt>, AttemptLogError> {
        self.log.page(query.borrow(), cursor).await
    }

    /// All attempts that fit, read page by page as the stream is polled; at most `limit` of them
    /// when the query has one.
    pub fn query(
        &self,
        mut query: AttemptQuery,
    ) -> impl Stream<Item = Result<Attempt, AttemptLogError>> + Send + 'static {
        let left = query.limit.take();
        let start = Reading {
            log: Arc::clone(&self.log),
            query,
            left,
            page: VecDeque::new(),
            next: Some(None),
        };
        try_unfold(start, Reading::next)
    }
}

/// A stream's place in the log.
struct Reading {
    log: Arc<dyn AttemptLog>,
    query: AttemptQuery,
    /// How many more are wanted; `None` for all.
    left: Option<usize>,
    /// What was read and not given yet.
    page: VecDeque<Attempt>,
    /// The next page's cursor; `None` after the last page.
    next: Option<Option<PageCursor>>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Attempt, Self)>, AttemptLogError> {
        if self.left == Some(0) {
            return Ok(None);
        }
        while self.page.is_empty() {
            let Some(cursor) = self.next.take() else { return Ok(None) };
            let page = self.log.page(&self.query, cursor).await?;
            self.page = page.items.into();
            self.next = page.cursor.map(Some);
        }
        self.left = self.left.map(|left| left - 1);
        Ok(self.page.pop_front().map(|attempt| (attempt, self)))
    }
}
