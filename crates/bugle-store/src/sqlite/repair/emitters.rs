//! The emitters' numbers and ids, by which all else knows them.

use std::collections::BTreeSet;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::rows::{Rows, number, reseal, set, words};
use super::tables::EMITTERS;

impl Rows<'_> {
    /// An emitter whose id can't be read goes on under another, with all that it has. Where its
    /// number is what is damaged, it is the one that other rows know and no emitter has.
    pub(super) fn emitters(&mut self, old: &Connection) -> rusqlite::Result<()> {
        let mut insert = EMITTERS.insert(self.new)?;
        let (mut known, mut damaged) = (BTreeSet::new(), Vec::new());
        self.each(old, &EMITTERS, |_, row| {
            if !EMITTERS.is_whole(&row) {
                damaged.push(row);
                return Ok(());
            }
            known.extend(number(&row, 0));
            insert.put(&row)
        })?;
        for mut row in damaged {
            let key = words(row.first());
            let fits = |number: &i64| {
                let mut other = row.clone();
                set(&mut other, 0, Value::Integer(*number));
                EMITTERS.is_whole(&other)
            };
            let unknown = referred(old).into_iter().filter(|number| !known.contains(number));
            if let Some(number) = unknown.into_iter().find(fits) {
                self.say(format!(
                    "the number of emitter {} is damaged: written anew",
                    words(row.get(1))
                ));
                set(&mut row, 0, Value::Integer(number));
            } else {
                self.rename(&key, &words(row.get(1)));
                set(&mut row, 1, Value::Text(format!("damaged-{key}")));
                reseal(&EMITTERS, &mut row);
            }
            known.extend(number(&row, 0));
            insert.put(&row)?;
        }
        Ok(())
    }

    /// What is of an emitter that has no row any more is of one under another id.
    pub(super) fn orphans(&mut self) -> rusqlite::Result<()> {
        let mut insert = EMITTERS.insert(self.new)?;
        let mut known = self.new.prepare("SELECT 1 FROM emitters WHERE key = ?1")?;
        for key in referred(self.new) {
            if !known.exists([key])? {
                self.rename(&key.to_string(), "it is gone");
                let id = Value::Text(format!("damaged-{key}"));
                let mut row = vec![Value::Integer(key), id, Value::Null];
                reseal(&EMITTERS, &mut row);
                insert.put(&row)?;
            }
        }
        Ok(())
    }

    fn rename(&mut self, key: &str, found: &str) {
        self.say(format!(
            "the id of the emitter with the number {key} is damaged ({found}): it goes on as \
             damaged-{key}, with its place, its spec and its dead letters. Attach it under its own \
             id, and detach damaged-{key} when nothing waits for it"
        ));
    }
}

/// The numbers of the emitters that any row refers to.
fn referred(conn: &Connection) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    for table in ["places", "specs", "dead_letters", "replays", "attempts"] {
        let sql = format!("SELECT DISTINCT emitter FROM {table}");
        if let Ok(mut statement) = conn.prepare(&sql)
            && let Ok(rows) = statement.query_map([], |row| row.get::<_, i64>(0))
        {
            all.extend(rows.flatten());
        }
    }
    all
}
