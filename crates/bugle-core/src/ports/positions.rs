//! The port to the positions of sources.

use std::fmt;

use super::error::JournalError;
use crate::{Answer, Position, SourceId};

/// The position of each source, as far as its events are accepted. A position comes with a batch,
/// by [`Journal::append_all`](crate::Journal::append_all), and in no other way.
pub trait Positions: Send + Sync + fmt::Debug + 'static {
    /// Reads the position that the last batch of a source came with; `None` when there was none.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read it.
    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>>;
}
