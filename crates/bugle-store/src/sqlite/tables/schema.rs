//! The tables, and the connections to them.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::sqlite::error::StoreError;
use crate::sqlite::tables::structure::check_structure;
use crate::sqlite::write::answered::Mark;
use crate::sqlite::write::promises;

/// `Bugl`, in the file's header: whose database it is.
const APPLICATION_ID: i64 = 0x4275_676c;

/// The format of what follows. A change of any table is a new one.
const FORMAT: i64 = 6;

/// Events are in the log; what finds them there is in `stretches`. Nothing on the way of an event
/// is indexed by anything but the order of arrival; see `ids` and `attempts` for how events and
/// attempts are found. Each row that decides something has a seal, see `seal`.
const TABLES: &str = "
CREATE TABLE answered (               -- one row, see `answered`
    id INTEGER PRIMARY KEY,
    identity BLOB NOT NULL,           -- the log and the mark beside the database have the same
    confirmed INTEGER NOT NULL,       -- how many transactions have promised more than events
    seal INTEGER NOT NULL
);
CREATE TABLE segments (               -- the files of the log that are in the index
    segment INTEGER PRIMARY KEY,      -- the file's name: the number of its first event
    first INTEGER NOT NULL,           -- its first stretch
    seal INTEGER NOT NULL
);
CREATE TABLE stretches (              -- which events are where in the log, see `stretches`
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    oldest INTEGER NOT NULL,          -- the earliest instant in it: nanoseconds since 1970
    newest INTEGER NOT NULL,
    entries BLOB NOT NULL,
    seal INTEGER NOT NULL
);
CREATE TABLE stragglers (             -- events that outstay their segment of the log
    sequence INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    entry_seal INTEGER NOT NULL,      -- of the above
    request_id TEXT NOT NULL,
    emitted_at INTEGER NOT NULL,      -- nanoseconds since 1970
    ordering_key TEXT,
    traceparent TEXT,
    tracestate TEXT,
    seal INTEGER NOT NULL,            -- of all
    payload BLOB NOT NULL
);
CREATE INDEX stragglers_by_event ON stragglers (request_id);
CREATE TABLE gone (                   -- numbers whose events were deleted or taken back
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    seal INTEGER NOT NULL
);
CREATE TABLE replays (                -- of the entries, those that only one emitter reads
    sequence INTEGER PRIMARY KEY,
    emitter INTEGER NOT NULL,
    origin INTEGER NOT NULL,          -- the event's first place
    queued_at INTEGER NOT NULL,       -- nanoseconds since 1970: since when it waits again
    seal INTEGER NOT NULL
);
CREATE INDEX replays_by_emitter ON replays (emitter);
CREATE TABLE emitters (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    seal INTEGER NOT NULL
);
CREATE TABLE places (
    emitter INTEGER PRIMARY KEY,
    subscription TEXT NOT NULL,       -- a JSON list
    discards INTEGER NOT NULL,        -- paused, and nothing is kept for it
    since INTEGER NOT NULL,           -- where the journal ended when the subscription began
    place_seal INTEGER NOT NULL,      -- of the above
    cursor INTEGER NOT NULL,          -- everything up to here is settled
    settled TEXT,                     -- and so are these above: '17-19 23-23'
    setbacks TEXT,                    -- JSON: what is remembered of failed attempts
    moved_seal INTEGER NOT NULL       -- of these three
);
CREATE TABLE carried (
    emitter INTEGER PRIMARY KEY,
    entries TEXT NOT NULL,            -- what waited already when the subscription began
    carried_seal INTEGER NOT NULL
);
CREATE TABLE positions (              -- how far each source was read
    source TEXT PRIMARY KEY,
    position TEXT NOT NULL,
    seal INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE specs (
    emitter INTEGER PRIMARY KEY,
    subscription TEXT NOT NULL,       -- a JSON list
    desired TEXT NOT NULL,            -- running, paused: what waits is kept, or discarded
    config TEXT NOT NULL,             -- JSON, with keys in clear
    seal INTEGER NOT NULL
);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- no number is given twice
    emitter INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    origin INTEGER NOT NULL,          -- the event's first place: `sequence`, or a replay's origin
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created INTEGER NOT NULL,
    name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    emitted_at INTEGER NOT NULL,
    ordering_key TEXT,
    traceparent TEXT,
    tracestate TEXT,
    seal INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX dead_letters_by_emitter ON dead_letters (emitter, id);
CREATE INDEX dead_letters_by_origin ON dead_letters (emitter, origin, sequence);
CREATE INDEX dead_letters_by_sequence ON dead_letters (sequence);
CREATE INDEX dead_letters_by_event ON dead_letters (request_id, id);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    emitter INTEGER NOT NULL,
    previous INTEGER NOT NULL,        -- the attempt of this emitter before this one; 0 for none
    created INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    event_name TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    code TEXT,
    message TEXT NOT NULL,
    status INTEGER,
    connected_to TEXT,
    http_version TEXT,
    resolve INTEGER NOT NULL,         -- nanoseconds, as the four below
    connect INTEGER NOT NULL,
    tls INTEGER NOT NULL,
    first_byte INTEGER NOT NULL,
    total INTEGER NOT NULL,
    head TEXT,                        -- JSON
    body TEXT NOT NULL,
    body_cut INTEGER NOT NULL,
    attempt_seal INTEGER NOT NULL
);
CREATE TABLE attempt_chains (
    emitter INTEGER PRIMARY KEY,
    newest INTEGER NOT NULL,          -- the emitter's newest attempt
    length INTEGER NOT NULL,
    seal INTEGER NOT NULL
);
CREATE TABLE attempt_marks (          -- each 64th attempt of an emitter
    emitter INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (emitter, id)
) WITHOUT ROWID;
";

/// The tables by which rows are found, for `#`, see [`ids`](crate::sqlite::search::ids).
const ID_TABLES: &str = "
CREATE TABLE #_runs (              -- each 1,024 rows, see `ids`
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    oldest INTEGER NOT NULL,          -- the earliest instant in it
    newest INTEGER NOT NULL,
    seal INTEGER NOT NULL,            -- of the above
    ids BLOB                          -- until they are in a block
);
CREATE TABLE #_blocks (
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    seal INTEGER NOT NULL
);
CREATE TABLE #_ids (
    place INTEGER PRIMARY KEY,        -- the block's `last` * 256 + the bucket's number
    ids BLOB NOT NULL                 -- 4 bytes of the id's CRC-32, 4 of the distance from `first`;
                                      -- before them, 4 of their own and of the place's
);
";

/// Opens the database for the one who writes; makes the tables in a new one.
///
/// What it has is compared with how far was answered, before anything in it is changed.
pub(crate) fn writer(file: &Path, mark: Option<Mark>) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(file, flags)?;
        conn.pragma_update(None, "page_size", 8192)?;
        // Checkpoints are the writer's own business, between two transactions.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        cache(&conn, 8_000)?;
        conn.pragma_update(None, "temp_store", "memory")?;
        conn.pragma_update(None, "foreign_keys", false)?;
        Ok(conn)
    };
    let conn = open().map_err(|error| StoreError::sqlite(file, &error))?;
    // Where it is refused its log stays as it is.
    keep_log(&conn, true);
    check(&conn, file)?;
    promises::check(&conn, file, mark)?;
    keep_log(&conn, false);
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
        .map_err(|error| StoreError::sqlite(file, &error))?;
    empty_log(&conn).map_err(|error| StoreError::sqlite(file, &error))?;
    Ok(conn)
}

/// Whether closing the last connection leaves the log alone, rather than to move and delete it.
pub(crate) fn keep_log(conn: &Connection, keep: bool) {
    let _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
}

/// So many KiB of pages are kept in memory.
fn cache(conn: &Connection, kib: i64) -> rusqlite::Result<()> {
    conn.pragma_update(None, "cache_size", -kib)
}

/// Reads what is read once, from one end to the other: pages of it are not worth keeping.
pub(crate) fn passing<T>(
    conn: &Connection,
    read: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let kept: i64 = conn.pragma_query_value(None, "cache_size", |row| row.get(0))?;
    cache(conn, 500)?;
    let found = read();
    conn.pragma_update(None, "cache_size", kept)?;
    found
}

/// Moves what a process left in the log into the database, before anything is added to it. SQLite
/// has just read the log, checksum by checksum; but if a sync of it had failed, nothing says that
/// it is on the disk as it was read, and no later sync would put it there. Moved, it is written
/// anew.
fn empty_log(conn: &Connection) -> rusqlite::Result<()> {
    let emptied = conn.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    match emptied {
        // On a full disk the log stays, and what is accepted can still be delivered.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(()),
        emptied => emptied,
    }
}

/// Writes to the log without changing anything.
pub(crate) fn touch(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "user_version", FORMAT)
}

/// Has the log's file be no longer than that, each time that the log begins anew.
pub(crate) fn limit_log(conn: &Connection, bytes: u64) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "journal_size_limit", bytes.cast_signed(), |_| Ok(()))
}

/// Opens the database for the one who moves the log into it.
pub(crate) fn checkpointer(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(file, flags)?;
        conn.pragma_update(None, "synchronous", "normal")?;
        cache(&conn, 100)?;
        Ok(conn)
    };
    open().map_err(|error| StoreError::sqlite(file, &error))
}

/// Opens the database for one who reads.
pub(crate) fn reader(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(file, flags)?;
        cache(&conn, 2_000)?;
        Ok(conn)
    };
    open().map_err(|error| StoreError::sqlite(file, &error))
}

/// Opens the database for one who is not to write anything, whoever has it open.
pub(crate) fn read_only(file: &Path) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(file, &error);
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let conn = if Path::new(&log).exists() {
        reader(file)?
    } else {
        // Nobody has it open. To read it like any other would leave files beside it.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let name = file.to_string_lossy();
        let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        Connection::open_with_flags(format!("file:{name}?immutable=1"), flags).map_err(failed)?
    };
    let number = |pragma: &str| -> Result<i64, StoreError> {
        conn.pragma_query_value(None, pragma, |row| row.get(0)).map_err(failed)
    };
    if number("application_id")? != APPLICATION_ID {
        return Err(StoreError::Foreign { file: file.to_owned() });
    }
    check_format(number("user_version")?, file)?;
    Ok(conn)
}

/// Sees to it that the database is ours and can be read, before anything is written to it.
fn check(conn: &Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(file, &error);
    let number = |pragma: &str| -> rusqlite::Result<i64> {
        conn.pragma_query_value(None, pragma, |row| row.get(0))
    };
    let application = number("application_id").map_err(failed)?;
    if application == 0 {
        let tables: i64 = conn
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(failed)?;
        return match tables {
            0 => create(conn).map_err(failed),
            _ => Err(StoreError::Foreign { file: file.to_owned() }),
        };
    }
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign { file: file.to_owned() });
    }
    let found = number("user_version").map_err(failed)?;
    check_format(found, file)?;
    check_structure(conn, file)
}

/// All or nothing: a process that dies on the way leaves an empty database, which is made anew.
pub(crate) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    let [events, attempts] = ["event", "attempt"].map(|name| ID_TABLES.replace('#', name));
    conn.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES} {events} {attempts} PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA user_version = {FORMAT};"
    ))?;
    promises::begin(conn)?;
    conn.execute_batch("COMMIT")
}

/// Whether the format is the one that is known.
fn check_format(found: i64, file: &Path) -> Result<(), StoreError> {
    if found > FORMAT {
        return Err(StoreError::Newer { file: file.to_owned(), found, known: FORMAT });
    }
    if found < FORMAT {
        return Err(StoreError::Older { file: file.to_owned(), found, known: FORMAT });
    }
    Ok(())
}
