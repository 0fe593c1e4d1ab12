//! The port `AttemptLog`, in memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Attempt, AttemptId, AttemptLog, AttemptLogPolicy, AttemptQuery, LogError, NewAttempt,
    Page, PageCursor,
};
use parking_lot::Mutex;

use super::options::MemoryOptions;

/// How many rows are looked at before those who record get their turn.
const CHUNK: usize = 256;

/// What a row costs beside its texts.
const ROW_OVERHEAD: usize = 384;

/// The newest attempts.
pub(crate) struct MemoryAttemptLog {
    rows: Mutex<Rows>,
    max_rows: usize,
    max_bytes: usize,
    policy: AttemptLogPolicy,
}

/// Attempts without gaps between their ids, so that an id says where its row is.
#[derive(Default)]
struct Rows {
    rows: VecDeque<Arc<Attempt>>,
    last_id: u64,
    bytes: usize,
}

impl MemoryAttemptLog {
    pub(crate) fn new(options: &MemoryOptions) -> Self {
        Self {
            rows: Mutex::default(),
            max_rows: options.attempts,
            max_bytes: options.attempt_bytes,
            policy: options.attempt_policy,
        }
    }

    /// The newest rows below an id, newest first, with their ids: at most a chunk of them.
    fn below(&self, id: u64) -> Vec<Arc<Attempt>> {
        let rows = self.rows.lock();
        let end = rows.index(id).unwrap_or(if id > rows.last_id { rows.rows.len() } else { 0 });
        rows.rows.range(end.saturating_sub(CHUNK)..end).rev().cloned().collect()
    }

    fn find(&self, query: &AttemptQuery, cursor: Option<PageCursor>) -> PageResult {
        let limit = query.page_limit()?;
        let mut below = cursor.map_or(u64::MAX, |cursor| cursor.number());
        let mut found: Vec<Attempt> = Vec::new();
        loop {
            let rows = self.below(below);
            let Some(oldest) = rows.last() else { return Ok(Page::new(found, None)) };
            below = oldest.id.number();
            for row in rows.iter().filter(|row| query.matches(row)) {
                if found.len() == limit {
                    // There is one more, so there is a next page.
                    let cursor = found.last().map(|last| PageCursor::before(last.id.number()));
                    return Ok(Page::new(found, cursor));
                }
                found.push(Attempt::clone(row));
            }
        }
    }
}

type PageResult = Result<Page<Attempt>, LogError>;

impl Rows {
    /// Where an id's row is.
    fn index(&self, id: u64) -> Option<usize> {
        let first = self.rows.front()?.id.number();
        let index = usize::try_from(id.checked_sub(first)?).ok()?;
        (index < self.rows.len()).then_some(index)
    }

    fn push(&mut self, mut attempt: Attempt) {
        self.last_id += 1;
        attempt.id = AttemptId::new(self.last_id);
        self.bytes += size(&attempt);
        self.rows.push_back(Arc::new(attempt));
    }

    fn pop(&mut self) -> Option<Arc<Attempt>> {
        let row = self.rows.pop_front()?;
        self.bytes -= size(&row);
        Some(row)
    }
}

/// What a row costs, about.
fn size(attempt: &Attempt) -> usize {
    let head = attempt.head.as_ref().map_or(0, |head| {
        head.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum()
    });
    ROW_OVERHEAD + attempt.message.len() + attempt.body.len() + head
}

impl AttemptLog for MemoryAttemptLog {
    fn policy(&self) -> AttemptLogPolicy {
        self.policy
    }

    fn record(&self, attempt: NewAttempt) {
        let kept = self.policy == AttemptLogPolicy::All || !attempt.outcome.is_delivered();
        if !kept || self.max_rows == 0 {
            return;
        }
        // The number comes under the lock; all the rest, the copying above all, before it.
        let attempt = attempt.numbered(AttemptId::new(0));
        let mut rows = self.rows.lock();
        rows.push(attempt);
        let mut gone = Vec::new();
        while rows.rows.len() > self.max_rows || rows.bytes > self.max_bytes {
            let Some(row) = rows.pop() else { break };
            gone.push(row);
        }
        drop(rows);
    }

    fn lost(&self) -> u64 {
        0
    }

    fn get(&self, id: AttemptId) -> Answer<'_, Result<Option<Attempt>, LogError>> {
        let rows = self.rows.lock();
        let row = rows.index(id.number()).and_then(|index| rows.rows.get(index)).cloned();
        drop(rows);
        Answer::now(Ok(row.map(|row| Attempt::clone(&row))))
    }

    fn page(&self, query: &AttemptQuery, cursor: Option<PageCursor>) -> Answer<'_, PageResult> {
        Answer::now(self.find(query, cursor))
    }
}

impl fmt::Debug for MemoryAttemptLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.lock();
        f.debug_struct("MemoryAttemptLog")
            .field("attempts", &rows.rows.len())
            .field("bytes", &rows.bytes)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
