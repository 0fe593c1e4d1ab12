//! What becomes of each kind of row: it is moved as it is, mended, or lost, and that is said.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Repair;
use super::tables::{
    ATTEMPTS, CARRIED, CHAINS, GONE, LETTERS, PLACES, POSITIONS, REPLAYS, SPECS, STRAGGLERS, Table,
    Values,
};
use crate::log::LogReader;
use crate::sqlite::search::ids::{Ids, Indexed, check_buckets};
use crate::sqlite::tables::attempts::MARKED;
use crate::sqlite::tables::seal::seal_values;

/// Moves rows into a new database.
pub(super) struct Rows<'a> {
    pub(super) new: &'a Connection,
    pub(super) repair: &'a mut Repair,
}

impl<'a> Rows<'a> {
    pub(super) fn new(new: &'a Connection, repair: &'a mut Repair) -> Self {
        Self { new, repair }
    }

    /// Moves what can be trusted of all tables.
    pub(super) fn salvage(&mut self, old: &Connection, log: &LogReader) -> rusqlite::Result<()> {
        self.emitters(old)?;
        self.plain(old, &GONE, "a range of deleted events is lost: they count as lost events")?;
        self.plain(old, &POSITIONS, "a source's position is lost: it is read from its start")?;
        self.plain(
            old,
            &REPLAYS,
            "a replay is lost: its event is not delivered again to its emitter",
        )?;
        self.stragglers(old)?;
        self.places(old)?;
        self.plain(old, &LETTERS, "a dead letter is lost, with its event")?;
        self.attempts(old)?;
        self.indexes(old, log)?;
        self.orphans()
    }

    /// These are built anew in any case.
    fn indexes(&mut self, old: &Connection, log: &LogReader) -> rusqlite::Result<()> {
        self.each(old, &CHAINS, |this, row| {
            if !CHAINS.is_whole(&row) {
                this.say("an index of attempts by their emitters is damaged: built anew");
            }
            Ok(())
        })?;
        for (indexed, what) in [(Indexed::Events, "events"), (Indexed::Attempts, "attempts")] {
            if Ids::load(old, indexed, log).and_then(|_| check_buckets(old, indexed)).is_err() {
                self.say(format!("an index of {what} by their ids is damaged: built anew"));
            }
        }
        Ok(())
    }

    pub(super) fn say(&mut self, finding: impl Into<String>) {
        let finding = finding.into();
        if !self.repair.findings.contains(&finding) {
            self.repair.findings.push(finding);
        }
    }

    /// Reads a table; says so where a part of it can't be.
    pub(super) fn each(
        &mut self,
        old: &Connection,
        table: &Table,
        mut give: impl FnMut(&mut Self, Values) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        match table.each(old, |row| give(self, row)) {
            Ok(false) => {}
            Ok(true) => {
                self.say(format!("a part of the table {} can't be read", table.name));
            }
            // Without its table there is nothing of it.
            Err(error) => self.say(format!("the table {} can't be read ({error})", table.name)),
        }
        Ok(())
    }

    /// Rows that are there as they were, or not at all.
    fn plain(&mut self, old: &Connection, table: &Table, lost: &str) -> rusqlite::Result<()> {
        let mut insert = table.insert(self.new)?;
        self.each(old, table, |this, row| {
            if table.is_whole(&row) {
                return insert.put(&row);
            }
            let key = words(row.first());
            this.say(format!("{} {key} is damaged: {lost}", table.name));
            Ok(())
        })
    }

    /// A damaged event stays as it is, as long as its name is known: each emitter that waits for it
    /// gives it up as damaged.
    fn stragglers(&mut self, old: &Connection) -> rusqlite::Result<()> {
        let mut insert = STRAGGLERS.insert(self.new)?;
        self.each(old, &STRAGGLERS, |this, mut row| {
            let key = words(row.first());
            match [0, 1].map(|seal| STRAGGLERS.fits(&row, seal)) {
                [true, true] => {}
                [true, false] => this.say(format!(
                    "event {key} is damaged: each emitter that waits for it gives it up as damaged"
                )),
                // All of it is as it was but for the seal of a part.
                [false, true] => reseal(&STRAGGLERS, &mut row),
                [false, false] => {
                    this.say(format!("the name of event {key} is damaged: the event is lost"));
                    return Ok(());
                }
            }
            insert.put(&row)
        })
    }

    /// Where it is not known how far an emitter was, events are delivered again rather than not.
    fn places(&mut self, old: &Connection) -> rusqlite::Result<()> {
        let mut specs = BTreeMap::new();
        let mut insert = SPECS.insert(self.new)?;
        self.each(old, &SPECS, |this, row| {
            let key = words(row.first());
            if !SPECS.is_whole(&row) {
                this.say(format!(
                    "the spec of the emitter with the number {key} is damaged and lost: attach it \
                     again"
                ));
                return Ok(());
            }
            if let (Some(key), Some(names)) = (number(&row, 0), row.get(1)) {
                specs.insert(key, names.clone());
            }
            insert.put(&row)
        })?;
        let mut insert = PLACES.insert(self.new)?;
        self.each(old, &PLACES, |this, mut row| {
            let key = words(row.first());
            let known = number(&row, 0).unwrap_or_default();
            if !PLACES.fits(&row, 0) {
                let Some(names) = specs.get(&known) else {
                    this.say(format!(
                        "the place of the emitter with the number {key} is damaged, and it has no \
                         spec: it is lost, and what waited for it is not delivered"
                    ));
                    return Ok(());
                };
                set(&mut row, 1, names.clone());
                set(&mut row, 2, Value::Integer(0));
                set(&mut row, 3, Value::Integer(0));
                this.say(format!(
                    "the place of the emitter with the number {key} is damaged: it waits for all \
                     that its spec's subscription matches behind its cursor"
                ));
            }
            if !PLACES.fits(&row, 1) {
                let since = row.get(3).cloned().unwrap_or(Value::Integer(0));
                this.say(format!(
                    "how far the emitter with the number {key} was is damaged: all that it wants \
                     behind number {} and is still there is delivered again",
                    words(Some(&since))
                ));
                set(&mut row, 5, since);
                set(&mut row, 6, Value::Null);
                set(&mut row, 7, Value::Null);
            }
            reseal(&PLACES, &mut row);
            insert.put(&row)
        })?;
        self.plain(
            old,
            &CARRIED,
            "what waited for this emitter when its subscription was changed is not delivered",
        )
    }

    /// The good ones are chained anew.
    fn attempts(&mut self, old: &Connection) -> rusqlite::Result<()> {
        let mut insert = ATTEMPTS.insert(self.new)?;
        let mut chains: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        let new = self.new;
        let mut mark = new.prepare("INSERT INTO attempt_marks (emitter, id) VALUES (?1, ?2)")?;
        self.each(old, &ATTEMPTS, |this, mut row| {
            if !ATTEMPTS.is_whole(&row) {
                this.say(format!("attempt {} is damaged and lost", words(row.first())));
                return Ok(());
            }
            let (Some(id), Some(emitter)) = (number(&row, 0), number(&row, 1)) else {
                return Ok(());
            };
            let chain = chains.entry(emitter).or_default();
            if chain.1 % MARKED == 0 {
                mark.execute([emitter, id])?;
            }
            set(&mut row, 2, Value::Integer(chain.0));
            *chain = (id, chain.1 + 1);
            reseal(&ATTEMPTS, &mut row);
            insert.put(&row)
        })?;
        let sql = "INSERT INTO attempt_chains (emitter, newest, length, seal) VALUES (?, ?, ?, ?)";
        let mut chain = new.prepare(sql)?;
        for (emitter, (newest, length)) in chains {
            let seal = seal_values(&[emitter, newest, length].map(Value::Integer));
            chain.execute((emitter, newest, length, seal))?;
        }
        Ok(())
    }
}

pub(super) fn set(row: &mut Values, column: usize, value: Value) {
    if let Some(found) = row.get_mut(column) {
        *found = value;
    }
}

/// Seals a row as it is now.
pub(super) fn reseal(table: &Table, row: &mut Values) {
    for (columns, at) in table.seals {
        let seal = seal_values(columns.iter().filter_map(|column| row.get(*column)));
        set(row, *at, Value::Integer(i64::from(seal)));
    }
}

pub(super) fn number(row: &[Value], column: usize) -> Option<i64> {
    match row.get(column) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    }
}

/// A value as it is said.
pub(super) fn words(value: Option<&Value>) -> String {
    match value {
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Text(text)) => format!("{text:?}"),
        _ => "?".to_owned(),
    }
}
