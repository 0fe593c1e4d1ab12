//! Files that are damaged, half there, or not ours.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};

use bugle_core::{Entry, Sequence};
use bugle_store::{Store, StoreError};
use bugle_testkit::conformance::run;
use tempfile::TempDir;

use crate::support::{append, database, files, fill, last_segment, open, read, write};

#[test]
fn what_is_not_ours_or_newer_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    database(directory.path()).execute_batch("CREATE TABLE theirs (a)").unwrap();
    let file = directory.path().join("bugle.db");
    let before = std::fs::read(&file).unwrap();
    let refused = Store::open(directory.path()).unwrap_err();
    assert_eq!(refused, StoreError::Foreign { file: file.clone() });
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let directory = TempDir::new().unwrap();
    drop(Store::open(directory.path()).unwrap());
    database(directory.path()).pragma_update(None, "user_version", 99).unwrap();
    let refused = Store::open(directory.path()).unwrap_err();
    let file = directory.path().join("bugle.db");
    assert_eq!(refused, StoreError::Newer { file: file.clone(), found: 99, known: 6 });
    assert!(refused.to_string().contains("bugle.db has the format 99"), "{refused}");
    database(directory.path()).pragma_update(None, "user_version", 1).unwrap();
    let refused = Store::open(directory.path()).unwrap_err();
    assert_eq!(refused, StoreError::Older { file, found: 1, known: 6 });
    assert!(refused.to_string().contains("bugle.db has the format 1"), "{refused}");
}

/// A process that died while it made the directory left no store, or an empty one.
#[test]
fn a_directory_that_was_half_made_is_made_anew() {
    for left in [&[][..], &["bugle.lock"], &["bugle.lock", "bugle.db"]] {
        let directory = TempDir::new().unwrap();
        for file in left {
            std::fs::write(directory.path().join(file), "").unwrap();
        }
        run(async {
            let store = Store::open(directory.path().join(".")).unwrap();
            append(&store, "a").await;
        });
    }
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let refused = Store::open(directory.path().join("file/store")).unwrap_err();
    assert!(matches!(refused, StoreError::NotADirectory { .. }), "{refused}");
}

/// Damage is found, when the store is opened or when what is damaged is read; never is an event
/// passed over, or delivered as something else.
#[test]
fn damage_is_named() {
    run(async {
        let directory = TempDir::new().unwrap();
        let all;
        {
            let store = Store::open(directory.path()).unwrap();
            open(&store, "one", &["a"]).await;
            all = fill(&store, "a", 2_000).await;
        }
        assert!(!directory.path().join("bugle.db-wal").exists(), "at rest there is no log");
        let whole = files(directory.path());
        let (mut refused, mut poisoned) = (0, 0);
        for (name, step) in [("bugle.db", 8_192), ("segments/", 40_000)] {
            let (name, content) = whole.iter().find(|(it, _)| it.starts_with(name)).unwrap();
            let used = content.iter().rposition(|byte| *byte != 0).unwrap();
            for place in [0, 20, 100].into_iter().chain((5_000..used).step_by(step)) {
                let mut damaged = whole.clone();
                let content = damaged.get_mut(name).unwrap();
                let end = (place + 64).min(content.len());
                content[place..end].iter_mut().for_each(|byte| *byte ^= 0x55);
                let directory = TempDir::new().unwrap();
                write(&damaged, directory.path());
                let store = match Store::open(directory.path()) {
                    Ok(store) => store,
                    Err(error) => {
                        assert!(error.to_string().contains(name), "{error}");
                        refused += 1;
                        continue;
                    }
                };
                let one = open(&store, "one", &["a"]).await;
                let entries = one.read(Sequence::START, 1_000_000).await.unwrap();
                let sequences = entries.iter().map(|entry| entry.sequence);
                assert_eq!(sequences.collect::<Vec<_>>(), all);
                let (right, damaged): (Vec<Entry>, Vec<Entry>) =
                    entries.into_iter().partition(|entry| entry.damage.is_none());
                assert!(right.iter().all(|it| it.event.payload[..] == [b'x'; 100]));
                poisoned += usize::from(!damaged.is_empty());
            }
        }
        assert!(refused > 0 && poisoned > 0, "{refused} refused, {poisoned} poisoned");
    });
}

/// The log of a process that died, cut anywhere or with garbage at its end: what is left of it is a
/// part from the start, and the store goes on from there. What has a good record behind it was no
/// tail.
#[test]
fn a_torn_log_is_cut_at_the_last_whole_write() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        open(&store, "one", &["a"]).await;
        store.journal().flush().await.unwrap();
        let mut left = files(directory.path());
        left.remove("bugle.answered");
        let all = fill(&store, "a", 200).await;
        let (name, whole) = files(directory.path()).pop_last().unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let mut lengths = Vec::new();
        for round in 0..60 {
            let cut = if round == 0 { used } else { used * (round * 37 % 61) / 61 };
            let mut torn = whole[..cut].to_vec();
            if round % 3 == 1 {
                torn.extend([0xA5; 9_000]);
            } else if round % 3 == 2 && cut > 4_000 {
                torn[cut - 4_000] ^= 0xFF;
            }
            left.insert(name.clone(), torn);
            let directory = TempDir::new().unwrap();
            write(&left, directory.path());
            let store = match Store::open(directory.path()) {
                Err(error) if round % 3 == 2 => {
                    assert!(error.to_string().contains(&name), "{error}");
                    continue;
                }
                store => store.unwrap(),
            };
            let one = open(&store, "one", &["a"]).await;
            let left = read(&one).await;
            assert!(all.starts_with(&left), "{left:?}");
            lengths.push(left.len());
            let next = append(&store, "a").await;
            assert_eq!(read(&one).await, [left, vec![next]].concat());
        }
        assert_eq!(lengths[0], 200, "all of the log is all of the events");
        assert!(lengths.iter().any(|length| (1..200).contains(length)), "{lengths:?}");
    });
}

/// A damaged payload is never delivered as something else, and holds nothing up: its entry says that
/// it is damaged, at each emitter.
#[test]
fn a_changed_payload_is_one_damaged_entry() {
    run(async {
        let directory = TempDir::new().unwrap();
        let all;
        {
            let store = Store::open(directory.path()).unwrap();
            open(&store, "one", &["a"]).await;
            open(&store, "two", &["a"]).await;
            all = fill(&store, "a", 3).await;
        }
        let file = last_segment(directory.path());
        let mut content = Vec::new();
        let mut open_file = OpenOptions::new().read(true).write(true).open(&file).unwrap();
        open_file.read_to_end(&mut content).unwrap();
        let at = content.windows(50).position(|bytes| bytes == [b'x'; 50]).unwrap();
        open_file.seek(SeekFrom::Start(at as u64)).unwrap();
        open_file.write_all(b"y").unwrap();
        drop(open_file);
        let store = Store::open(directory.path()).unwrap();
        for emitter in ["one", "two"] {
            let reader = open(&store, emitter, &["a"]).await;
            assert_eq!(read(&reader).await, all);
            let entries = reader.read(Sequence::START, 10).await.unwrap();
            let damaged: Vec<&Entry> = entries.iter().filter(|it| it.damage.is_some()).collect();
            let [damaged] = damaged[..] else { panic!("{entries:?}") };
            let why = damaged.damage.as_deref().unwrap();
            assert!(why.contains("checksum") && why.contains("stored event"), "{why}");
            assert_eq!(damaged.event.payload[..], *b"null");
        }
    });
}
