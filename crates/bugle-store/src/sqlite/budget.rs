//! Says how the space that the store may take is shared between the log and the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::write::commit::PAGE;
use crate::log::LogReader;

/// The database may have as much as the log leaves; the log as much as the database has not taken,
/// but never the last eighth, without which nothing could be deleted any more.
pub(crate) struct Budget {
    max_bytes: Option<u64>,
    log: LogReader,
    /// Says how much the log may have.
    for_log: Arc<AtomicU64>,
    /// Says how much it had when it was last looked.
    had: u64,
}

impl Budget {
    pub(crate) fn new(max_bytes: Option<u64>, log: LogReader, for_log: Arc<AtomicU64>) -> Self {
        Self { max_bytes, log, for_log, had: u64::MAX }
    }

    /// Says how much the log may have, beside a database of so many bytes.
    pub(crate) fn of_log(max_bytes: Option<u64>, database: u64) -> u64 {
        max_bytes.map_or(u64::MAX, |max| max.saturating_sub(database.max(max / 8)))
    }

    /// Shares it anew. It costs nothing where there is no limit.
    pub(crate) fn share(&mut self, conn: &Connection) {
        let Some(max) = self.max_bytes else { return };
        let pages = conn.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
        let database = pages.map_or(0, |pages| pages.cast_unsigned() * PAGE);
        self.for_log.store(Self::of_log(Some(max), database), Ordering::Relaxed);
        let has = self.log.segments().iter().map(|segment| segment.bytes).sum();
        if has != self.had {
            self.had = has;
            let pages = max.saturating_sub(has).max(max / 8) / PAGE;
            let pages = i64::try_from(pages).unwrap_or(i64::MAX);
            // Where that fails the limit is the one of before.
            let _ = conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        }
    }
}
