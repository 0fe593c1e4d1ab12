//! What the database must have, because callers were told that it is safe: as much as the
//! [mark](crate::sqlite::write::answered) beside it says.

use std::path::Path;

use bugle_core::Sequence;
use rusqlite::{Connection, Statement};

use super::answered::{Mark, this_run};
use crate::log::Identity;
use crate::sqlite::error::{StoreError, bad_value};
use crate::sqlite::tables::gone::{GoneTable, load_gone};
use crate::sqlite::tables::seal::{check_seal, seal};
use crate::sqlite::tables::values::Value;

/// What a database says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its log's, and that of the mark beside it.
    pub(crate) identity: Identity,
    /// Says how many transactions have promised more than events.
    pub(crate) confirmed: u64,
}

impl Said {
    /// What the mark beside it has of its identity.
    pub(crate) fn mark_identity(&self) -> u64 {
        let Identity(bytes) = self.identity;
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn row(&self) -> [Value<'static>; 2] {
        let Identity(bytes) = self.identity;
        [bytes.to_vec().into(), self.confirmed.cast_signed().into()]
    }
}

/// The row that carries the confirmations.
pub(crate) struct Promises<'c> {
    confirm: Statement<'c>,
    said: Said,
    /// Tells whether there is a confirmation in this transaction.
    confirming: bool,
}

impl<'c> Promises<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            confirm: conn.prepare("UPDATE answered SET confirmed = ?1, seal = ?2 WHERE id = 1")?,
            said: read(conn)?,
            confirming: false,
        })
    }

    /// A transaction is about to promise something that is no event.
    pub(crate) fn confirm(&mut self) -> rusqlite::Result<()> {
        let said = Said { confirmed: self.said.confirmed + 1, ..self.said };
        self.confirm.execute((said.confirmed.cast_signed(), seal(&said.row())))?;
        self.confirming = true;
        Ok(())
    }

    pub(crate) fn committed(&mut self) {
        self.said.confirmed += u64::from(std::mem::take(&mut self.confirming));
    }

    pub(crate) fn rolled_back(&mut self) {
        self.confirming = false;
    }

    /// Says how many there were up to now.
    pub(crate) fn confirmed(&self) -> u64 {
        self.said.confirmed
    }
}

/// A new database has an identity, and has confirmed nothing.
pub(crate) fn begin(conn: &Connection) -> rusqlite::Result<()> {
    let identity = conn.query_row("SELECT randomblob(16)", [], |row| row.get(0))?;
    let [identity, confirmed] = Said { identity: Identity(identity), confirmed: 0 }.row();
    let seal = seal([&identity, &confirmed]);
    conn.execute(
        "INSERT INTO answered (id, identity, confirmed, seal) VALUES (1, ?1, ?2, ?3)",
        (identity, confirmed, seal),
    )?;
    Ok(())
}

/// What a database is to say of itself.
pub(crate) fn rewrite(conn: &Connection, said: Said) -> rusqlite::Result<()> {
    let [identity, confirmed] = said.row();
    let seal = seal([&identity, &confirmed]);
    conn.execute(
        "UPDATE answered SET identity = ?1, confirmed = ?2, seal = ?3 WHERE id = 1",
        (identity, confirmed, seal),
    )?;
    Ok(())
}

/// What a database says of itself.
pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Said> {
    let sql = "SELECT identity, confirmed, seal FROM answered WHERE id = 1";
    conn.query_row(sql, [], |row| {
        check_seal(row, 0..2, 2, "what it says of itself")?;
        let identity = row.get_ref(0)?.as_blob().ok().and_then(|it| it.try_into().ok());
        let identity = identity.ok_or_else(|| bad_value(0, "no identity"))?;
        let confirmed = row.get::<_, i64>(1)?.cast_unsigned();
        Ok(Said { identity: Identity(identity), confirmed })
    })
}

/// Sees to it that a database has what was confirmed, as the mark beside it says.
pub(crate) fn check(conn: &Connection, file: &Path, mark: Option<Mark>) -> Result<(), StoreError> {
    let Some(mark) = mark else { return Ok(()) };
    let said = read(conn).map_err(|error| StoreError::sqlite(file, &error))?;
    compare(said.mark_identity(), said.confirmed, &mark, this_run()).map_err(
        |missing| match missing {
            Missing::Other => {
                StoreError::damaged(file, "it is not the one that the files beside it belong to")
            }
            missing => StoreError::Lost { file: file.to_owned(), missing: missing.to_string() },
        },
    )
}

/// The last event that the log must have, as the mark says. Events that were deleted need not be
/// there, nor what was not synced when the system went down.
pub(crate) fn last_answered(conn: &Connection, mark: Option<Mark>) -> rusqlite::Result<Sequence> {
    let Some(mark) = mark.filter(|mark| !is_outlived(mark, this_run())) else {
        return Ok(Sequence::START);
    };
    let gone = load_gone(conn, Sequence(mark.sequence.0.saturating_sub(1)))?;
    let gone = gone.first().filter(|range| range.0 <= mark.sequence.0.cast_signed());
    Ok(gone.map_or(mark.sequence, |range| Sequence(range.0.cast_unsigned() - 1)))
}

/// The log ends here: where the mark was ahead, as far as it may have been, its numbers are not
/// given again. Answers the last number that was.
pub(crate) fn settle(
    conn: &Connection,
    mark: Option<Mark>,
    end: Sequence,
) -> rusqlite::Result<Sequence> {
    let Some(mark) = mark.filter(|mark| mark.sequence > end) else { return Ok(end) };
    GoneTable::new(conn)?.add(end.0.cast_signed() + 1, mark.sequence.0.cast_signed())?;
    Ok(mark.sequence)
}

/// Tells whether what was answered was not synced, and the system has gone down since.
pub(crate) fn is_outlived(mark: &Mark, run: u64) -> bool {
    mark.run != 0 && mark.run != run
}

/// What a database lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Missing {
    #[error("it is another database")]
    Other,
    #[error("{0} confirmed changes of emitters, dead letters or positions are missing")]
    Changes(u64),
}

fn compare(identity: u64, confirmed: u64, mark: &Mark, run: u64) -> Result<(), Missing> {
    if identity != mark.identity {
        return Err(Missing::Other);
    }
    match mark.confirmed.saturating_sub(confirmed) {
        0 => Ok(()),
        _ if is_outlived(mark, run) => Ok(()),
        missing => Err(Missing::Changes(missing)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sqlite::tables::schema::create;

    fn mark(sequence: u64, confirmed: u64, run: u64) -> Mark {
        Mark { identity: 1, sequence: Sequence(sequence), confirmed, run }
    }

    #[test]
    fn a_database_has_what_was_confirmed_or_that_is_said() {
        for (confirmed, marked, expected) in [
            (2, mark(5, 2, 0), Ok(())),
            (3, mark(5, 2, 0), Ok(())),
            (1, mark(5, 3, 0), Err(Missing::Changes(2))),
            // Not synced, in this run of the system and in an earlier one.
            (1, mark(5, 2, 7), Err(Missing::Changes(1))),
            (1, mark(5, 2, 8), Ok(())),
            (2, Mark { identity: 2, ..mark(5, 2, 0) }, Err(Missing::Other)),
        ] {
            assert_eq!(compare(1, confirmed, &marked, 7), expected, "{confirmed} {marked:?}");
        }
    }

    #[test]
    fn the_log_has_what_was_answered_and_not_deleted() {
        let conn = Connection::open_in_memory().unwrap();
        create(&conn).unwrap();
        let last = |mark| last_answered(&conn, mark).unwrap().0;
        assert_eq!(last(None), 0);
        assert_eq!(last(Some(mark(7, 0, 0))), 7);
        assert_eq!(last(Some(mark(7, 0, this_run().wrapping_add(1)))), 0);
        GoneTable::new(&conn).unwrap().add(4, 5).unwrap();
        assert_eq!([7, 6, 5, 4, 3].map(|at| last(Some(mark(at, 0, 0)))), [7, 6, 3, 3, 3]);
        assert_eq!(settle(&conn, Some(mark(7, 0, 0)), Sequence(7)).unwrap(), Sequence(7));
        assert_eq!(settle(&conn, Some(mark(9, 0, 0)), Sequence(7)).unwrap(), Sequence(9));
        assert_eq!(last(Some(mark(9, 0, 0))), 7);
    }
}
