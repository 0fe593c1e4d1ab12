//! The disk fails when it is told to.

use std::cell::Cell;
use std::io::ErrorKind;

use bugle_core::Sequence;

use super::super::*;
use super::support::*;

/// A write that fails.
#[derive(Clone, Copy)]
pub(in crate::log) struct Fault {
    /// So many bytes of it are written all the same.
    pub(in crate::log) after: usize,
    pub(in crate::log) kind: ErrorKind,
}

thread_local! {
    static WRITE: Cell<Option<Fault>> = const { Cell::new(None) };
    static SYNC: Cell<bool> = const { Cell::new(false) };
}

/// Whether this write is to fail.
pub(in crate::log) fn write() -> Option<Fault> {
    WRITE.take()
}

/// Whether this sync is to fail.
pub(in crate::log) fn sync() -> bool {
    SYNC.take()
}

pub(super) fn fail_write(after: usize, kind: ErrorKind) {
    WRITE.set(Some(Fault { after, kind }));
}

pub(super) fn fail_sync() {
    SYNC.set(true);
}

/// However much of it was written, in a new segment or behind others, by one write or by several
/// frames of one.
#[test]
fn what_failed_to_be_written_is_not_there_and_the_next_write_is() {
    for before in [0, 2] {
        for after in (0..400).step_by(7).chain([usize::MAX]) {
            let store = directory();
            let (mut writer, reader, _) = open_log(store.path(), &Known::default()).unwrap();
            for _ in 0..before {
                append(&mut writer, 1);
            }
            fail_write(after, ErrorKind::StorageFull);
            put_together(&mut writer, &[1, 2, 3], 20);
            assert!(writer.write().unwrap_err().is_full());
            assert_eq!(writer.next(), Sequence(before + 1), "its numbers were not given");
            // As a kill leaves it.
            let copy = directory();
            copy_log(store.path(), copy.path());
            let (_, _, found) = open_log(copy.path(), &answered(before)).unwrap();
            assert_eq!(numbers(&found), (1..=before).collect::<Vec<_>>(), "{after}");
            let address = append(&mut writer, 1);
            assert!(reader.frame(Sequence(before + 1), address).unwrap().is_whole());
            drop(writer);
            let (_, _, found) = open_log(store.path(), &answered(before + 1)).unwrap();
            assert_eq!(numbers(&found), (1..=before + 1).collect::<Vec<_>>());
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_written_and_what_was_refused_is_gone() {
    for before in [0, 2] {
        let store = directory();
        let (mut writer, ..) = open_log(store.path(), &Known::default()).unwrap();
        for _ in 0..before {
            append(&mut writer, 1);
        }
        fail_sync();
        put_together(&mut writer, &[1, 2], 20);
        writer.write().unwrap();
        assert!(writer.sync().is_err());
        put_together(&mut writer, &[1], 20);
        assert!(matches!(writer.write().unwrap_err(), SegmentError::Poisoned { .. }));
        assert!(matches!(writer.sync().unwrap_err(), SegmentError::Poisoned { .. }));
        drop(writer);
        let (mut writer, _, found) = open_log(store.path(), &answered(before)).unwrap();
        assert_eq!(numbers(&found), (1..=before).collect::<Vec<_>>());
        append(&mut writer, 1);
    }
}

#[test]
fn a_write_that_was_not_synced_is_written_again_when_the_log_is_opened() {
    let store = directory();
    let (mut writer, ..) = open_log(store.path(), &Known::default()).unwrap();
    append(&mut writer, 1);
    put_together(&mut writer, &[1, 2], 20);
    writer.write().unwrap();
    drop(writer);
    // Where that can't be done the log is not opened.
    fail_write(0, ErrorKind::Other);
    assert!(open_log(store.path(), &answered(1)).is_err());
    fail_sync();
    assert!(open_log(store.path(), &answered(1)).is_err());
    let (_, _, found) = open_log(store.path(), &answered(1)).unwrap();
    assert_eq!(numbers(&found), [1, 2, 3, 4]);
    // What was answered for is not written again.
    fail_sync();
    assert!(open_log(store.path(), &answered(4)).is_ok());
    assert!(sync(), "nothing was synced");
}

pub(super) fn copy_log(from: &std::path::Path, to: &std::path::Path) {
    let (from, to) = (from.join(DIRECTORY), to.join(DIRECTORY));
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
