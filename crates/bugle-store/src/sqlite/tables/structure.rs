//! Whether a database has the tables that it should have, and is whole in its structure.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::sqlite::error::StoreError;
use crate::sqlite::tables::schema::create;

/// Up to this size a file is checked as a whole when it is opened; that takes a few hundredths of
/// a second. A larger one is checked where it is read.
const CHECKED_BYTES: u64 = 16 << 20;

/// Sees to it that a database has the tables that it should have, and of a small one that their
/// structure is whole.
pub(crate) fn check_structure(conn: &Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(file, &error);
    if statements(conn).map_err(failed)? != expected().map_err(failed)? {
        return Err(StoreError::damaged(file, "its list of tables is not as it was written"));
    }
    let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    if size <= CHECKED_BYTES {
        let said: String =
            conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if said != "ok" {
            return Err(StoreError::damaged(file, said));
        }
    }
    Ok(())
}

/// The statements that make a database, as one keeps them.
fn statements(conn: &Connection) -> rusqlite::Result<Vec<[Option<String>; 4]>> {
    let mut statement =
        conn.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?;
    let rows =
        statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    rows.collect()
}

/// The same of a database as it should be.
fn expected() -> rusqlite::Result<Vec<[Option<String>; 4]>> {
    let conn = Connection::open_in_memory()?;
    create(&conn)?;
    statements(&conn)
}

/// Writes the list of tables anew where it is damaged. Answers whether it was; what was opened is
/// to be opened again then.
pub(crate) fn mend(conn: &Connection) -> rusqlite::Result<bool> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    conn.pragma_update(None, "writable_schema", true)?;
    let expected = expected()?;
    if statements(conn).is_ok_and(|found| found == expected) {
        conn.pragma_update(None, "writable_schema", false)?;
        return Ok(false);
    }
    for [kind, name, table, sql] in expected {
        // By what is left of it: its name, or its text.
        conn.execute(
            "UPDATE sqlite_schema SET type = ?1, name = ?2, tbl_name = ?3, sql = ?4 \
             WHERE name = ?2 OR sql = ?4 AND sql IS NOT NULL",
            (kind, name, table, sql),
        )?;
    }
    conn.pragma_update(None, "writable_schema", false)?;
    Ok(true)
}
