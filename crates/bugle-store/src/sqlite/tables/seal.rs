//! A row's seal: a CRC-32 of all that it says, its key included.
//!
//! The disk may change a bit of a row, and SQLite does not see it. Each row that decides something
//! has a seal as its last column, and who reads it compares. The seal goes over the values with
//! their types and lengths, so it is the same whatever wrote them.

use rusqlite::Row;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use smallvec::SmallVec;

use crate::sqlite::error::bad_value;

/// Longer values are not copied to be put together with others.
const LONG: usize = 96;

/// Makes a seal, value by value.
#[derive(Default)]
struct Seal {
    hasher: crc32fast::Hasher,
    /// What is still to be hashed: many short pieces cost more than one.
    short: SmallVec<[u8; 256]>,
}

impl Seal {
    fn add(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.short.push(0),
            ValueRef::Integer(number) => self.bytes(1, &number.to_le_bytes()),
            ValueRef::Real(number) => self.bytes(2, &number.to_bits().to_le_bytes()),
            ValueRef::Text(text) => self.bytes(3, text),
            ValueRef::Blob(bytes) => self.bytes(4, bytes),
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.short.push(kind);
        self.short.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        if bytes.len() <= LONG {
            self.short.extend_from_slice(bytes);
            return;
        }
        self.hasher.update(&self.short);
        self.short.clear();
        self.hasher.update(bytes);
    }

    fn finish(mut self) -> u32 {
        self.hasher.update(&self.short);
        self.hasher.finalize()
    }
}

/// The seal of a row that is about to be written.
pub(crate) fn seal<'v, 'a: 'v>(values: impl IntoIterator<Item = &'v ToSqlOutput<'a>>) -> u32 {
    let mut seal = Seal::default();
    for value in values {
        match value {
            ToSqlOutput::Borrowed(value) => seal.add(*value),
            ToSqlOutput::Owned(value) => seal.add(borrow(value)),
            // The store writes no other kinds.
            _ => seal.short.push(u8::MAX),
        }
    }
    seal.finish()
}

/// The seal of a row whose values are at hand.
pub(crate) fn seal_values<'v>(values: impl IntoIterator<Item = &'v Value>) -> u32 {
    let mut seal = Seal::default();
    values.into_iter().for_each(|value| seal.add(borrow(value)));
    seal.finish()
}

fn borrow(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Integer(number) => ValueRef::Integer(*number),
        Value::Real(number) => ValueRef::Real(*number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    }
}

/// Compares a row that was read with its seal: these columns, in the order in which they were
/// sealed, and the seal's own.
///
/// # Errors
/// When they don't fit: the row of this kind is damaged.
pub(crate) fn check_seal(
    row: &Row<'_>,
    columns: impl IntoIterator<Item = usize>,
    seal: usize,
    what: &str,
) -> rusqlite::Result<()> {
    let mut found = Seal::default();
    for column in columns {
        found.add(row.get_ref(column)?);
    }
    match row.get_ref(seal)? {
        ValueRef::Integer(seal) if seal == i64::from(found.finish()) => Ok(()),
        _ => Err(bad_value(seal, format!("the checksum of {what} is wrong"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rusqlite::{Connection, params_from_iter};

    use super::*;

    #[test]
    fn a_row_fits_its_seal_and_no_other() {
        let conn = Connection::open_in_memory().unwrap();
        let long = "x".repeat(500);
        let rows: [Vec<ToSqlOutput<'_>>; 6] = [
            vec![1.into(), "a".into(), ToSqlOutput::Owned(Value::Null)],
            vec![1.into(), ToSqlOutput::Owned(Value::Null), "a".into()],
            vec![1.into(), "".into(), "a".into()],
            vec![1.into(), long.as_str().into(), "a".into()],
            vec![2.into(), "a".into(), ToSqlOutput::Owned(Value::Blob(vec![0]))],
            vec![(-1).into(), "ab".into(), "".into()],
        ];
        let seals: Vec<u32> = rows.iter().map(seal).collect();
        for (at, row) in rows.iter().enumerate() {
            for (other, seal) in seals.iter().enumerate() {
                let mut statement = conn.prepare("SELECT ?1, ?2, ?3, ?4").unwrap();
                let sealed = row.iter().cloned().chain([ToSqlOutput::from(*seal)]);
                let mut read = statement.query(params_from_iter(sealed)).unwrap();
                let read = read.next().unwrap().unwrap();
                assert_eq!(check_seal(read, 0..3, 3, "it").is_ok(), at == other, "{at} {other}");
            }
        }
    }
}
