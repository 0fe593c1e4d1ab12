//! The port `EventLog`, in memory: what waits, the dead letters, and what was settled last.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Entry, Event, EventLog, EventQuery, LogError, LoggedEvent, Page, PageCursor, RequestId,
    Sequence,
};

use rustc_hash::FxHashSet;

use super::journal::Shared;
use crate::backlog::{Found, TakenAs};

/// How many events are given at a time in the order of the journal.
const BATCH: usize = 4_096;

/// How many events are looked at before the others get their turn.
const CHUNK: usize = 256;

/// The events in memory.
pub(crate) struct MemoryEventLog {
    shared: Arc<Shared>,
}

/// An event, and whether nothing is left to do for it.
type Row = (Sequence, Arc<Event>, bool);

impl MemoryEventLog {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The newest events below a place, newest first: at most a chunk of them.
    fn below(&self, below: Sequence, is_delivered: Option<bool>) -> Vec<Row> {
        let mut rows = BTreeMap::new();
        self.shared.backlog.with(|state| {
            if is_delivered != Some(false) {
                let settled = state.settled_below(below, CHUNK);
                rows.extend(settled.into_iter().map(|(at, event)| (Reverse(at), (event, true))));
            }
            // What waits, or is dead, hides what is settled, so both are looked at in any case.
            let waiting = state.waiting_below(below, CHUNK).into_iter().filter_map(Found::entry);
            rows.extend(waiting.map(|entry| (Reverse(entry.sequence), (entry.event, false))));
            let dead = self.shared.dead_letters.lock().events_below(below, CHUNK);
            rows.extend(dead.into_iter().map(|(at, event)| (Reverse(at), (event, false))));
        });
        rows.into_iter().take(CHUNK).map(|(at, (event, done))| (at.0, event, done)).collect()
    }

    /// All events behind a place that fit, in order, each once.
    fn entries(&self, after: Sequence, query: &EventQuery) -> Vec<Entry> {
        let (all, most) = (Sequence(u64::MAX), usize::MAX);
        let mut entries: Vec<Entry> = self.shared.backlog.with(|state| {
            let settled = state.settled_below(all, most).into_iter();
            let settled = settled.map(|(sequence, event)| Entry::new(sequence, event));
            let waiting = state.waiting_below(all, most).into_iter().filter_map(Found::entry);
            settled.chain(waiting).collect()
        });
        entries.sort_unstable_by_key(|entry| entry.sequence);
        // A replay has the very event that it is a replay of.
        let mut seen = FxHashSet::default();
        entries.retain(|entry| seen.insert(Arc::as_ptr(&entry.event)));
        entries.retain(|entry| entry.sequence > after && query.matches(&entry.event));
        entries
    }

    fn find(&self, query: &EventQuery, cursor: Option<PageCursor>) -> PageResult {
        let limit = query.page_limit()?;
        let mut below = Sequence(cursor.map_or(u64::MAX, |cursor| cursor.number()));
        let mut found: Vec<LoggedEvent> = Vec::new();
        loop {
            let rows = self.below(below, query.is_delivered);
            let Some((oldest, ..)) = rows.last() else { return Ok(Page::new(found, None)) };
            below = *oldest;
            for (sequence, event, done) in rows {
                if query.is_delivered.is_some_and(|wanted| wanted != done) || !query.matches(&event)
                {
                    continue;
                }
                if found.len() == limit {
                    // There is one more, so there is a next page.
                    let cursor = found.last().map(|last| PageCursor::before(last.sequence.0));
                    return Ok(Page::new(found, cursor));
                }
                found.push(LoggedEvent::new(&event, sequence, done));
            }
        }
    }

    /// Has all events of a request id wait no more. Answers whether there is one.
    fn take(&self, id: &RequestId, taken: TakenAs) -> bool {
        let mut below = Sequence(u64::MAX);
        let mut any = false;
        loop {
            let rows = self.below(below, None);
            let Some((oldest, ..)) = rows.last() else { break };
            below = *oldest;
            for (sequence, event, _) in rows.iter().filter(|(_, it, _)| it.request_id == *id) {
                any = true;
                self.take_one(*sequence, event, taken);
            }
        }
        if any {
            self.shared.backlog.count_taken();
        }
        any
    }

    fn take_one(&self, sequence: Sequence, event: &Arc<Event>, taken: TakenAs) {
        self.shared.backlog.with(|state| {
            state.take(sequence, taken);
            self.shared.dead_letters.lock().remove_all(sequence);
            match taken {
                TakenAs::Delivered => state.keep_settled(sequence, event),
                TakenAs::Dropped | TakenAs::Expired => state.forget_settled(sequence),
            }
        });
    }
}

type PageResult = Result<Page<LoggedEvent>, LogError>;

impl EventLog for MemoryEventLog {
    fn get(&self, id: &RequestId) -> Answer<'_, Result<Option<LoggedEvent>, LogError>> {
        let query = EventQuery::new().event_ids([id.clone()]).limit(1);
        Answer::now(self.find(&query, None).map(|page| page.items.into_iter().next()))
    }

    fn page(&self, query: &EventQuery, cursor: Option<PageCursor>) -> Answer<'_, PageResult> {
        Answer::now(self.find(query, cursor))
    }

    fn entry(&self, id: &RequestId) -> Answer<'_, Result<Option<Entry>, LogError>> {
        let query = EventQuery::new().event_ids([id.clone()]);
        Answer::now(Ok(self.entries(Sequence::START, &query).into_iter().next_back()))
    }

    fn entries_after(
        &self,
        after: Sequence,
        query: &EventQuery,
    ) -> Answer<'_, Result<Vec<Entry>, LogError>> {
        let mut entries = self.entries(after, query);
        entries.truncate(BATCH);
        Answer::now(Ok(entries))
    }

    fn mark_delivered(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        Answer::now(Ok(self.take(id, TakenAs::Delivered)))
    }

    fn delete(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        Answer::now(Ok(self.take(id, TakenAs::Dropped)))
    }
}

impl fmt::Debug for MemoryEventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEventLog").finish_non_exhaustive()
    }
}
