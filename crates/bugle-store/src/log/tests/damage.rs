//! A log that is not as it was written: it is refused with the file's name, or what was answered
//! for is there.

use std::fs::OpenOptions;
use std::path::PathBuf;

use bugle_core::Sequence;
use tempfile::TempDir;

use super::super::*;
use super::support::*;

/// Three writes in one segment and two in a second one; the last was not synced.
fn sample() -> (TempDir, Vec<(Sequence, FrameAddress)>) {
    let store = directory();
    let (mut writer, ..) = open_log(store.path(), &Known::default()).unwrap();
    let mut addresses = Vec::new();
    for frames in [&[2][..], &[1, 2], &[1], &[2], &[1, 1]] {
        if writer.next() == Sequence(7) {
            writer.roll().unwrap();
        }
        let mut first = writer.next();
        put_together(&mut writer, frames, 20);
        for (address, count) in writer.write().unwrap().iter().zip(frames) {
            addresses.push((first, *address));
            first.0 += count;
        }
        if first != Sequence(11) {
            writer.sync().unwrap();
        }
    }
    (store, addresses)
}

/// All events of the sample, and those that were synced.
const ALL: u64 = 10;
const SYNCED: u64 = 8;

/// A file as it was: what is in it but zeros at its end, and how long it is.
struct Image {
    path: PathBuf,
    bytes: Vec<u8>,
    length: u64,
}

impl Image {
    fn put(&self, bytes: &[u8]) {
        std::fs::write(&self.path, bytes).unwrap();
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.set_len(self.length.max(bytes.len() as u64)).unwrap();
    }
}

fn images(store: &TempDir) -> Vec<Image> {
    let mut images: Vec<_> = std::fs::read_dir(store.path().join(DIRECTORY))
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let length = bytes.len() as u64;
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
            Image { path, bytes, length }
        })
        .collect();
    images.sort_by(|one, other| one.path.cmp(&other.path));
    images
}

fn restore(store: &TempDir, images: &[Image]) {
    let directory = store.path().join(DIRECTORY);
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::create_dir(directory).unwrap();
    images.iter().for_each(|image| image.put(&image.bytes));
}

/// Opens it, which must find a beginning of all that was written, up to what was answered for.
fn check(store: &TempDir, known: &Known, synced: u64, what: &str) {
    let from = known.last.map_or(0, |(first, _)| first.0);
    match open_log(store.path(), known) {
        Ok((mut writer, _, found)) => {
            let numbers = numbers(&found);
            let last = numbers.last().copied().unwrap_or(from);
            assert_eq!(numbers, (from + 1..=last).collect::<Vec<_>>(), "{what}");
            assert!(last >= synced.max(known.answered.0), "{what}: only up to {last}");
            // It goes on as if nothing had been.
            append(&mut writer, 1);
            drop(writer);
            let (_, _, found) = open_log(store.path(), known).unwrap();
            assert_eq!(numbers.len() + 1, super::support::numbers(&found).len(), "{what}");
        }
        Err(error) => {
            assert!(error.is_damage() || error.is_missing(), "{what}: {error}");
            assert!(error.to_string().contains(DIRECTORY), "{what}: {error}");
        }
    }
}

/// With the first segment in the index, and with nothing in it; whatever was answered for.
#[test]
fn a_changed_byte_is_found_or_does_not_matter() {
    let (store, addresses) = sample();
    let images = images(&store);
    let known = [
        (answered(SYNCED), 0),
        (answered(ALL), 0),
        // A mark that is older: what was synced all the same is not lost in silence.
        (answered(0), 6),
        (Known { last: Some(addresses[3]), segments: vec![Sequence(1)], ..answered(SYNCED) }, 0),
    ];
    for image in &images {
        // And some bytes behind the end.
        let mut bytes = image.bytes.clone();
        bytes.resize(bytes.len() + 60, 0);
        for at in 0..bytes.len() {
            for (number, (known, synced)) in known.iter().enumerate() {
                if number > 0 && at % 3 != number - 1 {
                    continue;
                }
                restore(&store, &images);
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                image.put(&changed);
                let what = format!("{} byte {at} {number}", image.path.display());
                check(&store, known, *synced, &what);
            }
        }
    }
}

#[test]
fn an_end_at_any_byte_is_a_tail_or_a_loss() {
    let (store, _) = sample();
    let images = images(&store);
    let image = images.last().unwrap();
    for length in 0..=image.bytes.len() {
        for (known, zeros) in [(answered(6), false), (answered(6), true), (answered(SYNCED), true)]
        {
            restore(&store, &images);
            match zeros {
                true => image.put(&image.bytes[..length]),
                false => std::fs::write(&image.path, &image.bytes[..length]).unwrap(),
            }
            check(&store, &known, 0, &format!("cut at {length}, with zeros: {zeros}"));
            if known.answered == Sequence(6) {
                assert!(open_log(store.path(), &known).is_ok(), "a tail at {length} is no damage");
            }
        }
    }
}

#[test]
fn a_write_is_there_whole_or_not_at_all() {
    let (store, addresses) = sample();
    let image = images(&store).pop().unwrap();
    // The last write has two frames, and the second of them is torn.
    let (first, torn) = *addresses.last().unwrap();
    assert_eq!(first, Sequence(10));
    let mut changed = image.bytes.clone();
    changed[torn.offset as usize + torn.length as usize - 1] ^= 1;
    image.put(&changed);
    let (_, _, found) = open_log(store.path(), &answered(SYNCED)).unwrap();
    assert_eq!(numbers(&found), (1..=SYNCED).collect::<Vec<_>>());
}

#[test]
fn a_hole_that_a_power_cut_leaves_in_what_was_not_synced_is_an_end() {
    let store = directory();
    let (mut writer, ..) = open_log(store.path(), &Known::default()).unwrap();
    append(&mut writer, 1);
    let mut second = None;
    for _ in 0..3 {
        put_together(&mut writer, &[1], 20);
        second.get_or_insert(writer.write().unwrap()[0]);
    }
    drop(writer);
    let path = file_of(store.path(), Sequence(1));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[second.unwrap().offset as usize] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (_, _, found) = open_log(store.path(), &answered(1)).unwrap();
    assert_eq!(numbers(&found), [1]);
}

#[test]
fn a_segment_of_another_store_or_another_name_is_refused() {
    let (store, _) = sample();
    let [one, two] = [Sequence(1), Sequence(7)].map(|it| file_of(store.path(), it));
    let bytes = std::fs::read(&two).unwrap();
    std::fs::copy(&one, &two).unwrap();
    let error = open_log(store.path(), &answered(SYNCED)).unwrap_err();
    assert!(error.to_string().contains("its name says otherwise"), "{error}");
    std::fs::write(&two, bytes).unwrap();
    let other = open(
        store.path(),
        Identity([7; 16]),
        LogOptions::default(),
        &answered(SYNCED),
        |_| -> Result<(), SegmentError> { Ok(()) },
    );
    let error = other.unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
    std::fs::remove_file(one).unwrap();
    let error = open_log(store.path(), &answered(SYNCED)).unwrap_err();
    assert!(error.is_damage(), "{error}");
}

/// What can be read of a log, whatever is wrong with it: the numbers of the events, which must be
/// as they were written.
fn salvage(store: &TempDir, what: &str) -> (Vec<Looked>, Vec<u64>) {
    let mut numbers = Vec::new();
    let visit = |found: Found| -> Result<(), SegmentError> {
        for (read, at) in found.frame.events.iter().zip(found.first.0..) {
            if let Ok(read) = read {
                assert_eq!(read.event, event(at), "{what}");
                numbers.push(at);
            }
        }
        Ok(())
    };
    let looked = look_through(store.path(), Some(IDENTITY), Sequence(SYNCED), visit).unwrap();
    (looked, numbers)
}

/// Whatever byte is changed: all events but those of its record are found, and none that was not
/// written.
#[test]
fn what_is_not_hit_is_salvaged() {
    let (store, addresses) = sample();
    let images = images(&store);
    let (looked, whole) = salvage(&store, "as it was");
    assert_eq!(whole, (1..=ALL).collect::<Vec<_>>());
    assert!(looked.iter().all(|it| it.damage.is_none() && it.identity == Some(IDENTITY)));
    for image in &images {
        let segment = Sequence(if image.path.to_string_lossy().contains("07.log") { 7 } else { 1 });
        for at in 0..image.bytes.len() {
            let what = format!("{} byte {at}", image.path.display());
            restore(&store, &images);
            let mut changed = image.bytes.clone();
            changed[at] ^= 0x10;
            image.put(&changed);
            let (looked, numbers) = salvage(&store, &what);
            let hit = addresses.iter().position(|(_, address)| {
                let start = address.offset as usize;
                address.segment == segment && (start..start + address.length as usize).contains(&at)
            });
            let Some(hit) = hit else {
                assert_eq!(numbers, whole, "{what}");
                assert!(looked.iter().any(|it| it.damage.is_some()), "{what}");
                // And the head is made good again.
                Mend::Head(segment).make(store.path(), IDENTITY).unwrap();
                assert!(salvage(&store, &what).0.iter().all(|it| it.damage.is_none()), "{what}");
                continue;
            };
            let (first, end) = (addresses[hit].0.0, addresses.get(hit + 1).map_or(11, |it| it.0.0));
            let others = whole.iter().filter(|it| !(first..end).contains(it));
            // What nobody was told of, and is not all there, goes.
            let others: Vec<_> = others.copied().filter(|it| first < 9 || *it < 9).collect();
            let found: Vec<_> = numbers.iter().copied().filter(|it| others.contains(it)).collect();
            assert_eq!(found, others, "{what}");
        }
    }
}

#[test]
fn a_record_that_the_index_knows_is_made_good_again() {
    let (store, addresses) = sample();
    let (first, address) = addresses[2];
    let path = file_of(store.path(), Sequence(1));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[address.offset as usize + 20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(salvage(&store, "damaged").1, [1, 2, 3, 6, 7, 8, 9, 10]);
    // Its frame can be read where it is known to be.
    let reader = LogReader::open(store.path(), IDENTITY);
    assert!(reader.frame(first, address).unwrap().is_whole());
    Mend::Record(first, 2, address).make(store.path(), IDENTITY).unwrap();
    assert_eq!(salvage(&store, "mended").1, (1..=ALL).collect::<Vec<_>>());
}

#[test]
fn what_is_cut_off_or_removed_is_not_looked_for() {
    let (store, addresses) = sample();
    let (_, last) = addresses[4];
    let end = u64::from(last.offset) + u64::from(last.length);
    Mend::Cut(Sequence(7), end).make(store.path(), IDENTITY).unwrap();
    let segments = vec![Sequence(1), Sequence(7)];
    let known = Known { last: Some(addresses[4]), segments, ..answered(SYNCED) };
    let (mut writer, ..) = open_log(store.path(), &known).unwrap();
    append(&mut writer, 1);
    assert_eq!(salvage(&store, "cut").1, (1..=9).collect::<Vec<_>>());
    drop(writer);
    Mend::Remove(Sequence(7)).make(store.path(), IDENTITY).unwrap();
    // What was appended has a file of its own: the one that was cut is full.
    assert_eq!(salvage(&store, "removed").1, [1, 2, 3, 4, 5, 6, 9]);
}
