//! Whether the store's files are still where they were opened.
//!
//! A file that was deleted, or put another one in its place of, can be written as before, and is
//! gone with the process. So it is looked at twice a second; nothing is accepted from then on.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::log::DIRECTORY as SEGMENTS;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The files that have to be there.
#[derive(Debug)]
pub(crate) struct Presence {
    files: Vec<(PathBuf, FileId)>,
    looked: Instant,
    lost: bool,
}

/// Which file it is, whatever its name; only that there is one, where the system doesn't tell.
type FileId = Option<(u64, u64)>;

impl Presence {
    /// All that is there of a directory, its log, its database and SQLite's log, is to stay.
    pub(crate) fn of(database: &Path) -> Self {
        // The process may change its directory.
        let database = database.canonicalize().unwrap_or_else(|_| database.to_owned());
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let directory = database.parent().map(Path::to_owned);
        let segments = directory.as_ref().map(|it| it.join(SEGMENTS));
        let files = [directory, segments, Some(database), Some(log.into())].into_iter().flatten();
        let there = |path: PathBuf| path.metadata().ok().map(|it| (path, identity(&it)));
        Self { files: files.filter_map(there).collect(), looked: Instant::now(), lost: false }
    }

    /// When to look next.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.lost).then(|| self.looked + LOOK_EVERY)
    }

    /// Looks, if it is time or somebody wants to know: the first that is lost.
    pub(crate) fn find_lost(&mut self, now: bool) -> Option<PathBuf> {
        if self.lost || !now && self.looked.elapsed() < LOOK_EVERY {
            return None;
        }
        self.looked = Instant::now();
        let lost = self.files.iter().find(|(path, was)| match path.metadata() {
            Ok(is) => identity(&is) != *was,
            // What can't be looked at may still be there.
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        })?;
        self.lost = true;
        Some(lost.0.clone())
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_metadata: &Metadata) -> FileId {
    None
}
