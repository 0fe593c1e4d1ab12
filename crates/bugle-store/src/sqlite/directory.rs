//! The store's directory, which one store at a time has open.
//!
//! The directory itself is locked, and a file in it for systems that don't lock directories: who
//! deletes that file lets nobody else in.
//!
//! The database has the keys that emitters sign with, in clear. So on Unix the directory is made
//! for its owner alone (0700), and the files in it are made, or made again, for their owner alone
//! (0600): SQLite gives its log the same permissions as the database.

use std::fs::{File, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::files::{close_to_others, make_directory, open_private};
use crate::log::DIRECTORY as SEGMENTS;
use crate::sqlite::error::StoreError;
use crate::sqlite::write::{answered, settle_log};

/// A directory that is ours until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The database file.
    pub(crate) file: PathBuf,
    /// The same, open. It is closed behind all connections: closing it takes their locks from it.
    pub(crate) database: File,
    held: Held,
}

/// What nobody else has as long as this is there.
#[derive(Debug)]
pub(crate) struct Held {
    /// Holds a lock. It is a file of its own: SQLite keeps its own locks on the others.
    lock: File,
    /// The directory, which holds the lock that can't be deleted, where the system has such.
    _directory: Option<File>,
}

/// How long the lock's file is: space that SQLite needs for the index of its log, to open the
/// database. It is given up for that where the disk is full.
const RESERVE: u64 = 64 << 10;

/// How long a lock that somebody has is waited for.
const LOCKED_WITHIN: Duration = Duration::from_millis(500);

impl Directory {
    /// Makes the directory if there is none, and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        make_directory(path).map_err(|error| match path.is_file() {
            true => StoreError::NotADirectory { path: path.to_owned() },
            false => StoreError::io(path, &error),
        })?;
        let held = Self::hold(path)?;
        let file = path.join(DATABASE);
        if let Some(left) = orphan(path) {
            let reason = format!("it is missing, or empty, though its {left} is there");
            return Err(StoreError::damaged(&file, reason));
        }
        let database = open_private(&file).map_err(|error| StoreError::io(&file, &error))?;
        // What a process that died has left, or a backup that was put back.
        for left in ["bugle.db-wal", "bugle.db-shm"] {
            close_to_others(&path.join(left));
        }
        for segment in path.join(SEGMENTS).read_dir().into_iter().flatten().flatten() {
            close_to_others(&segment.path());
        }
        let taken = Self { file, database, held };
        taken.reserve();
        Ok(taken)
    }

    /// Locks a directory.
    pub(crate) fn hold(path: &Path) -> Result<Held, StoreError> {
        let in_use = || StoreError::InUse { directory: path.to_owned() };
        let directory = File::open(path).ok();
        if let Some(Err(TryLockError::WouldBlock)) = directory.as_ref().map(lock_soon) {
            return Err(in_use());
        }
        let name = path.join("bugle.lock");
        let lock = open_private(&name).map_err(|error| StoreError::io(&name, &error))?;
        match lock_soon(&lock) {
            Ok(()) => Ok(Held { lock, _directory: directory }),
            Err(TryLockError::WouldBlock) => Err(in_use()),
            Err(TryLockError::Error(error)) => Err(StoreError::io(&name, &error)),
        }
    }

    /// Whether anything of a store is in a directory.
    pub(crate) fn has_any(path: &Path) -> bool {
        path.join(DATABASE).exists() || orphan(path).is_some()
    }

    /// Keeps some space, if there is any.
    fn reserve(&self) {
        if self.held.lock.metadata().is_ok_and(|it| it.len() < RESERVE)
            && (&self.held.lock).write_all(&[0; RESERVE as usize]).is_err()
        {
            self.give_reserve_up();
        }
    }

    /// On a full disk: gives the space up that was kept.
    pub(crate) fn give_reserve_up(&self) {
        // Where that fails there is nothing more to be done.
        let _ = self.held.lock.set_len(0).and_then(|()| (&self.held.lock).rewind());
    }
}

impl Drop for Directory {
    /// All connections are closed, so what they needed is free again.
    fn drop(&mut self) {
        self.reserve();
    }
}

/// Locks a file, now or within a moment. A lock belongs to an open file, and whoever has just
/// started another program has given that a copy of all its open files, until it is under way; and
/// a process that was killed has its locks until the system has taken it apart.
fn lock_soon(file: &File) -> Result<(), TryLockError> {
    let deadline = Instant::now() + LOCKED_WITHIN;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            locked => return locked,
        }
    }
}

/// The database's name.
pub(crate) const DATABASE: &str = "bugle.db";

/// Where the database is gone: which of its other files is there. A new directory has none of them,
/// and they are made behind the database.
pub(crate) fn orphan(directory: &Path) -> Option<&'static str> {
    let has = |name: &str| directory.join(name).metadata().is_ok_and(|it| it.len() > 0);
    let others = ["bugle.db-wal", answered::FILE, settle_log::FILE, SEGMENTS];
    if has(DATABASE) { None } else { others.into_iter().find(|name| has(name)) }
}
