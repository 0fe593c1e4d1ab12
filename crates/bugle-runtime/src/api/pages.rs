//! All rows of a log as a stream, read page by page.

use std::collections::VecDeque;
use std::future::Future;

use bugle_core::{LogError, Page, PageCursor};
use futures_util::Stream;
use futures_util::stream::try_unfold;

/// The rows of all pages, at most so many; each page is read when the stream is polled for it.
pub(crate) fn pages<T, F, P>(
    limit: Option<usize>,
    page: P,
) -> impl Stream<Item = Result<T, LogError>> + Send + 'static
where
    T: Send + 'static,
    F: Future<Output = Result<Page<T>, LogError>> + Send + 'static,
    P: Fn(Option<PageCursor>) -> F + Send + Sync + 'static,
{
    let start = Reading { page, left: limit, rows: VecDeque::new(), next: Some(None) };
    try_unfold(start, Reading::next)
}

/// A stream's place in a log.
struct Reading<T, P> {
    page: P,
    /// So many more are wanted; `None` for all.
    left: Option<usize>,
    /// Rows that were read and not given yet.
    rows: VecDeque<T>,
    /// The next page's cursor; `None` after the last page.
    next: Option<Option<PageCursor>>,
}

impl<T, F, P> Reading<T, P>
where
    F: Future<Output = Result<Page<T>, LogError>>,
    P: Fn(Option<PageCursor>) -> F,
{
    async fn next(mut self) -> Result<Option<(T, Self)>, LogError> {
        if self.left == Some(0) {
            return Ok(None);
        }
        while self.rows.is_empty() {
            let Some(cursor) = self.next.take() else { return Ok(None) };
            let page = (self.page)(cursor).await?;
            self.rows = page.items.into();
            self.next = page.cursor.map(Some);
        }
        self.left = self.left.map(|left| left - 1);
        Ok(self.rows.pop_front().map(|row| (row, self)))
    }
}
