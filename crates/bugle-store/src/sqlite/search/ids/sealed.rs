//! Ids with the checksum that stands before them.

use rusqlite::Connection;

use super::{Indexed, no_ids};
use crate::sqlite::error::bad_value;

/// Sees to it that all buckets are as they were written.
pub(crate) fn check_buckets(conn: &Connection, indexed: Indexed) -> rusqlite::Result<()> {
    let tables = indexed.tables();
    let mut statement = conn.prepare(&format!("SELECT place, ids FROM {tables}_ids"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        unsealed_ids(row.get_ref(1)?.as_blob().map_err(|_| no_ids(1))?, row.get(0)?)?;
    }
    Ok(())
}

/// Ids as they are kept at a place: behind their checksum.
pub(crate) fn sealed_ids(ids: &[u8], place: i64) -> Vec<u8> {
    [&checksum(ids, place).to_le_bytes(), ids].concat()
}

pub(crate) fn unsealed_ids(kept: &[u8], place: i64) -> rusqlite::Result<&[u8]> {
    match kept.split_first_chunk() {
        Some((said, ids)) if u32::from_le_bytes(*said) == checksum(ids, place) => Ok(ids),
        _ => Err(bad_value(0, "the checksum of an index of ids is wrong")),
    }
}

fn checksum(ids: &[u8], place: i64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.to_le_bytes());
    hasher.update(ids);
    hasher.finalize()
}
