//! Why a store could not be opened, and what its troubles are called later.

use bugle_core::{JournalError, LogError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

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
        /// The database file.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Something is gone that callers were told is safe: the log beside the database was cut off,
    /// removed or damaged, or the database is an earlier one.
    #[error(
        "{} with its log ({}-wal) lacks what was confirmed to be safe: {missing}. Put a backup of \
         the whole directory in its place, or run `bugle repair --store {}`, which says what is \
         lost and goes on without it",
        file.display(),
        file.display(),
        directory_of(file).display()
    )]
    Lost {
        /// The database file.
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

    pub(super) fn io(path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull => Self::Full { path: path.to_owned() },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { path: path.to_owned() }
            }
            ErrorKind::NotADirectory => Self::NotADirectory { path: path.to_owned() },
            kind => Self::Io { path: path.to_owned(), reason: in_words(kind, error) },
        }
    }

    pub(super) fn damaged(file: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), reason: reason.into() }
    }

    pub(super) fn sqlite(file: &Path, error: &rusqlite::Error) -> Self {
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

/// The directory that a file of a store is in.
fn directory_of(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
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
pub(super) struct Trouble {
    /// Whether the disk, or what is allowed of it, is full.
    pub(super) is_full: bool,
    /// What failed and what to do about it.
    pub(super) message: String,
}

impl From<Trouble> for JournalError {
    fn from(trouble: Trouble) -> Self {
        Self::new(trouble.message)
    }
}

impl From<Trouble> for LogError {
    fn from(trouble: Trouble) -> Self {
        Self::Store { message: trouble.message }
    }
}

impl Trouble {
    /// The thread that should have answered is gone.
    pub(super) fn closed() -> Self {
        Self { is_full: false, message: "the store is closed: open it again".to_owned() }
    }

    /// A sync failed, see `distrust`.
    pub(super) fn unsynced(file: &Path, error: &dyn std::fmt::Display) -> Self {
        let message = format!(
            "{} could not be synced to its disk ({error}), so nothing more is accepted: see to the \
             disk, and open the store again. What was accepted is safe, and deliveries go on",
            file.display()
        );
        Self { is_full: false, message }
    }

    /// A file was deleted, or another one put in its place.
    pub(super) fn lost(file: &Path) -> Self {
        let message = format!(
            "{} was deleted or replaced while the store is open, so nothing more is accepted: what \
             is in it is gone as soon as this process ends. Put a backup in its place and open the \
             store again. Deliveries of what is known go on",
            file.display()
        );
        Self { is_full: false, message }
    }

    pub(super) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let (file, directory) = (path.display(), directory_of(path));
        let is_full = is_full(error);
        let message = if is_full {
            format!(
                "no space is left for {file}: make room on its disk. What was accepted is safe, \
                 and events are accepted again as soon as there is space"
            )
        } else if is_damage(error) {
            format!(
                "{file} is damaged ({}): end the service, and run `bugle repair --store {}`, or \
                 put a backup of the whole directory in its place",
                damage(error),
                directory.display()
            )
        } else {
            format!("{file} could not be read or written: {}", said(error))
        };
        Self { is_full, message }
    }
}

/// Whether there was no space: SQLite has another word for it where the index of its log grows.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == SQLITE_IOERR_SHMSIZE
    })
}

/// What is wrong with a value, without the words for how it was found; or what SQLite says.
pub(super) fn damage(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, reason) => reason.to_string(),
        rusqlite::Error::Utf8Error(..) => "a text in it is no UTF-8".to_owned(),
        error => error.to_string(),
    }
}

/// Whether an error says that a file is not as it was written.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
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
pub(super) fn bad_value(column: usize, reason: impl Into<String>) -> rusqlite::Error {
    let reason: Box<dyn std::error::Error + Send + Sync> = reason.into().into();
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Null, reason)
}
