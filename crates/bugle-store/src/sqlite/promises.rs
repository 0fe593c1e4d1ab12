//! What the database must have, because callers were told that it is safe: as much as the
//! [mark](super::answered) beside it says.

use std::path::Path;

use bugle_core::Sequence;
use rusqlite::{Connection, Statement};

use super::answered::{Mark, this_run};
use super::error::StoreError;
use super::gone::GoneTable;
use super::load::last_sequence;
use super::seal::{check_seal, seal};

/// The row that carries the confirmations.
pub(super) struct Promises<'c> {
    confirm: Statement<'c>,
    identity: u64,
    /// How many there were, and whether there is one in this transaction.
    confirmed: u64,
    confirming: bool,
}

impl<'c> Promises<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let Mark { identity, confirmed, .. } = read(conn)?;
        Ok(Self {
            confirm: conn.prepare("UPDATE answered SET confirmed = ?1, seal = ?2 WHERE id = 1")?,
            identity,
            confirmed,
            confirming: false,
        })
    }

    /// A transaction is about to promise something that is no event.
    pub(super) fn confirm(&mut self) -> rusqlite::Result<()> {
        let confirmed = (self.confirmed + 1).cast_signed();
        let seal = seal(&[self.identity.cast_signed().into(), confirmed.into()]);
        self.confirm.execute((confirmed, seal))?;
        self.confirming = true;
        Ok(())
    }

    pub(super) fn committed(&mut self) {
        self.confirmed += u64::from(std::mem::take(&mut self.confirming));
    }

    pub(super) fn rolled_back(&mut self) {
        self.confirming = false;
    }

    /// How many there were up to now.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }
}

/// A new database has an identity, and has confirmed nothing.
pub(super) fn begin(conn: &Connection) -> rusqlite::Result<()> {
    let identity: i64 = conn.query_row("SELECT random()", [], |row| row.get(0))?;
    let seal = seal(&[identity.into(), 0.into()]);
    conn.execute(
        "INSERT INTO answered (id, identity, confirmed, seal) VALUES (1, ?1, 0, ?2)",
        (identity, seal),
    )?;
    Ok(())
}

/// What a database is to say of itself.
pub(super) fn rewrite(conn: &Connection, said: Mark) -> rusqlite::Result<()> {
    let [identity, confirmed] = [said.identity, said.confirmed].map(u64::cast_signed);
    let seal = seal(&[identity.into(), confirmed.into()]);
    conn.execute(
        "UPDATE answered SET identity = ?1, confirmed = ?2, seal = ?3 WHERE id = 1",
        (identity, confirmed, seal),
    )?;
    Ok(())
}

/// What a database says of itself, as the mark of who would have answered for all of it.
pub(super) fn read(conn: &Connection) -> rusqlite::Result<Mark> {
    let sql = "SELECT identity, confirmed, seal FROM answered WHERE id = 1";
    let (identity, confirmed): (i64, i64) = conn.query_row(sql, [], |row| {
        check_seal(row, 0..2, 2, "what it says of itself")?;
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let [identity, confirmed] = [identity, confirmed].map(i64::cast_unsigned);
    Ok(Mark { identity, sequence: last_sequence(conn)?, confirmed, run: 0 })
}

/// The same, of a database that has been compared with the mark beside it. Where that was ahead,
/// as far as it may have been, its numbers are not given again.
pub(super) fn settle(conn: &Connection, mark: Option<Mark>) -> rusqlite::Result<Mark> {
    let own = read(conn)?;
    let Some(mark) = mark.filter(|mark| mark.sequence > own.sequence) else { return Ok(own) };
    let [first, last] = [own.sequence.0 + 1, mark.sequence.0].map(u64::cast_signed);
    GoneTable::new(conn)?.add(first, last)?;
    Ok(Mark { sequence: mark.sequence, ..own })
}

/// Sees to it that a database has what was answered for.
pub(super) fn check(conn: &Connection, file: &Path, mark: Option<Mark>) -> Result<(), StoreError> {
    let Some(mark) = mark else { return Ok(()) };
    let found = read(conn).map_err(|error| StoreError::sqlite(file, &error))?;
    compare(&found, &mark, this_run()).map_err(|missing| match missing {
        Missing::Other => {
            StoreError::damaged(file, "it is not the one that the files beside it belong to")
        }
        missing => StoreError::Lost { file: file.to_owned(), missing: missing.to_string() },
    })
}

/// What a database lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Missing {
    #[error("it is another database")]
    Other,
    #[error(
        "{} accepted events are missing, numbers {} to {}",
        .last.0 - .before.0,
        .before.0 + 1,
        .last
    )]
    Events { before: Sequence, last: Sequence },
    #[error("{0} confirmed changes of emitters, dead letters or positions are missing")]
    Changes(u64),
}

fn compare(found: &Mark, mark: &Mark, run: u64) -> Result<(), Missing> {
    if found.identity != mark.identity {
        return Err(Missing::Other);
    }
    if mark.run != 0 && mark.run != run {
        // What was answered was not synced, and the system has gone down since.
        return Ok(());
    }
    if found.sequence < mark.sequence {
        return Err(Missing::Events { before: found.sequence, last: mark.sequence });
    }
    match mark.confirmed.saturating_sub(found.confirmed) {
        0 => Ok(()),
        missing => Err(Missing::Changes(missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_what_was_answered_for_or_that_is_said() {
        let mark = |sequence, confirmed, run| Mark {
            identity: 1,
            sequence: Sequence(sequence),
            confirmed,
            run,
        };
        let events =
            |before, last| Err(Missing::Events { before: Sequence(before), last: Sequence(last) });
        for (found, marked, expected) in [
            (mark(5, 2, 0), mark(5, 2, 0), Ok(())),
            (mark(6, 3, 0), mark(5, 2, 0), Ok(())),
            (mark(4, 2, 0), mark(5, 2, 0), events(4, 5)),
            (mark(0, 0, 0), mark(5, 2, 0), events(0, 5)),
            (mark(5, 1, 0), mark(5, 3, 0), Err(Missing::Changes(2))),
            // Not synced, in this run of the system and in an earlier one.
            (mark(4, 2, 0), mark(5, 2, 7), events(4, 5)),
            (mark(4, 2, 0), mark(5, 2, 8), Ok(())),
            (Mark { identity: 2, ..mark(5, 2, 0) }, mark(5, 2, 0), Err(Missing::Other)),
        ] {
            assert_eq!(compare(&found, &marked, 7), expected, "{found:?} {marked:?}");
        }
        let said = events(4, 7).unwrap_err().to_string();
        assert_eq!(said, "3 accepted events are missing, numbers 5 to 7");
    }
}
