//! Pages of events: by request id, those that are not delivered, or all; newest first.

use std::sync::Arc;

use bugle_core::{
    Event, EventName, EventQuery, LoggedEvent, Page, PageCursor, RequestId, Sequence,
};
use rusqlite::{Connection, Statement};

use super::ids::{Run, View};
use super::index::{Index, LogView};
use crate::sqlite::tables::dead_letters::{LETTER_COLUMNS, read_letter};
use crate::sqlite::tables::stragglers::stragglers_of;
use crate::sqlite::tables::values::nanoseconds;

/// Says how many events that are not delivered are looked at at a time.
const AT_ONCE: usize = 512;

/// Answers which of the newest events below a place are not delivered, newest first, at most so
/// many.
pub(crate) trait Undelivered {
    fn below(&self, below: Sequence, count: usize) -> rusqlite::Result<Vec<Sequence>>;

    /// All of them from one place up to another, newest first.
    fn between(&self, from: Sequence, to: Sequence) -> rusqlite::Result<Vec<Sequence>> {
        let mut all = Vec::new();
        let mut below = to;
        loop {
            let batch = self.below(below, AT_ONCE)?;
            all.extend(batch.iter().copied().take_while(|at| *at >= from));
            match batch.last() {
                Some(oldest) if batch.len() == AT_ONCE && *oldest >= from => below = *oldest,
                _ => return Ok(all),
            }
        }
    }

    /// Tells whether an event is among them.
    fn has(&self, sequence: Sequence) -> rusqlite::Result<bool> {
        Ok(self.below(Sequence(sequence.0.saturating_add(1)), 1)?.first() == Some(&sequence))
    }
}

/// All events with a request id, newest first.
pub(crate) fn sequences_of(
    conn: &Connection,
    log: &LogView,
    view: &View,
    id: &RequestId,
) -> rusqlite::Result<Vec<(Sequence, Arc<Event>)>> {
    let transaction = conn.unchecked_transaction()?;
    let mut events = Events::new(conn, log)?;
    let ids = std::slice::from_ref(id);
    let mut found = Vec::new();
    for at in events.candidates(view, ids)? {
        let at = Sequence(at.cast_unsigned());
        if let Some(event) = events.read(at)?.filter(|event| event.request_id == *id) {
            found.push((at, event));
        }
    }
    drop(events);
    transaction.commit()?;
    Ok(found)
}

/// What is searched for, and where.
pub(crate) struct EventSearch {
    pub(crate) query: EventQuery,
    /// Says how many rows a page has.
    pub(crate) limit: usize,
    /// Only events below this.
    pub(crate) below: i64,
    /// Where events are by id and by time.
    pub(crate) view: View,
}

impl EventSearch {
    /// The page.
    pub(crate) fn run(
        self,
        conn: &Connection,
        log: &LogView,
        undelivered: &impl Undelivered,
    ) -> rusqlite::Result<Page<LoggedEvent>> {
        let mut found = Found { search: &self, items: Vec::new() };
        let mut events = Events::new(conn, log)?;
        if !self.query.event_ids.is_empty() {
            self.by_id(&mut events, undelivered, &mut found)?;
        } else if self.query.is_delivered == Some(false) {
            self.not_delivered(&mut events, undelivered, &mut found)?;
        } else {
            self.all(&mut events, undelivered, &mut found)?;
        }
        let mut items = found.items;
        if items.len() <= self.limit {
            return Ok(Page::new(items, None));
        }
        // There is one more, so there is a next page.
        items.truncate(self.limit);
        let cursor = items.last().map(|last| PageCursor::before(last.sequence.0));
        Ok(Page::new(items, cursor))
    }

    fn by_id(
        &self,
        events: &mut Events<'_>,
        undelivered: &impl Undelivered,
        found: &mut Found<'_>,
    ) -> rusqlite::Result<()> {
        let candidates = events.candidates(&self.view, &self.query.event_ids)?;
        for at in candidates.into_iter().filter(|at| *at < self.below) {
            let at = Sequence(at.cast_unsigned());
            let Some(event) = events.read(at)? else { continue };
            if self.query.matches(&event) && found.offer(at, &event, !undelivered.has(at)?) {
                break;
            }
        }
        Ok(())
    }

    /// What is not delivered is known without a search.
    fn not_delivered(
        &self,
        events: &mut Events<'_>,
        undelivered: &impl Undelivered,
        found: &mut Found<'_>,
    ) -> rusqlite::Result<()> {
        let mut below = Sequence(self.below.cast_unsigned());
        loop {
            let batch = undelivered.below(below, AT_ONCE)?;
            let Some(oldest) = batch.last() else { return Ok(()) };
            below = *oldest;
            for at in batch {
                if self.skips(at) || !self.wants_named(events, at)? {
                    continue;
                }
                let Some(event) = events.read(at)? else { continue };
                if self.query.matches(&event) && found.offer(at, &event, false) {
                    return Ok(());
                }
            }
        }
    }

    /// Walks through all that is on disk, stretch by stretch: names first, which lie close
    /// together.
    fn all(
        &self,
        events: &mut Events<'_>,
        undelivered: &impl Undelivered,
        found: &mut Found<'_>,
    ) -> rusqlite::Result<()> {
        let mut below = Sequence(self.below.cast_unsigned());
        loop {
            let stretch = events.index.below(below)?;
            let first = stretch.as_ref().map_or(Sequence::START, |it| it.first);
            let open = undelivered.between(first, below)?;
            let is_open = |at: Sequence| open.binary_search_by(|other| at.cmp(other)).is_ok();
            let mut wanted: Vec<(Sequence, bool)> = Vec::new();
            if let Some(stretch) = &stretch
                && self.may_hold(stretch.oldest, stretch.newest)
            {
                let gone = events.index.gone(stretch.first, stretch.last)?;
                let here = stretch
                    .events()
                    .filter(|(at, name, _)| *at < below && self.wants(name) && !gone.has(*at));
                wanted.extend(here.map(|(at, ..)| (at, !is_open(at))));
            }
            // What is nowhere else any more: a dead letter, or a straggler.
            let end = stretch.as_ref().map_or(Sequence::START, |it| it.last);
            let settled = events.index.stragglers(end, below)?;
            wanted.extend(settled.into_iter().map(|at| (at, !is_open(at))));
            wanted.extend(open.iter().map(|at| (*at, false)));
            wanted.sort_unstable_by(|one, other| other.cmp(one));
            wanted.dedup_by_key(|(at, _)| *at);
            let is_wanted = |done: bool| self.query.is_delivered.is_none_or(|it| it == done);
            for (at, is_delivered) in wanted.into_iter().filter(|(_, done)| is_wanted(*done)) {
                let Some(event) = events.read(at)? else { continue };
                if self.query.matches(&event) && found.offer(at, &event, is_delivered) {
                    return Ok(());
                }
            }
            if stretch.is_none() {
                return Ok(());
            }
            below = first;
        }
    }

    fn wants(&self, name: &EventName) -> bool {
        self.query.names.as_ref().is_none_or(|wanted| wanted.matches(name))
    }

    /// Tells whether an event's name is wanted, as far as that is known without reading the event.
    fn wants_named(&self, events: &mut Events<'_>, at: Sequence) -> rusqlite::Result<bool> {
        if self.query.names.is_none() {
            return Ok(true);
        }
        Ok(events.index.entry(at)?.is_none_or(|(name, _)| self.wants(&name)))
    }

    /// Tells whether an event is in a run that holds nothing of the wanted time.
    fn skips(&self, at: Sequence) -> bool {
        let run = self.view.run_of(at.0.cast_signed());
        run.is_some_and(|Run { oldest, newest, .. }| !self.may_hold(oldest, newest))
    }

    fn may_hold(&self, oldest: i64, newest: i64) -> bool {
        self.query.after.is_none_or(|after| newest >= nanoseconds(after))
            && self.query.before.is_none_or(|before| oldest < nanoseconds(before))
    }
}

/// The rows that were found, one more than a page has at the most.
struct Found<'s> {
    search: &'s EventSearch,
    items: Vec<LoggedEvent>,
}

impl Found<'_> {
    /// Takes an event. Tells whether that is enough.
    fn offer(&mut self, at: Sequence, event: &Event, is_delivered: bool) -> bool {
        if self.search.query.is_delivered.is_none_or(|wanted| wanted == is_delivered) {
            self.items.push(LoggedEvent::new(event, at, is_delivered));
        }
        self.items.len() > self.search.limit
    }
}

/// Events by their place: from the journal, or, where that has let go of them, from dead letters.
struct Events<'c> {
    conn: &'c Connection,
    log: &'c LogView,
    index: Index<'c>,
    letter: Statement<'c>,
    letters_of: Statement<'c>,
}

impl<'c> Events<'c> {
    fn new(conn: &'c Connection, log: &'c LogView) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            log,
            index: Index::new(conn, log)?,
            letter: conn.prepare(&format!(
                "SELECT {LETTER_COLUMNS} FROM dead_letters WHERE sequence = ?1 LIMIT 1"
            ))?,
            letters_of: conn.prepare("SELECT sequence FROM dead_letters WHERE request_id = ?1")?,
        })
    }

    fn read(&mut self, at: Sequence) -> rusqlite::Result<Option<Arc<Event>>> {
        if let Some(event) = self.index.read(at)?.whole()? {
            return Ok(Some(event));
        }
        let mut rows = self.letter.query([at.0.cast_signed()])?;
        rows.next()?.map(|row| Ok(read_letter(row)?.event)).transpose()
    }

    /// All events that may have one of these ids, newest first.
    fn candidates(&mut self, view: &View, ids: &[RequestId]) -> rusqlite::Result<Vec<i64>> {
        let mut found = view.find(self.conn, ids)?;
        for id in ids {
            let letters = self.letters_of.query_map([id.as_str()], |row| row.get(0))?;
            found.extend(letters.collect::<rusqlite::Result<Vec<i64>>>()?);
            found.extend(stragglers_of(self.conn, id)?);
        }
        let tail = self.log.tail.iter().flat_map(|frame| frame.numbered());
        let tail = tail.filter(|(_, it)| ids.contains(&it.event.request_id));
        found.extend(tail.map(|(at, _)| at.0.cast_signed()));
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.dedup();
        Ok(found)
    }
}
