//! How far each source was read, as rows.

use bugle_core::{Position, SourceId, SourcePosition};
use rusqlite::{Connection, Row, Statement};

use crate::sqlite::tables::seal::{check_seal, seal};
use crate::sqlite::tables::values::read_text;

/// What is done with the table of positions.
pub(crate) struct PositionTable<'c> {
    write: Statement<'c>,
    delete: Statement<'c>,
}

impl<'c> PositionTable<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            write: conn.prepare(
                "INSERT OR REPLACE INTO positions (source, position, seal) VALUES (?1, ?2, ?3)",
            )?,
            delete: conn.prepare("DELETE FROM positions WHERE source = ?1")?,
        })
    }

    /// Writes down where a source is, or that nothing is known of it.
    pub(crate) fn write(
        &mut self,
        source: &SourceId,
        position: Option<&Position>,
    ) -> rusqlite::Result<()> {
        match position {
            Some(position) => {
                let (source, position) = (source.as_str(), position.as_str());
                let seal = seal(&[source.into(), position.into()]);
                self.write.execute((source, position, seal))?
            }
            None => self.delete.execute([source.as_str()])?,
        };
        Ok(())
    }
}

fn check_position(row: &Row<'_>) -> rusqlite::Result<()> {
    check_seal(row, 0..2, 2, "a source's position")
}

/// Where one source is.
pub(crate) fn find_position(
    conn: &Connection,
    source: &SourceId,
) -> rusqlite::Result<Option<Position>> {
    let mut statement =
        conn.prepare("SELECT source, position, seal FROM positions WHERE source = ?1")?;
    let mut rows = statement.query([source.as_str()])?;
    let read = |row| check_position(row).and_then(|()| read_text(row, 1, Position::new));
    rows.next()?.map(read).transpose()
}

/// All positions.
pub(crate) fn load_positions(conn: &Connection) -> rusqlite::Result<Vec<SourcePosition>> {
    let mut statement = conn.prepare("SELECT source, position, seal FROM positions")?;
    let read = statement.query_map([], |row| {
        check_position(row)?;
        let source = read_text(row, 0, SourceId::new)?;
        read_text(row, 1, |position| SourcePosition::new(&source, position))
    })?;
    read.collect()
}
