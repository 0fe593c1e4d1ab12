//! Which numbers have no event any more, because it was deleted on purpose or taken back.
//!
//! Each number that was given is in the index of the log or in one of these ranges, or in both
//! where one event of a frame is gone. So a number that is in neither is a loss, and is not taken
//! for what was deleted. Ranges that touch are one, so there are about as many as there are events
//! that outstay their neighbours.

use bugle_core::Sequence;
use rusqlite::{Connection, Statement};

use crate::sqlite::tables::seal::{check_seal, seal};

/// Numbers, from the first to the last.
pub(crate) type Range = (i64, i64);

/// What is done with the table.
pub(crate) struct GoneTable<'c> {
    before: Statement<'c>,
    within: Statement<'c>,
    delete: Statement<'c>,
    insert: Statement<'c>,
}

impl<'c> GoneTable<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            before: conn.prepare(
                "SELECT first, last FROM gone WHERE first < ?1 ORDER BY first DESC LIMIT 1",
            )?,
            within: conn
                .prepare("SELECT first, last FROM gone WHERE first >= ?1 AND first <= ?2")?,
            delete: conn.prepare("DELETE FROM gone WHERE first = ?1")?,
            insert: conn.prepare("INSERT INTO gone (first, last, seal) VALUES (?1, ?2, ?3)")?,
        })
    }

    /// These events are deleted, from the first to the last, whether or not they were there.
    pub(crate) fn add(&mut self, first: i64, last: i64) -> rusqlite::Result<()> {
        let (mut first, mut last) = (first, last);
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let before = self.before.query_map([first], read)?;
        let mut touched: Vec<Range> = before.collect::<rusqlite::Result<_>>()?;
        touched.retain(|range| range.1 + 1 >= first);
        let within = self.within.query_map([first, last + 1], read)?;
        for range in within {
            touched.push(range?);
        }
        for range in touched {
            self.delete.execute([range.0])?;
            (first, last) = (first.min(range.0), last.max(range.1));
        }
        let seal = seal(&[first.into(), last.into()]);
        self.insert.execute((first, last, seal))?;
        Ok(())
    }

    /// The same, of numbers in order.
    pub(crate) fn add_all(&mut self, numbers: &[i64]) -> rusqlite::Result<()> {
        for run in numbers.chunk_by(|one, next| one + 1 == *next) {
            if let [first, .., last] | [first @ last] = run {
                self.add(*first, *last)?;
            }
        }
        Ok(())
    }
}

/// The ranges that reach beyond a place.
pub(crate) fn load_gone(conn: &Connection, from: Sequence) -> rusqlite::Result<Vec<Range>> {
    let mut statement =
        conn.prepare("SELECT first, last, seal FROM gone WHERE last > ?1 ORDER BY first")?;
    let found = statement.query_map([from.0.cast_signed()], |row| {
        check_seal(row, 0..2, 2, "a range of deleted events")?;
        Ok((row.get(0)?, row.get(1)?))
    })?;
    found.collect()
}

/// Ranges of numbers, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges(pub(crate) Vec<Range>);

impl Ranges {
    /// Whether a number is in one of them.
    pub(crate) fn has(&self, at: Sequence) -> bool {
        let at = at.0.cast_signed();
        let index = self.0.partition_point(|range| range.1 < at);
        self.0.get(index).is_some_and(|range| range.0 <= at)
    }
}

/// Finds the numbers that are neither in the index nor in a range.
#[derive(Debug)]
pub(crate) struct Holes {
    next: i64,
    gone: std::iter::Peekable<std::vec::IntoIter<Range>>,
    found: Vec<Range>,
}

impl Holes {
    /// Looks behind a place, where these ranges are gone.
    pub(crate) fn behind(from: Sequence, gone: Vec<Range>) -> Self {
        let next = from.0.cast_signed() + 1;
        Self { next, gone: gone.into_iter().peekable(), found: Vec::new() }
    }

    /// The index has all from one number up to another, behind all others up to now.
    pub(crate) fn cover(&mut self, first: Sequence, last: Sequence) {
        let [first, last] = [first, last].map(|it| it.0.cast_signed());
        while self.next < first {
            match self.gone.next_if(|range| range.0 <= self.next) {
                Some(range) => self.next = self.next.max(range.1 + 1),
                None => {
                    let end = self.gone.peek().map_or(first, |range| range.0.min(first));
                    self.found.push((self.next, end - 1));
                    self.next = end;
                }
            }
        }
        self.next = self.next.max(last + 1);
    }

    /// All that is missing up to what was covered last.
    pub(crate) fn found(self) -> Vec<Range> {
        self.found
    }
}

/// Says which numbers are missing.
pub(crate) fn in_words(missing: &[Range]) -> String {
    let count: i64 = missing.iter().map(|(first, last)| last - first + 1).sum();
    let mut ranges: Vec<String> = missing
        .iter()
        .take(8)
        .map(
            |(first, last)| {
                if first == last { format!("{first}") } else { format!("{first} to {last}") }
            },
        )
        .collect();
    if missing.len() > ranges.len() {
        ranges.push("and more".to_owned());
    }
    match count {
        1 => format!("1 accepted event is missing, number {}", ranges.join(", ")),
        _ => format!("{count} accepted events are missing, numbers {}", ranges.join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;

    fn table() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE gone (first INTEGER PRIMARY KEY, last INTEGER, seal INTEGER)",
        )
        .unwrap();
        conn
    }

    proptest! {
        /// Whatever is deleted in whatever order: the ranges are the numbers, and the holes are the
        /// numbers that have no entry and were not deleted.
        #[test]
        fn ranges_are_the_deleted_numbers(
            deleted in prop::collection::vec((1_i64..60, 0_i64..6), 0..40),
            entries in prop::collection::btree_set(1_i64..70, 0..40),
            from in 0_i64..60,
        ) {
            let conn = table();
            let mut gone = GoneTable::new(&conn).unwrap();
            let mut model = BTreeSet::new();
            for (first, more) in deleted {
                gone.add(first, first + more).unwrap();
                model.extend(first..=first + more);
            }
            let ranges = load_gone(&conn, Sequence::START).unwrap();
            let numbers: Vec<i64> =
                ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
            prop_assert_eq!(&numbers, &model.iter().copied().collect::<Vec<_>>());
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", ranges);

            let all = Ranges(ranges);
            for at in 0_i64..80 {
                let has = all.has(Sequence(at.cast_unsigned()));
                prop_assert_eq!(has, model.contains(&at));
            }
            let from = Sequence(from.cast_unsigned());
            let mut holes = Holes::behind(from, load_gone(&conn, from).unwrap());
            let start = from.0.cast_signed() + 1;
            for at in entries.range(start..).chain([&70]) {
                let at = Sequence(at.cast_unsigned());
                holes.cover(at, at);
            }
            let found: Vec<i64> = holes
                .found()
                .iter()
                .flat_map(|(first, last)| *first..=*last)
                .collect();
            let missing = (start..70).filter(|at| !entries.contains(at) && !model.contains(at));
            prop_assert_eq!(found, missing.collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(in_words(&[(7, 7)]), "1 accepted event is missing, number 7");
        let said = in_words(&[(7, 7), (9, 12)]);
        assert_eq!(said, "5 accepted events are missing, numbers 7, 9 to 12");
    }
}
