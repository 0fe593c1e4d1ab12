//! The port `EventLog`, in memory: what waits, the dead letters, and what was settled last.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Entry, Event, EventLog, EventQuery, LogError, LoggedEvent, Page, PageCursor, RequestId,
    Sequence,
};

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

    /// The events behind a place, in order, each with its first place: at most a batch of them.
    fn after(&self, after: Sequence) -> Vec<(Sequence, Sequence, Arc<Event>)> {
        self.shared.backlog.with(|state| {
            let events = state.events_after(after).take(BATCH);
            events.map(|(at, origin, event)| (at, origin, Arc::clone(event))).collect()
        })
    }

    /// The newest event of a request id, at its first place.
    fn newest(&self, id: &RequestId) -> Option<Entry> {
        let mut after = Sequence::START;
        let mut newest: Option<(Sequence, Arc<Event>)> = None;
        loop {
            let rows = self.after(after);
            let Some((last, ..)) = rows.last() else { break };
            after = *last;
            for (_, origin, event) in rows.into_iter().filter(|(.., it)| it.request_id == *id) {
                if newest.as_ref().is_none_or(|(newest, _)| *newest < origin) {
                    newest = Some((origin, event));
                }
            }
        }
        newest.map(|(origin, event)| Entry::new(origin, event))
    }

    /// A batch of the events behind a place that fit, in order. Of one that is delivered again only
    /// the first place counts.
    fn entries(&self, mut after: Sequence, query: &EventQuery) -> Vec<Entry> {
        let mut entries = Vec::new();
        while entries.len() < BATCH {
            let rows = self.after(after);
            let Some((last, ..)) = rows.last() else { break };
            after = *last;
            let first = rows.into_iter().filter(|(at, origin, _)| at == origin);
            let fitting = first.filter(|(.., event)| query.matches(event));
            entries.extend(fitting.map(|(at, _, event)| Entry::new(at, event)));
        }
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
        Answer::now(Ok(self.newest(id)))
    }

    fn entries_after(
        &self,
        after: Sequence,
        query: &EventQuery,
    ) -> Answer<'_, Result<Vec<Entry>, LogError>> {
        Answer::now(Ok(self.entries(after, query)))
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
