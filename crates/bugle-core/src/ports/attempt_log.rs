//! The port to the record of attempts.

use std::fmt;

use crate::{
    Answer, Attempt, AttemptId, AttemptLogPolicy, AttemptQuery, LogError, NewAttempt, Page,
    PageCursor,
};

/// The port to the record of attempts.
pub trait AttemptLog: Send + Sync + fmt::Debug + 'static {
    /// The attempts that this log keeps.
    fn policy(&self) -> AttemptLogPolicy;

    /// Hands an attempt to the log. It does not wait and can't fail: a log that can't keep up or
    /// can't write counts what it loses, and no delivery suffers.
    fn record(&self, attempt: NewAttempt);

    /// The number of attempts that were lost since the log was opened, because it could not keep up
    /// or could not write.
    fn lost(&self) -> u64;

    /// Reads one attempt by its id; `None` when there is none, or no more.
    ///
    /// # Errors
    /// [`LogError`] when the store can't read.
    fn get(&self, id: AttemptId) -> Answer<'_, Result<Option<Attempt>, LogError>>;

    /// Reads one page, newest first, from the start or from the cursor of the page before.
    ///
    /// # Errors
    /// [`LogError`] when the limit is not from 1 to 100, or the store can't read.
    fn page(
        &self,
        query: &AttemptQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<Attempt>, LogError>>;
}
