//! The tables whose rows are moved as they are, and reading what is left of a damaged one.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, Statement, params_from_iter};

use crate::sqlite::error::is_damage;
use crate::sqlite::tables::seal::seal_values;

/// A table, its columns in order, the key first; and which of them each seal is of.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) seals: &'static [(&'static [usize], usize)],
}

pub(super) type Values = Vec<Value>;

macro_rules! tables {
    ($($const:ident = $name:literal [$($column:literal)*] $([$($sealed:literal)*] by $seal:literal)*;)*) => {
        $(pub(super) const $const: Table = Table {
            name: $name,
            columns: &[$($column),*],
            seals: &[$((&[$($sealed),*], $seal)),*],
        };)*
    };
}

tables! {
    EMITTERS = "emitters" ["key" "id" "seal"] [0 1] by 2;
    GONE = "gone" ["first" "last" "seal"] [0 1] by 2;
    SEGMENTS = "segments" ["segment" "first" "seal"] [0 1] by 2;
    STRETCHES = "stretches" ["first" "last" "segment" "oldest" "newest" "entries" "seal"]
        [0 1 2 3 4 5] by 6;
    STRAGGLERS = "stragglers" ["sequence" "name" "bytes" "entry_seal" "request_id" "emitted_at"
        "ordering_key" "traceparent" "tracestate" "seal" "payload"]
        [0 1 2] by 3 [0 1 2 4 5 6 7 8 10] by 9;
    REPLAYS = "replays" ["sequence" "emitter" "origin" "queued_at" "seal"] [0 1 2 3] by 4;
    PLACES = "places" ["emitter" "subscription" "discards" "since" "place_seal" "cursor" "settled"
        "setbacks" "moved_seal"] [0 1 2 3] by 4 [0 5 6 7] by 8;
    CARRIED = "carried" ["emitter" "entries" "carried_seal"] [0 1] by 2;
    POSITIONS = "positions" ["source" "position" "seal"] [0 1] by 2;
    SPECS = "specs" ["emitter" "subscription" "desired" "config" "seal"] [0 1 2 3] by 4;
    LETTERS = "dead_letters" ["id" "emitter" "sequence" "origin" "code" "message" "attempts"
        "created" "name" "request_id" "emitted_at" "ordering_key" "traceparent" "tracestate" "seal"
        "payload"] [1 2 3 4 5 6 7 8 9 10 11 12 13 15] by 14;
    CHAINS = "attempt_chains" ["emitter" "newest" "length" "seal"] [0 1 2] by 3;
    ATTEMPTS = "attempts" ["id" "emitter" "previous" "created" "event_id" "event_name" "sequence"
        "attempt" "code" "message" "status" "connected_to" "http_version" "resolve" "connect" "tls"
        "first_byte" "total" "head" "body" "body_cut" "attempt_seal"]
        [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20] by 21;
}

impl Table {
    /// Whether the so-manyth seal of a row fits.
    pub(super) fn fits(&self, row: &[Value], seal: usize) -> bool {
        let Some((columns, at)) = self.seals.get(seal) else { return true };
        let sealed = columns.iter().filter_map(|column| row.get(*column));
        row.get(*at) == Some(&Value::Integer(i64::from(seal_values(sealed))))
    }

    /// Whether all of them do.
    pub(super) fn is_whole(&self, row: &[Value]) -> bool {
        (0..self.seals.len()).all(|seal| self.fits(row, seal))
    }

    /// Puts rows in.
    pub(super) fn insert<'c>(&self, conn: &'c Connection) -> rusqlite::Result<Insert<'c>> {
        let places = vec!["?"; self.columns.len()].join(", ");
        let columns = self.columns.join(", ");
        let sql = format!("INSERT OR IGNORE INTO {} ({columns}) VALUES ({places})", self.name);
        Ok(Insert(conn.prepare(&sql)?))
    }

    /// Reads all rows that can be read, from the start to the first page that is damaged, and from
    /// the end back to the last; and, where the key is a number, those between by their keys.
    /// Answers whether there may be more.
    pub(super) fn each(
        &self,
        conn: &Connection,
        mut give: impl FnMut(Values) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<bool> {
        let (columns, key) = (self.columns.join(", "), self.columns.first().unwrap_or(&""));
        let select =
            |rest: &str| conn.prepare(&format!("SELECT {columns} FROM {} {rest}", self.name));
        let mut last = None;
        let mut forward = |row: Values| {
            last = row.first().cloned();
            give(row)
        };
        if self.walk(&mut select(&format!("ORDER BY {key}"))?, &mut forward)? {
            return Ok(false);
        }
        let mut first = None;
        let mut behind = Vec::new();
        let mut back = |row: Values| {
            // What was read forward is not read again.
            if last.as_ref().is_none_or(|last| row.first().is_some_and(|key| is_above(key, last))) {
                first = row.first().cloned();
                behind.push(row);
            }
            Ok(())
        };
        self.walk(&mut select(&format!("ORDER BY {key} DESC"))?, &mut back)?;
        if let (Some(Value::Integer(first)), last) = (first, last) {
            let from = if let Some(Value::Integer(last)) = last { last + 1 } else { 1 };
            let mut one = select(&format!("WHERE {key} = ?1"))?;
            // What lies between was a page or a few of them.
            for key in from.max(first - MOST_BETWEEN)..first {
                let mut rows = one.query([key])?;
                if let Ok(Some(row)) = rows.next()
                    && let Ok(row) = self.read(row)
                {
                    give(row)?;
                }
            }
        }
        behind.into_iter().rev().try_for_each(give)?;
        Ok(true)
    }

    /// Whether it came to the end.
    fn walk(
        &self,
        statement: &mut Statement<'_>,
        give: &mut dyn FnMut(Values) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<bool> {
        let mut rows = statement.query([])?;
        loop {
            match rows.next() {
                Ok(None) => return Ok(true),
                Ok(Some(row)) => give(self.read(row)?)?,
                Err(error) if is_damage(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&self, row: &Row<'_>) -> rusqlite::Result<Values> {
        // A text that is none any more is read as the bytes that it is.
        let read = |column| {
            Ok(match row.get_ref(column)? {
                rusqlite::types::ValueRef::Text(text) => match str::from_utf8(text) {
                    Ok(text) => Value::Text(text.to_owned()),
                    Err(_) => Value::Blob(text.to_owned()),
                },
                other => Value::try_from(other)?,
            })
        };
        (0..self.columns.len()).map(read).collect()
    }
}

/// How many keys are looked for one by one.
const MOST_BETWEEN: i64 = 1_000_000;

fn is_above(key: &Value, last: &Value) -> bool {
    match (key, last) {
        (Value::Integer(key), Value::Integer(last)) => key > last,
        (Value::Text(key), Value::Text(last)) => key > last,
        _ => true,
    }
}

/// Puts rows into a table.
pub(super) struct Insert<'c>(Statement<'c>);

impl Insert<'_> {
    pub(super) fn put(&mut self, row: &[Value]) -> rusqlite::Result<()> {
        self.0.execute(params_from_iter(row))?;
        Ok(())
    }
}
