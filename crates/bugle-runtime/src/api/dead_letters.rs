//! The dead letters as callers read them: the events that emitters gave up on.

use std::borrow::Borrow;
use std::sync::Arc;

use bugle_core::{
    DeadLetter, DeadLetterId, DeadLetterQuery, DeadLetters as Port, JournalError, LogError, Page,
    PageCursor,
};
use futures_util::Stream;

use crate::api::pages::pages;

/// Reads the dead letters: one of them, a page, or all as a stream; newest first. Deletes those
/// that nobody is to have any more; [`replay`](crate::Runtime::replay) and
/// [`replay_since`](crate::Runtime::replay_since) deliver them again.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    letters: Arc<dyn Port>,
}

impl DeadLetters {
    pub(crate) fn new(letters: Arc<dyn Port>) -> Self {
        Self { letters }
    }

    /// One dead letter by its id; `None` when there is none, or no more.
    ///
    /// # Errors
    /// [`LogError`] when the store can't read.
    pub async fn get(&self, id: impl Borrow<DeadLetterId>) -> Result<Option<DeadLetter>, LogError> {
        self.letters.get(*id.borrow()).await
    }

    /// One page: from the start, or from the cursor of the page before. The cursor of the next
    /// page is `None` at the end.
    ///
    /// # Errors
    /// [`LogError`] when the limit is not from 1 to 100, or the store can't read.
    pub async fn page(
        &self,
        query: impl Borrow<DeadLetterQuery>,
        cursor: Option<PageCursor>,
    ) -> Result<Page<DeadLetter>, LogError> {
        self.letters.page(query.borrow(), cursor).await
    }

    /// All dead letters that fit, read page by page as the stream is polled; at most `limit` of
    /// them when the query has one.
    pub fn query(
        &self,
        mut query: DeadLetterQuery,
    ) -> impl Stream<Item = Result<DeadLetter, LogError>> + Send + 'static {
        let left = query.limit.take();
        let letters = Arc::clone(&self.letters);
        pages(left, move |cursor| {
            let (letters, query) = (Arc::clone(&letters), query.clone());
            async move { letters.page(&query, cursor).await }
        })
    }

    /// Counts the dead letters that fit, whatever the query's limit.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read.
    pub async fn count(&self, query: impl Borrow<DeadLetterQuery>) -> Result<u64, JournalError> {
        self.letters.count(query.borrow()).await
    }

    /// Deletes one dead letter. `false` when there is none of this id, or no more.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't; it is there then.
    pub async fn discard(&self, id: impl Borrow<DeadLetterId>) -> Result<bool, JournalError> {
        Ok(self.letters.discard(vec![*id.borrow()]).await? > 0)
    }

    /// Deletes the dead letters that fit and were there when it was called, at most `limit` of the
    /// newest when the query has one. Answers how many it deleted.
    ///
    /// # Errors
    /// [`LogError`] when the store can't; some may be deleted by then.
    pub async fn discard_all(&self, mut query: DeadLetterQuery) -> Result<u64, LogError> {
        let mut left = query.limit.take();
        let (mut cursor, mut discarded) = (None, 0);
        loop {
            if left == Some(0) {
                return Ok(discarded);
            }
            query.limit = left.map(|left| left.min(100));
            let page = self.page(&query, cursor).await?;
            let ids: Vec<DeadLetterId> = page.items.iter().map(|letter| letter.id).collect();
            left = left.map(|left| left - ids.len());
            if !ids.is_empty() {
                discarded += self.letters.discard(ids).await?;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(discarded);
            }
        }
    }
}
