//! How far the store has answered: what it must still have when it is opened again.
//!
//! SQLite takes what follows a damaged frame of its log for a tail that was never committed, and
//! opens without it. The store knows better, because it has told callers that their events are
//! safe. So before they are told, it marks here, beside the database, up to which event it has
//! answered, and up to which *confirmation*: a count that the database carries too, of the
//! transactions that promised anything but an event. What is read at open must reach as far.
//!
//! The file has two slots, written in turn, each with a checksum, on pages that are there already.
//! It is written after the sync of what it speaks of, and never synced itself: written pages
//! survive a kill, and after a power cut the mark may be older than the database, which is as
//! good.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bugle_core::Sequence;
use parking_lot::Mutex;

use crate::files::{open_private, sync_directory, write_at};
use crate::sqlite::error::StoreError;

/// The file's name, beside the database.
pub(crate) const FILE: &str = "bugle.answered";

/// How far the slots are apart: a page.
const SLOT: usize = 4096;

/// What a slot begins with.
const MAGIC: [u8; 8] = *b"bugleans";

/// The numbers in a slot, and the length of all that is in it.
const NUMBERS: usize = 5;
const LENGTH: usize = MAGIC.len() + 8 * NUMBERS + 4;

/// How far was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Whose mark it is: the database has the same number.
    pub(crate) identity: u64,
    /// The last event that a caller was told of.
    pub(crate) sequence: Sequence,
    /// The last transaction that confirmed something else.
    pub(crate) confirmed: u64,
    /// 0 where all that was answered is synced. Otherwise it survives only as long as the operating
    /// system runs, and this says which run that was.
    pub(crate) run: u64,
}

/// The mark, and where it is kept.
#[derive(Debug)]
pub(crate) struct Answered {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` where the disk was too full to make it.
    file: Option<File>,
    /// How often it was written.
    written: u64,
    mark: Mark,
}

impl Answered {
    /// Goes on with a mark that was found, or begins one.
    pub(crate) fn open(database: &Path, found: Option<Found>, mark: Mark) -> Self {
        let path = path(database);
        let made = || -> io::Result<File> {
            let file = open_private(&path)?;
            if file.metadata()?.len() < 2 * SLOT as u64 {
                file.set_len(0)?;
                write_at(&file, &[0; 2 * SLOT], 0)?;
                file.sync_all()?;
                sync_directory(&path);
            }
            Ok(file)
        };
        let written = found.map_or(0, |found| found.written);
        let inner = Inner { file: made().ok(), written, mark };
        let answered = Self { inner: Mutex::new(inner) };
        answered.inner.lock().write();
        answered
    }

    /// Callers are about to be told of what is safe now.
    pub(crate) fn advance(&self, sequence: Option<Sequence>, confirmed: Option<u64>) {
        let mut inner = self.inner.lock();
        let mark = Mark {
            sequence: sequence.unwrap_or_default().max(inner.mark.sequence),
            confirmed: confirmed.unwrap_or_default().max(inner.mark.confirmed),
            ..inner.mark
        };
        if mark != inner.mark {
            inner.mark = mark;
            inner.write();
        }
    }
}

impl Inner {
    /// Writes over the older of the two slots.
    fn write(&mut self) {
        let Some(file) = &self.file else { return };
        self.written += 1;
        let slot = encode(self.written, &self.mark);
        // A mark that can't be written is older than it could be, which refuses nothing.
        let _ = write_at(file, &slot, if self.written.is_multiple_of(2) { 0 } else { SLOT as u64 });
    }
}

/// A mark that was read, and how often it had been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) mark: Mark,
    written: u64,
}

/// The mark beside a database; `None` when there is none, or none was written yet.
pub(crate) fn find(database: &Path) -> Result<Option<Found>, StoreError> {
    let path = path(database);
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(2 * SLOT as u64).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(&path, &error)),
    }
    let newest = bytes.chunks(SLOT).filter_map(decode).max_by_key(|found| found.written);
    if newest.is_none() && bytes.iter().any(|byte| *byte != 0) {
        return Err(StoreError::damaged(&path, "neither of its marks can be read"));
    }
    Ok(newest)
}

/// The file beside a database.
pub(crate) fn path(database: &Path) -> PathBuf {
    database.with_file_name(FILE)
}

/// Which run of the operating system this is, where it says so; 0 elsewhere.
pub(crate) fn this_run() -> u64 {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let (one, other) = id.split_at(id.len() / 2);
    u64::from(crc32fast::hash(one)) << 32 | u64::from(crc32fast::hash(other))
}

fn encode(written: u64, mark: &Mark) -> [u8; LENGTH] {
    let numbers = [written, mark.identity, mark.sequence.0, mark.confirmed, mark.run];
    let mut slot = [0; LENGTH];
    slot[..MAGIC.len()].copy_from_slice(&MAGIC);
    for (bytes, number) in slot[MAGIC.len()..].chunks_exact_mut(8).zip(numbers) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    let checksum = crc32fast::hash(&slot[..LENGTH - 4]);
    slot[LENGTH - 4..].copy_from_slice(&checksum.to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<Found> {
    let (said, checksum) = slot.get(..LENGTH)?.split_last_chunk()?;
    let numbers = said.strip_prefix(&MAGIC)?;
    if crc32fast::hash(said) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut numbers = numbers.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number));
    let mut next = || numbers.next();
    let written = next()?;
    let (identity, sequence) = (next()?, Sequence(next()?));
    Some(Found { mark: Mark { identity, sequence, confirmed: next()?, run: next()? }, written })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn mark(sequence: u64, confirmed: u64) -> Mark {
        Mark { identity: 7, sequence: Sequence(sequence), confirmed, run: 0 }
    }

    #[test]
    fn what_was_marked_last_is_found() {
        let directory = tempfile::TempDir::new().unwrap();
        let database = directory.path().join("bugle.db");
        assert_eq!(find(&database).unwrap(), None);
        let answered = Answered::open(&database, None, mark(0, 0));
        answered.advance(Some(Sequence(3)), None);
        answered.advance(None, Some(2));
        answered.advance(Some(Sequence(2)), Some(1));
        drop(answered);
        let found = find(&database).unwrap().unwrap();
        assert_eq!(found.mark, mark(3, 2), "and never goes back");
        let answered = Answered::open(&database, Some(found), found.mark);
        for sequence in 4..50 {
            answered.advance(Some(Sequence(sequence)), None);
            assert_eq!(find(&database).unwrap().unwrap().mark, mark(sequence, 2));
        }
    }

    /// A power cut or a flipped bit takes one slot at most, and the other is one mark older.
    #[test]
    fn with_one_slot_damaged_the_other_is_read() {
        let directory = tempfile::TempDir::new().unwrap();
        let database = directory.path().join("bugle.db");
        let answered = Answered::open(&database, None, mark(0, 0));
        answered.advance(Some(Sequence(1)), None);
        answered.advance(Some(Sequence(2)), None);
        let whole = std::fs::read(path(&database)).unwrap();
        for at in (0..LENGTH).flat_map(|at| [at, SLOT + at]) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(path(&database), damaged).unwrap();
            let found = find(&database).unwrap().unwrap().mark.sequence.0;
            assert!((1..=2).contains(&found), "byte {at}: {found}");
        }
        let mut damaged = whole;
        (damaged[9], damaged[SLOT + 9]) = (0xFF, 0xFF);
        std::fs::write(path(&database), damaged).unwrap();
        assert!(find(&database).unwrap_err().to_string().contains(FILE));
    }
}
