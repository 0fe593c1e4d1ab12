//! Making a damaged store usable again: what can be trusted is moved into a new database, which
//! finds in the log what can be read there, and what is lost is said.
//!
//! The damaged files are copied first, and nothing is changed before the new database was opened as
//! any other. No number is given twice: those of lost events are marked as gone.

mod emitters;
mod events;
mod rows;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use bugle_core::Sequence;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::directory::{DATABASE, Directory};
use super::error::StoreError;
use super::load::load;
use super::search::index::LogView;
use super::tables::{schema, structure};
use super::write::answered::{self, Mark};
use super::write::promises::{self, Said};
use super::write::settle_log::{self, SettleLog};
use crate::backlog::{HistoryLimits, Limits};
use crate::files::sync_directory;
use crate::log::{self, DIRECTORY as SEGMENTS, Identity, LogReader, Mend, segment_file};
use rows::Rows;

/// What a repair has found, and what follows from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The numbers of the accepted events that are lost, each range from its first to its last.
    pub lost: Vec<(Sequence, Sequence)>,
    /// What else was found, and what follows from it, in words.
    pub findings: Vec<String>,
    /// Where the damaged files were kept; `None` where nothing was done.
    pub kept_in: Option<PathBuf>,
}

impl Repair {
    /// Whether there is nothing to repair.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.findings.is_empty()
    }

    /// How many accepted events are lost.
    pub fn lost_events(&self) -> u64 {
        self.lost.iter().map(|(first, last)| last.0 - first.0 + 1).sum()
    }
}

/// Looks a store through, and repairs it if that is wanted and there is something to repair.
pub(crate) fn repair(path: &Path, doing: bool) -> Result<Repair, StoreError> {
    if path.is_file() {
        return Err(StoreError::NotADirectory { path: path.to_owned() });
    }
    if !Directory::has_any(path) {
        return Err(StoreError::NoStore { path: path.to_owned() });
    }
    let _held = Directory::hold(path)?;
    let scratch = Scratch::new(path)?;
    let (mut repair, made) = salvage(path, &scratch.0)?;
    if doing && !repair.is_whole() {
        repair.kept_in = Some(put_in_place(path, &made)?);
    }
    Ok(repair)
}

/// What takes the place of a damaged store.
struct Made {
    database: PathBuf,
    identity: Identity,
    /// What is changed in the log, in order.
    mends: Vec<Mend>,
}

/// A directory that goes in any case.
struct Scratch(PathBuf);

impl Scratch {
    fn new(store: &Path) -> Result<Self, StoreError> {
        let path = store.join("bugle.repair");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).map_err(|error| StoreError::io(&path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a new database of what can be trusted.
fn salvage(store: &Path, scratch: &Path) -> Result<(Repair, Made), StoreError> {
    let mut repair = Repair::default();
    let mark = match answered::find(&store.join(DATABASE)) {
        Ok(found) => found.map(|found| found.mark),
        Err(error @ StoreError::Damaged { .. }) => {
            let what = "how far was answered is not known, so more may be lost than can be said";
            repair.findings.push(format!("{error}: {what}"));
            None
        }
        Err(error) => return Err(error),
    };
    let old = open_copy(store, scratch, &mut repair);
    let (database, failed) = (scratch.join("new.db"), |error: rusqlite::Error| {
        StoreError::sqlite(&scratch.join("new.db"), &error)
    });
    let conn = schema::writer(&database, None)?;
    conn.pragma_update(None, "synchronous", "off").map_err(failed)?;
    let noted = SettleLog::read(&store.join(DATABASE));
    let noted = noted.iter().map(|(_, noted)| noted.sequence()).max().unwrap_or_default();
    let reached = mark.map_or(noted, |mark| mark.sequence.max(noted));
    let own = old.as_ref().and_then(|old| promises::read(old).ok());
    let identity = whose(store, own, mark)?;
    // For reading alone it does not matter whose the log is.
    let log = LogReader::open(store, identity.unwrap_or(Identity([0; 16])));
    conn.execute_batch("BEGIN").map_err(failed)?;
    let mut rows = Rows::new(&conn, &mut repair);
    if let Some(old) = &old {
        rows.salvage(old, &log).map_err(failed)?;
    }
    // The index of another log finds nothing here.
    let its_own = old.as_ref().filter(|_| own.is_none_or(|own| Some(own.identity) == identity));
    let found = rows.events(store, its_own, identity, reached)?;
    let confirmed = own.map_or(0, |own| own.confirmed).max(mark.map_or(0, |mark| mark.confirmed));
    if let (Some(own), Some(mark)) = (own, mark)
        && own.confirmed < mark.confirmed
    {
        repair.findings.push(format!(
            "the last {} confirmed changes of emitters, dead letters or positions are lost: what \
             they changed is as it was before",
            mark.confirmed - own.confirmed
        ));
    }
    let identity = match identity {
        Some(identity) => identity,
        None => promises::read(&conn).map_err(failed)?.identity,
    };
    let said = Said { identity, confirmed };
    if own.is_none() {
        repair.findings.push("what the database says of itself is unreadable: written anew".into());
    }
    if mark.is_some_and(|mark| mark.identity != said.mark_identity()) {
        repair.findings.push("the database is not the one that the mark beside it is of".into());
    }
    promises::rewrite(&conn, said).map_err(failed)?;
    conn.execute_batch("COMMIT").map_err(failed)?;
    // As it will be opened.
    let limits = Limits {
        max_events: usize::MAX,
        max_bytes: u64::MAX,
        overflow: bugle_core::Overflow::Reject,
        max_cached: 0,
        history: HistoryLimits::NONE,
    };
    let view = LogView { log, tail: Vec::new() };
    load(&conn, &database, &view, found.last, &[], limits)?;
    conn.pragma_update(None, "synchronous", "full").map_err(failed)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
    drop(conn);
    Ok((repair, Made { database, identity, mends: found.mends }))
}

/// Whose the log and the mark are: what the database says, unless the mark beside it and a segment
/// agree on something else.
fn whose(
    store: &Path,
    own: Option<Said>,
    mark: Option<Mark>,
) -> Result<Option<Identity>, StoreError> {
    let owners = log::owners(store)?;
    let own = own.map(|own| own.identity);
    let is_marked = |identity: &Identity| {
        let said = Said { identity: *identity, confirmed: 0 };
        mark.is_none_or(|mark| mark.identity == said.mark_identity())
    };
    let marked = own.iter().chain(&owners).copied().find(is_marked);
    Ok(marked.or(own).or(owners.first().copied()))
}

/// Opens a copy of the database with its log, if it can be opened at all.
fn open_copy(store: &Path, scratch: &Path, repair: &mut Repair) -> Option<Connection> {
    let [file, log] = [DATABASE, "bugle.db-wal"];
    let copy = scratch.join(file);
    if store.join(file).metadata().is_ok_and(|it| it.len() > 0)
        && fs::copy(store.join(file), &copy).is_ok()
    {
        let _ = fs::copy(store.join(log), scratch.join(log));
    } else {
        repair.findings.push("the database is gone: all that it had is lost".to_owned());
        return None;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&copy, flags);
    let opened = opened.and_then(|conn| structure::mend(&conn).map(|mended| (conn, mended)));
    let conn = match opened {
        Ok((conn, false)) => conn,
        Ok((conn, true)) => {
            repair.findings.push("its list of tables is damaged: written anew".to_owned());
            drop(conn);
            Connection::open_with_flags(&copy, flags).ok()?
        }
        Err(error) => {
            let what = "the database can't be read at all, and all that it had is lost";
            repair.findings.push(format!("{what} ({error})"));
            return None;
        }
    };
    let said: Result<String, _> = conn.query_row("PRAGMA integrity_check(1)", [], |it| it.get(0));
    let said = said.unwrap_or_else(|error| error.to_string());
    if said != "ok" {
        repair.findings.push(format!("the database's structure is damaged ({said}): built anew"));
    }
    Some(conn)
}

/// Keeps the damaged files, makes the log good, and puts the new database in place. A process that
/// ends on the way leaves a store that is refused or as good as before, and all files of before in
/// the directory that keeps them.
fn put_in_place(store: &Path, made: &Made) -> Result<PathBuf, StoreError> {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%S%f");
    let kept = store.join(format!("bugle.damaged-{now}"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| StoreError::io(&path, &error)
    };
    fs::create_dir(&kept).map_err(failed(&kept))?;
    let keep = |file: &Path, into: &Path| match file.file_name().filter(|_| file.exists()) {
        Some(name) => fs::copy(file, into.join(name))
            .and_then(|_| fs::File::open(into.join(name))?.sync_all())
            .map_err(failed(file)),
        None => Ok(()),
    };
    let database = store.join(DATABASE);
    let log = store.join("bugle.db-wal");
    let mark = answered::path(&database);
    for file in [&database, &log, &mark, &store.join(settle_log::FILE)] {
        keep(file, &kept)?;
    }
    let mut segments: Vec<_> = made.mends.iter().map(Mend::segment).collect();
    segments.sort_unstable();
    segments.dedup();
    let segments_kept = kept.join(SEGMENTS);
    if !segments.is_empty() {
        fs::create_dir(&segments_kept).map_err(failed(&segments_kept))?;
    }
    for segment in segments {
        keep(&segment_file(store, segment), &segments_kept)?;
    }
    sync_directory(&segments_kept.join(SEGMENTS));
    sync_directory(&kept.join(DATABASE));
    made.mends.iter().try_for_each(|mend| mend.make(store, made.identity))?;
    // A log belongs to its database, so it goes before that comes.
    for file in [log, store.join("bugle.db-shm")] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io(&file, &error));
            }
            _ => {}
        }
    }
    fs::rename(&made.database, &database).map_err(failed(&database))?;
    let said = Said { identity: made.identity, confirmed: 0 };
    let is_its_own = |found: Option<answered::Found>| {
        found.is_none_or(|found| found.mark.identity == said.mark_identity())
    };
    if !answered::find(&database).is_ok_and(is_its_own) {
        fs::remove_file(&mark).map_err(failed(&mark))?;
    }
    sync_directory(&database);
    Ok(kept)
}
