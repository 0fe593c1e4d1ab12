//! Why a store could not be opened, and what its troubles are called later.

use bugle_core::{ErrorKind as Kind, JournalError, LogError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::log::{DIRECTORY as SEGMENTS, SegmentError};

/// Why a store on disk could not be opened. Nothing in it was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another store in this one, has the directory open.
    #[error(
        "the store in {} is open already, in this process or another: end that one, or use \
         another directory",
        directory.display()
    )]
    InUse {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The store was written by a newer version.
    #[error(
        "{} has the format {found}, and this version of Bugle knows formats up to {known}: use \
         the version that wrote it, or a newer one",
        file.display()
    )]
    Newer {
        /// The database file.
        file: PathBuf,
        /// The format that it has.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// The file was written by an earlier version, in a format that is no longer read.
    #[error(
        "{} has the format {found}, and this version of Bugle reads format {known}: deliver what \
         is in it with the version that wrote it, and use a new directory",
        file.display()
    )]
    Older {
        /// The database file.
        file: PathBuf,
        /// The format that it has.
        found: i64,
        /// The format that is read.
        known: i64,
    },
    /// The file is a database, but not one of Bugle's.
    #[error("{} is a database of another program: use another directory", file.display())]
    Foreign {
        /// The database file.
        file: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "{} is damaged ({reason}): put a backup of the whole directory in its place, or run \
         `bugle repair --store {}`, which says what is lost and goes on without it",
        file.display(),
        directory_of(file).display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Something is gone that callers were told is safe: a file was cut off, removed or damaged, or
    /// is an earlier one.
    #[error(
        "{} lacks what was confirmed to be safe: {missing}. Put a backup of the whole directory in \
         its place, or run `bugle repair --store {}`, which says what is lost and goes on without \
         it",
        with_its_log(file),
        directory_of(file).display()
    )]
    Lost {
        /// The file: a segment of the log, their directory, or the database.
        file: PathBuf,
        /// How much is missing, in words.
        missing: String,
    },
    /// There is no store to be read.
    #[error("there is no store in {}: give the directory that a service has open", path.display())]
    NoStore {
        /// The directory.
        path: PathBuf,
    },
    /// A file stands where the store's directory should be.
    #[error("{} is a file: a store is a directory, so give another name", path.display())]
    NotADirectory {
        /// The path that was given.
        path: PathBuf,
    },
    /// This process has no permission, or the file system is read-only.
    #[error(
        "no permission to read and write {}: run as the user that owns it, or give that user the \
         directory",
        path.display()
    )]
    Denied {
        /// The file or directory.
        path: PathBuf,
    },
    /// Its disk is full.
    #[error("no space is left for {}: make room on its disk, and open it again", path.display())]
    Full {
        /// The file or directory.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system, or SQLite, said.
        reason: String,
    },
}

impl StoreError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `storeInUse`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "storeInUse",
            Self::Newer { .. } => "storeNewer",
            Self::Older { .. } => "storeOlder",
            Self::Foreign { .. } => "storeForeign",
            Self::Damaged { .. } => "storeDamaged",
            Self::Lost { .. } => "storeLost",
            Self::NoStore { .. } => "storeMissing",
            Self::NotADirectory { .. } => "storeNotADirectory",
            Self::Denied { .. } => "storeDenied",
            Self::Full { .. } => "storeFull",
            Self::Io { .. } => "storeFailed",
        }
    }

    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull => Self::Full { path: path.to_owned() },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { path: path.to_owned() }
            }
            ErrorKind::NotADirectory => Self::NotADirectory { path: path.to_owned() },
            kind => Self::Io { path: path.to_owned(), reason: in_words(kind, error) },
        }
    }

    pub(crate) fn damaged(file: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), reason: reason.into() }
    }

    pub(crate) fn sqlite(file: &Path, error: &rusqlite::Error) -> Self {
        if let Some(error) = of_log(error) {
            return Self::log(error);
        }
        let path = file.to_owned();
        match error {
            _ if is_damage(error) => Self::damaged(file, damage(error)),
            _ if is_full(error) => Self::Full { path },
            _ => match error.sqlite_error_code() {
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                    Self::Denied { path }
                }
                _ => Self::Io { path, reason: said(error) },
            },
        }
    }
}

impl StoreError {
    fn log(error: &SegmentError) -> Self {
        match error {
            SegmentError::Full { path } => Self::Full { path: path.clone() },
            SegmentError::Io { path, error } => Self::io(path, error),
            SegmentError::Damaged { path, reason } => Self::damaged(path, reason),
            SegmentError::Lost { path, missing } => {
                Self::Lost { file: path.clone(), missing: missing.clone() }
            }
            SegmentError::Newer { path, found, known } => {
                let (found, known) = (i64::from(*found), i64::from(*known));
                Self::Newer { file: path.clone(), found, known }
            }
            SegmentError::Poisoned { path } => {
                Self::Io { path: path.clone(), reason: error.to_string() }
            }
            SegmentError::TooLarge => {
                Self::Io { path: PathBuf::from(SEGMENTS), reason: error.to_string() }
            }
        }
    }
}

impl From<SegmentError> for StoreError {
    fn from(error: SegmentError) -> Self {
        Self::log(&error)
    }
}

/// The directory of a store that a file is in.
fn directory_of(file: &Path) -> &Path {
    let directory = file.parent().unwrap_or(file);
    match directory.file_name() {
        Some(name) if name == SEGMENTS => directory.parent().unwrap_or(directory),
        _ => directory,
    }
}

/// A database is read together with SQLite's log beside it.
fn with_its_log(file: &Path) -> String {
    let name = file.display();
    match file.extension() {
        Some(extension) if extension == "db" => format!("{name} with its log ({name}-wal)"),
        _ => name.to_string(),
    }
}

/// What the system says, without its number for it.
fn in_words(kind: ErrorKind, error: &std::io::Error) -> String {
    match kind.to_string().as_str() {
        "uncategorized error" | "other error" => error.to_string(),
        words => words.to_owned(),
    }
}

/// What SQLite says, with what is to be done about it where that is known.
fn said(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program has it locked: end that program".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What went wrong while the store was open.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Whether it may work a little later, and what it takes: [`Kind::Full`] where the disk, or what
    /// is allowed of it, is full.
    pub(crate) kind: Kind,
    /// What failed and what to do about it.
    pub(crate) message: String,
}

impl From<Trouble> for JournalError {
    fn from(trouble: Trouble) -> Self {
        Self::new(trouble.kind, trouble.message)
    }
}

impl From<Trouble> for LogError {
    fn from(trouble: Trouble) -> Self {
        Self::Store(trouble.into())
    }
}

impl Trouble {
    /// Whether the disk, or what is allowed of it, is full.
    pub(crate) fn is_full(&self) -> bool {
        self.kind == Kind::Full
    }

    /// The thread that should have answered is gone.
    pub(crate) fn closed() -> Self {
        Self { kind: Kind::Permanent, message: "the store is closed: open it again".to_owned() }
    }

    /// A sync failed, see `poison`.
    pub(crate) fn unsynced(file: &Path, error: &dyn std::fmt::Display) -> Self {
        let message = format!(
            "{} could not be synced to its disk ({error}), so nothing more is accepted: see to the \
             disk, and open the store again. What was accepted is safe, and deliveries go on",
            file.display()
        );
        Self { kind: Kind::Permanent, message }
    }

    /// A file was deleted, or another one put in its place.
    pub(crate) fn lost(file: &Path) -> Self {
        let message = format!(
            "{} was deleted or replaced while the store is open, so nothing more is accepted: what \
             is in it is gone as soon as this process ends. Put a backup in its place and open the \
             store again. Deliveries of what is known go on",
            file.display()
        );
        Self { kind: Kind::Permanent, message }
    }

    /// Something can't be written to the log, or read from it.
    pub(crate) fn log(error: &SegmentError) -> Self {
        match error {
            SegmentError::Full { path } => Self::full(path),
            SegmentError::Damaged { path, reason } => Self::damaged(path, reason),
            error => Self { kind: Kind::Transient, message: error.to_string() },
        }
    }

    fn full(path: &Path) -> Self {
        let message = format!(
            "no space is left for {}: make room on its disk. What was accepted is safe, and events \
             are accepted again as soon as there is space",
            path.display()
        );
        Self { kind: Kind::Full, message }
    }

    fn damaged(path: &Path, reason: &str) -> Self {
        let message = format!(
            "{} is damaged ({reason}): end the service, and run `bugle repair --store {}`, or put \
             a backup of the whole directory in its place",
            path.display(),
            directory_of(path).display()
        );
        Self { kind: Kind::Transient, message }
    }

    pub(crate) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        if let Some(error) = of_log(error) {
            return Self::log(error);
        }
        let file = path.display();
        if is_full(error) {
            return Self::full(path);
        }
        if is_damage(error) {
            return Self::damaged(path, &damage(error));
        }
        let message = format!("{file} could not be read or written: {}", said(error));
        Self { kind: Kind::Transient, message }
    }
}

/// Whether there was no space: SQLite has another word for it where the index of its log grows.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == SQLITE_IOERR_SHMSIZE
    })
}

/// What is wrong with a value, without the words for how it was found; or what SQLite says.
pub(crate) fn damage(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, reason) => reason.to_string(),
        rusqlite::Error::Utf8Error(..) => "a text in it is no UTF-8".to_owned(),
        error => error.to_string(),
    }
}

/// Whether an error says that a file is not as it was written.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
        )
}

/// A value in a row that is not what was written there.
pub(crate) fn bad_value(column: usize, reason: impl Into<String>) -> rusqlite::Error {
    let reason: Box<dyn std::error::Error + Send + Sync> = reason.into().into();
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Null, reason)
}

/// Has an error of the log go the way of those of the database.
pub(crate) fn log_failed(error: SegmentError) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// The error of the log that went this way.
fn of_log(error: &rusqlite::Error) -> Option<&SegmentError> {
    match error {
        rusqlite::Error::ToSqlConversionFailure(error) => error.downcast_ref(),
        _ => None,
    }
}
