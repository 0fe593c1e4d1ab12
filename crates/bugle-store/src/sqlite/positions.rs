//! How far each source was read, as rows.

use bugle_core::{Position, SourceId, SourcePosition};
use rusqlite::{Connection, Statement};

use super::events::read_text;

/// What is done with the table of positions.
pub(super) struct PositionTable<'c> {
    write: Statement<'c>,
    delete: Statement<'c>,
}

impl<'c> PositionTable<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            write: conn
                .prepare("INSERT OR REPLACE INTO positions (source, position) VALUES (?1, ?2)")?,
            delete: conn.prepare("DELETE FROM positions WHERE source = ?1")?,
        })
    }

    /// Writes down where a source is, or that nothing is known of it.
    pub(super) fn write(
        &mut self,
        source: &SourceId,
        position: Option<&Position>,
    ) -> rusqlite::Result<()> {
        match position {
            Some(position) => self.write.execute([source.as_str(), position.as_str()])?,
            None => self.delete.execute([source.as_str()])?,
        };
        Ok(())
    }
}

/// Where one source is.
pub(super) fn find_position(
    conn: &Connection,
    source: &SourceId,
) -> rusqlite::Result<Option<Position>> {
    let mut statement = conn.prepare("SELECT position FROM positions WHERE source = ?1")?;
    let mut rows = statement.query([source.as_str()])?;
    rows.next()?.map(|row| read_text(row, 0, Position::new)).transpose()
}

/// All positions.
pub(super) fn load_positions(conn: &Connection) -> rusqlite::Result<Vec<SourcePosition>> {
    let mut statement = conn.prepare("SELECT source, position FROM positions")?;
    let read = statement.query_map([], |row| {
        let source = read_text(row, 0, SourceId::new)?;
        read_text(row, 1, |position| SourcePosition::new(&source, position))
    })?;
    read.collect()
}
