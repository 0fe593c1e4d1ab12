//! What was settled, and what failed, since the emitters' places were last written into the
//! database.
//!
//! A delivery is settled before the next one of its emitter begins, and that must outlive the
//! process; but to write a place into the database takes a transaction, and a turn of the writer.
//! So each settling is first noted in a file beside the database, which takes one short write and
//! no wait, and the writer writes the places of all that have moved a little later, together. What
//! was noted is then in both, and its room is used again. A failed attempt is noted in the same
//! way, in its turn: it says how often its event was tried, and how long the emitter waits.
//!
//! The file has two halves. While the places of one are written, the other is noted in. A half is
//! not emptied, but begun anew with another number at its start, from which the checksum of each
//! note in it follows: so what is left of earlier ones is not read, nor a torn one. To read a note
//! twice changes nothing. The file is not synced: after a power cut it may be behind, and what was
//! settled last is delivered again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bugle_core::EmitterId;
use rustc_hash::FxHashSet;

use crate::fault::{Point, pass};
use crate::files::open_private;
use crate::sqlite::write::note::{Note, Noted, Written, read_note};

/// The file's name, beside the database.
pub(crate) const FILE: &str = "bugle.settled";

/// The size of a half: some ten thousand notes.
const HALF: usize = 512 << 10;

/// A half's number.
const NUMBER: usize = 8;

/// What was settled, and is not in the database yet.
#[derive(Debug, Default)]
pub(crate) struct SettleLog {
    /// `None` when it can't be written: then everything waits for the writer.
    file: Option<File>,
    path: PathBuf,
    /// How much of each half is in use, and how much was when the places began to be written.
    used: [usize; 2],
    writing: [usize; 2],
    /// In which half is noted, and its number.
    active: usize,
    number: u64,
    /// Whose place is not as it was written down.
    moved: FxHashSet<EmitterId>,
}

impl SettleLog {
    /// Makes the file, or reads what a process that died has left in it. Where the disk is full or
    /// does not let itself be written, there is none.
    pub(crate) fn open(database: &Path) -> (Self, Vec<Note>) {
        let path = database.with_file_name(FILE);
        let opened = open_private(&path).and_then(|mut file| {
            let mut found = Vec::new();
            file.read_to_end(&mut found)?;
            if found.len() < 2 * HALF {
                // From now on nothing that is noted needs space.
                // Page by page: what is written at once the system keeps in large pieces, of
                // which each later note would touch all.
                for page in vec![0; 2 * HALF - found.len()].chunks(4096) {
                    file.write_all(page)?;
                }
            }
            file.rewind()?;
            Ok((file, found))
        });
        let (file, found) = match opened {
            Ok((file, found)) => (Some(file), found),
            // What it has is read all the same.
            Err(_) => (None, std::fs::read(&path).unwrap_or_default()),
        };
        let number = halves(&found).map(|(number, _)| number).max().unwrap_or(0);
        (Self { file, path, number, ..Self::default() }, read_notes(&found))
    }

    /// Reads what was noted, and changes nothing.
    pub(crate) fn read(database: &Path) -> Vec<Note> {
        std::fs::read(database.with_file_name(FILE))
            .map_or_else(|_| Vec::new(), |it| read_notes(&it))
    }

    /// These emitters' places are not as they were written down, because of what was read: nothing
    /// is noted over it until they are.
    pub(crate) fn moved(&mut self, moved: FxHashSet<EmitterId>) {
        self.used = [HALF; 2];
        self.writing = self.used;
        self.moved = moved;
        if self.moved.is_empty() {
            self.written();
        }
    }

    /// Notes what became of an entry. `false` when that can't be, and must be written otherwise.
    pub(crate) fn note(&mut self, emitter: &EmitterId, noted: &Noted) -> bool {
        let Some(file) = &mut self.file else { return false };
        let note = Written::new(self.number, emitter, noted);
        let used = &mut self.used[self.active];
        if *used + note.bytes().len() > HALF {
            return false;
        }
        if file.write_all(note.bytes()).is_err() {
            // What comes behind a torn note is not read.
            *used = HALF;
            return false;
        }
        *used += note.bytes().len();
        pass(Point::SettleNoted, true);
        self.moved.insert(emitter.clone());
        true
    }

    /// Whether there is something that is not in the database.
    pub(crate) fn is_empty(&self) -> bool {
        self.moved.is_empty()
    }

    /// Whether it is time to make room.
    pub(crate) fn is_crowded(&self) -> bool {
        self.used[self.active] > HALF / 2
    }

    /// The places of these emitters are about to be written; what comes is noted in the other half,
    /// if that has room.
    pub(crate) fn begin(&mut self) -> impl Iterator<Item = EmitterId> {
        self.writing = self.used;
        let other = 1 - self.active;
        if self.used[self.active] > 0 && self.used[other] == 0 {
            self.turn_to(other);
            self.writing[other] = self.used[other];
        }
        std::mem::take(&mut self.moved).into_iter()
    }

    /// The places are written: what was noted before has made room.
    pub(crate) fn written(&mut self) {
        pass(Point::SettleNotesWritten, true);
        for half in [0, 1] {
            if self.used[half] == self.writing[half] {
                self.used[half] = 0;
            }
        }
        if self.used[self.active] == 0 {
            // The other one too, if nothing in it is needed any more.
            let other = 1 - self.active;
            if self.used[other] == 0 {
                self.turn_to(other);
                self.used[other] = 0;
                self.turn_to(1 - other);
            } else {
                self.turn_to(self.active);
            }
        }
    }

    /// Notes in a half from its start.
    fn turn_to(&mut self, half: usize) {
        self.active = half;
        self.number = self.number.wrapping_add(1);
        self.used[half] = NUMBER;
        let start = SeekFrom::Start((half * HALF) as u64);
        let number = self.number.to_le_bytes();
        let begin = |file: &mut File| file.seek(start).and_then(|_| file.write_all(&number));
        if self.file.as_mut().is_some_and(|file| begin(file).is_err()) {
            self.file = None;
        }
    }

    /// All is in the database, and nothing more is settled.
    pub(crate) fn remove(&mut self) {
        if self.is_empty() && self.file.take().is_some() {
            // If it stays, what it says is known already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The notes in both halves, up to the first of each that is none; in the order in which they were
/// made.
fn read_notes(file: &[u8]) -> Vec<Note> {
    let mut all = Vec::new();
    let mut in_order: Vec<_> = halves(file).collect();
    in_order.sort_unstable_by_key(|(number, _)| *number);
    for (number, mut notes) in in_order {
        while let Some((note, rest)) = read_note(number, notes) {
            all.push(note);
            notes = rest;
        }
    }
    all
}

/// The halves' numbers, and what is noted in each.
fn halves(file: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let halves = file.chunks(HALF).filter_map(|half| half.split_first_chunk());
    halves.map(|(number, notes)| (u64::from_le_bytes(*number), notes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use bugle_core::{Sequence, Setback, Tries};
    use jiff::Timestamp;

    use super::*;
    use crate::sqlite::write::note::{HEAD, SETBACK};

    fn emitter(number: u64) -> EmitterId {
        EmitterId::new(format!("emitter-{number}")).unwrap()
    }

    fn note(settled: &mut SettleLog, number: u64) -> bool {
        settled.note(&emitter(number % 7), &noted(number))
    }

    /// Each third is a failed attempt.
    fn noted(number: u64) -> Noted {
        if !number.is_multiple_of(3) {
            return Noted::Delivered(Sequence(number));
        }
        let tries = Tries { attempts: 5, crashes: 2 };
        let [delay, backoff, asked] = [number, 7, u64::MAX].map(Duration::from_nanos);
        let failures = u32::MAX;
        let sequence = Sequence(number);
        let setback = Setback { sequence, tries, delay, failures, backoff, asked };
        Noted::SetBack(number, setback, Timestamp::from_nanosecond(-5).unwrap())
    }

    fn open(database: &Path) -> SettleLog {
        let (mut settled, notes) = SettleLog::open(database);
        assert!(notes.is_empty());
        settled.moved(FxHashSet::default());
        settled
    }

    /// What a process would find that comes after one that was killed now.
    fn found(database: &Path) -> Vec<u64> {
        let found = SettleLog::read(database);
        let numbers: Vec<u64> = found.iter().map(|(_, it)| number(it)).collect();
        assert!(numbers.is_sorted(), "in the order in which they were made");
        assert!(found.iter().all(|(_, it)| *it == noted(number(it))));
        numbers
    }

    fn number(noted: &Noted) -> u64 {
        match noted {
            Noted::Delivered(sequence) | Noted::SetBack(_, Setback { sequence, .. }, _) => {
                sequence.0
            }
        }
    }

    #[test]
    fn what_is_noted_is_found_until_it_is_written() {
        let directory = tempfile::TempDir::new().unwrap();
        let database = directory.path().join("bugle.db");
        let mut settled = open(&database);
        assert!(settled.is_empty());
        // Several times as much as there is room for.
        let mut written = 0;
        let mut number = 0;
        for round in 0..200 {
            for _ in 0..500 {
                number += 1;
                assert!(note(&mut settled, number), "{number}");
            }
            let moved: FxHashSet<EmitterId> = settled.begin().collect();
            assert_eq!(moved.len(), 7);
            assert!(settled.is_empty());
            // What comes while the places are written is not among them.
            let noted = number;
            number += 1;
            assert!(note(&mut settled, number));
            let all = found(&database);
            assert!((written + 1..=number).all(|it| all.binary_search(&it).is_ok()), "{round}");
            settled.written();
            written = noted;
        }
        settled.begin().for_each(drop);
        settled.written();
        settled.remove();
        assert!(!directory.path().join(FILE).exists());
    }

    #[test]
    fn where_nothing_is_written_there_is_an_end_of_room() {
        let directory = tempfile::TempDir::new().unwrap();
        let database = directory.path().join("bugle.db");
        let mut settled = open(&database);
        let mut number = 0;
        // Writing begins, and fails: it begins again.
        for _ in 0..3 {
            while note(&mut settled, number + 1) {
                number += 1;
            }
            settled.begin().for_each(drop);
        }
        assert!(settled.is_crowded());
        assert_eq!(found(&database), (1..=number).collect::<Vec<_>>());
        settled.written();
        assert!(note(&mut settled, number + 1), "the half that was written has room");
    }

    #[test]
    fn what_is_read_has_room_only_when_it_is_written() {
        let directory = tempfile::TempDir::new().unwrap();
        let database = directory.path().join("bugle.db");
        let mut settled = open(&database);
        (1..=9).for_each(|number| assert!(note(&mut settled, number)));
        drop(settled);
        let (mut settled, notes) = SettleLog::open(&database);
        assert_eq!(notes.len(), 9);
        settled.moved(notes.into_iter().map(|(emitter, _)| emitter).collect());
        assert!(!note(&mut settled, 10));
        assert_eq!(settled.begin().count(), 7);
        assert!(!note(&mut settled, 10));
        settled.written();
        assert!(note(&mut settled, 10));
        assert_eq!(found(&database), [10], "what was written is not read again");
    }

    #[test]
    fn a_torn_note_and_what_is_behind_it_is_not_read() {
        let directory = tempfile::TempDir::new().unwrap();
        let database = directory.path().join("bugle.db");
        let mut settled = open(&database);
        (1..=3).for_each(|number| assert!(note(&mut settled, number)));
        let all = std::fs::read(directory.path().join(FILE)).unwrap();
        // Which half is noted in is its own business.
        let file = all.chunks(HALF).find(|half| half[NUMBER] != 0).unwrap().to_vec();
        let length = HEAD + emitter(1).as_str().len();
        let ends = [0, length, 2 * length, 3 * length + SETBACK];
        for at in length..ends[3] {
            let mut torn = file.clone();
            torn[NUMBER + at] ^= 0x40;
            let before = ends.iter().filter(|end| **end <= at).count() - 1;
            assert_eq!(read_notes(&torn).len(), before, "byte {at}");
        }
        for cut in 0..ends[3] {
            let before = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(read_notes(&file[..NUMBER + cut]).len(), before);
        }
        let mut other = file;
        other[0] ^= 1;
        assert!(read_notes(&other).is_empty(), "notes of another number");
    }
}
