//! Pages of events: by request id, those that are not delivered, or all; newest first.

use std::collections::HashMap;
use std::sync::Arc;

use bugle_core::{
    Event, EventName, EventQuery, LoggedEvent, Page, PageCursor, RequestId, Sequence,
};
use rusqlite::{Connection, OptionalExtension, Statement};

use super::dead_letters::{LETTER_COLUMNS, read_letter};
use super::events::{EVENT_COLUMNS, nanoseconds, read_event, read_text};
use super::ids::{Run, View};
use super::seal::check_seal;

/// How many rows a walk through all of them reads at a time.
const SCANNED: usize = 512;

/// Answers which of the newest events below a place are not delivered, newest first, at most so
/// many.
pub(super) trait Undelivered {
    fn below(&self, below: Sequence, count: usize) -> rusqlite::Result<Vec<Sequence>>;

    /// All of them from one place up to another, newest first.
    fn between(&self, from: i64, to: i64) -> rusqlite::Result<Vec<i64>> {
        let mut all = Vec::new();
        let mut below = Sequence(to.cast_unsigned());
        loop {
            let batch = self.below(below, SCANNED)?;
            let here = batch.iter().map(|it| it.0.cast_signed()).take_while(|at| *at >= from);
            all.extend(here);
            match batch.last() {
                Some(oldest) if batch.len() == SCANNED && oldest.0.cast_signed() >= from => {
                    below = *oldest;
                }
                _ => return Ok(all),
            }
        }
    }

    /// Whether an event is among them.
    fn has(&self, sequence: Sequence) -> rusqlite::Result<bool> {
        Ok(self.below(Sequence(sequence.0.saturating_add(1)), 1)?.first() == Some(&sequence))
    }
}

/// All events with a request id, newest first.
pub(super) fn sequences_of(
    conn: &Connection,
    view: &View,
    id: &RequestId,
) -> rusqlite::Result<Vec<(Sequence, Arc<Event>)>> {
    let transaction = conn.unchecked_transaction()?;
    let mut rows = EventRows::new(conn)?;
    let ids = std::slice::from_ref(id);
    let mut found = Vec::new();
    for at in rows.candidates(conn, view, ids)? {
        if let Some(event) = rows.read(at)?.filter(|event| event.request_id == *id) {
            found.push((Sequence(at.cast_unsigned()), event));
        }
    }
    drop(rows);
    transaction.commit()?;
    Ok(found)
}

/// What is searched for, and where.
pub(super) struct EventSearch {
    pub(super) query: EventQuery,
    /// How many rows a page has.
    pub(super) limit: usize,
    /// Only events below this.
    pub(super) below: i64,
    /// Where events are by id and by time.
    pub(super) view: View,
}

impl EventSearch {
    /// The page.
    pub(super) fn run(
        self,
        conn: &Connection,
        undelivered: &impl Undelivered,
    ) -> rusqlite::Result<Page<LoggedEvent>> {
        let mut found = Found { search: &self, items: Vec::new() };
        if !self.query.event_ids.is_empty() {
            self.by_id(conn, undelivered, &mut found)?;
        } else if self.query.is_delivered == Some(false) {
            self.not_delivered(conn, undelivered, &mut found)?;
        } else {
            self.all(conn, undelivered, &mut found)?;
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
        conn: &Connection,
        undelivered: &impl Undelivered,
        found: &mut Found<'_>,
    ) -> rusqlite::Result<()> {
        let mut rows = EventRows::new(conn)?;
        let candidates = rows.candidates(conn, &self.view, &self.query.event_ids)?;
        for at in candidates.into_iter().filter(|at| *at < self.below) {
            let Some(event) = rows.read(at)? else { continue };
            if self.query.matches(&event)
                && found.offer(at, &event, !undelivered.has(Sequence(at.cast_unsigned()))?)
            {
                break;
            }
        }
        Ok(())
    }

    /// What is not delivered is known without a search.
    fn not_delivered(
        &self,
        conn: &Connection,
        undelivered: &impl Undelivered,
        found: &mut Found<'_>,
    ) -> rusqlite::Result<()> {
        let mut rows = EventRows::new(conn)?;
        let mut below = Sequence(self.below.cast_unsigned());
        loop {
            let batch = undelivered.below(below, SCANNED)?;
            let Some(oldest) = batch.last() else { return Ok(()) };
            below = *oldest;
            for at in batch.iter().map(|sequence| sequence.0.cast_signed()) {
                if self.skip(at).is_some() || !rows.is_named(at, self)? {
                    continue;
                }
                let Some(event) = rows.read(at)? else { continue };
                if self.query.matches(&event) && found.offer(at, &event, false) {
                    return Ok(());
                }
            }
        }
    }

    /// Walks through all that is on disk: names first, which lie close together.
    fn all(
        &self,
        conn: &Connection,
        undelivered: &impl Undelivered,
        found: &mut Found<'_>,
    ) -> rusqlite::Result<()> {
        let mut rows = EventRows::new(conn)?;
        let mut scan = conn.prepare(
            "SELECT sequence, name, bytes, entry_seal FROM entries WHERE sequence < ?1 \
             ORDER BY sequence DESC LIMIT ?2",
        )?;
        let mut names = Names { query: &self.query, known: HashMap::new() };
        let mut below = self.below;
        loop {
            let above = below;
            let mut there = Vec::new();
            let mut skipped = false;
            let mut entries = scan.query((above, SCANNED as i64))?;
            while let Some(row) = entries.next()? {
                below = row.get(0)?;
                if let Some(first) = self.skip(below) {
                    below = first;
                    skipped = true;
                    break;
                }
                check_seal(row, 0..3, 3, "an entry")?;
                there.push((below, names.wants(row.get_ref(1)?.as_str()?)));
            }
            drop(entries);
            let is_end = !skipped && there.len() < SCANNED;
            if is_end {
                below = 0;
            }
            for (at, is_delivered) in self.wanted(&there, undelivered.between(below, above)?) {
                let Some(event) = rows.read(at)? else { continue };
                if self.query.matches(&event) && found.offer(at, &event, is_delivered) {
                    return Ok(());
                }
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// Of the rows that are there, and of what is not delivered, which may be there no more but as
    /// a dead letter: those that may be wanted, newest first.
    fn wanted(&self, there: &[(i64, bool)], not_delivered: Vec<i64>) -> Vec<(i64, bool)> {
        let is_there = |at: i64| there.binary_search_by(|(other, _)| at.cmp(other)).is_ok();
        let is_open = |at: i64| not_delivered.binary_search_by(|other| at.cmp(other)).is_ok();
        let mut wanted: Vec<(i64, bool)> = there
            .iter()
            .filter(|(_, wanted)| *wanted)
            .map(|(at, _)| (*at, !is_open(*at)))
            .chain(not_delivered.iter().filter(|at| !is_there(**at)).map(|at| (*at, false)))
            .filter(|(_, done)| self.query.is_delivered.is_none_or(|wanted| wanted == *done))
            .filter(|(at, _)| self.skip(*at).is_none())
            .collect();
        wanted.sort_unstable_by(|one, other| other.cmp(one));
        wanted
    }

    /// The first event of the run that one is in, if the run holds nothing of the wanted time.
    fn skip(&self, at: i64) -> Option<i64> {
        if self.query.after.is_none() && self.query.before.is_none() {
            return None;
        }
        let run = self.view.run_of(at)?;
        (!self.may_hold(&run)).then_some(run.first)
    }

    fn may_hold(&self, run: &Run) -> bool {
        self.query.after.is_none_or(|after| run.newest >= nanoseconds(after))
            && self.query.before.is_none_or(|before| run.oldest < nanoseconds(before))
    }
}

/// Which names are wanted, each found out once.
struct Names<'q> {
    query: &'q EventQuery,
    known: HashMap<String, bool>,
}

impl Names<'_> {
    fn wants(&mut self, name: &str) -> bool {
        let Some(wanted) = &self.query.names else { return true };
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let wants = EventName::new(name).is_ok_and(|name| wanted.matches(&name));
        self.known.insert(name.to_owned(), wants);
        wants
    }
}

/// The rows that were found, one more than a page has at the most.
struct Found<'s> {
    search: &'s EventSearch,
    items: Vec<LoggedEvent>,
}

impl Found<'_> {
    /// Takes an event. Whether that is enough.
    fn offer(&mut self, at: i64, event: &Event, is_delivered: bool) -> bool {
        if self.search.query.is_delivered.is_none_or(|wanted| wanted == is_delivered) {
            self.items.push(LoggedEvent::new(event, Sequence(at.cast_unsigned()), is_delivered));
        }
        self.items.len() > self.search.limit
    }
}

/// Events by their place: from the journal, or, where that has let go of them, from dead letters.
struct EventRows<'c> {
    event: Statement<'c>,
    letter: Statement<'c>,
    name: Statement<'c>,
    letters_of: Statement<'c>,
}

impl<'c> EventRows<'c> {
    fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            event: conn.prepare(&format!(
                "SELECT sequence, name, {EVENT_COLUMNS} FROM events JOIN entries USING (sequence) \
                 WHERE sequence = ?1"
            ))?,
            letter: conn.prepare(&format!(
                "SELECT {LETTER_COLUMNS} FROM dead_letters WHERE sequence = ?1 LIMIT 1"
            ))?,
            name: conn.prepare(
                "SELECT sequence, name, bytes, entry_seal FROM entries WHERE sequence = ?1",
            )?,
            letters_of: conn.prepare("SELECT sequence FROM dead_letters WHERE request_id = ?1")?,
        })
    }

    fn read(&mut self, at: i64) -> rusqlite::Result<Option<Arc<Event>>> {
        let mut rows = self.event.query([at])?;
        if let Some(row) = rows.next()? {
            return read_event(row, 1).map(Some);
        }
        let mut rows = self.letter.query([at])?;
        rows.next()?.map(|row| Ok(read_letter(row)?.event)).transpose()
    }

    /// Whether an event's name is wanted, as far as that is known without reading the event.
    fn is_named(&mut self, at: i64, search: &EventSearch) -> rusqlite::Result<bool> {
        let Some(wanted) = &search.query.names else { return Ok(true) };
        let name = |row: &rusqlite::Row<'_>| {
            check_seal(row, 0..3, 3, "an entry")?;
            read_text(row, 1, EventName::new)
        };
        let name = self.name.query_row([at], name).optional()?;
        Ok(name.is_none_or(|name| wanted.matches(&name)))
    }

    /// All events that may have one of these ids, newest first.
    fn candidates(
        &mut self,
        conn: &Connection,
        view: &View,
        ids: &[RequestId],
    ) -> rusqlite::Result<Vec<i64>> {
        let mut found = view.find(conn, ids)?;
        for id in ids {
            let letters = self.letters_of.query_map([id.as_str()], |row| row.get(0))?;
            found.extend(letters.collect::<rusqlite::Result<Vec<i64>>>()?);
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.dedup();
        Ok(found)
    }
}
