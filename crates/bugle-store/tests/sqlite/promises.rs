//! What callers were told is safe is there when the store is opened again, or its absence is said.

use std::path::Path;
use std::time::{Duration, Instant};

use bugle_core::{AppendError, Batch, EmitterConfig, EmitterSpec, SourceId, SourcePosition};
use bugle_store::{Durability, SqliteOptions, Store, StoreError};
use bugle_testkit::conformance::run;
use tempfile::TempDir;

use crate::support::{
    append, deliver, event, files, fill, id, killed, last_segment, open, read, write,
};

fn refusal(directory: &Path) -> String {
    let refused = Store::open(directory).unwrap_err();
    let read_only = Store::open_read_only(directory).unwrap_err();
    assert_eq!(refused.to_string(), read_only.to_string());
    refused.to_string()
}

/// Each change of the log that takes an event away is refused, and changes nothing; or it is an entry
/// that says so.
#[test]
fn a_log_that_lost_events_is_refused() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        open(&store, "one", &["a"]).await;
        store.journal().flush().await.unwrap();
        let all = fill(&store, "a", 20).await;
        let left = killed(directory.path());
        drop(store);
        let segment = last_segment(left.path());
        let whole = std::fs::read(&segment).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let mut refused = 0;
        for at in (0..used).step_by(used / 80) {
            let flipped = {
                let mut flipped = whole.clone();
                flipped[at] ^= 4;
                flipped
            };
            for damaged in [flipped, whole[..at].to_vec()] {
                let copy = killed(left.path());
                let segment = last_segment(copy.path());
                std::fs::write(&segment, &damaged).unwrap();
                match Store::open(copy.path()) {
                    Ok(store) => assert_eq!(read(&open(&store, "one", &["a"]).await).await, all),
                    Err(error) => {
                        refused += 1;
                        let is_named =
                            matches!(error, StoreError::Lost { .. } | StoreError::Damaged { .. });
                        assert!(is_named, "{at}: {error}");
                        let said = error.to_string();
                        assert!(said.contains("segments"), "{said}");
                        let repair = format!("bugle repair --store {}`", copy.path().display());
                        assert!(said.contains(&repair), "{said}");
                        assert_eq!(refusal(copy.path()), said, "the second time too");
                        assert_eq!(std::fs::read(&segment).unwrap(), damaged, "{at}");
                    }
                }
            }
        }
        assert!(refused > 20, "{refused}");
        std::fs::remove_file(&segment).unwrap();
        let said = refusal(left.path());
        assert!(said.contains("events 1 to 20") || said.contains("the file is gone"), "{said}");
    });
}

/// What is no event is missed too: a spec, a position, a dead letter that was discarded.
#[test]
fn a_log_that_lost_something_else_is_refused() {
    run(async {
        for case in ["spec", "position", "place"] {
            let directory = TempDir::new().unwrap();
            let store = Store::open(directory.path()).unwrap();
            open(&store, "one", &["a"]).await;
            append(&store, "a").await;
            let before = killed(directory.path());
            match case {
                "spec" => {
                    let config = EmitterConfig::new("https://example.com").unwrap();
                    let names = bugle_core::Subscription::new(["a"]).unwrap();
                    let spec = EmitterSpec::new(id("one"), names, config);
                    store.specs().unwrap().put(spec).await.unwrap();
                }
                "position" => {
                    let source = SourceId::new("file").unwrap();
                    let position = SourcePosition::new(&source, "line 7").unwrap();
                    let batch = Batch::new(Vec::new()).position(Some(position));
                    store.journal().append_all(batch).await.unwrap();
                }
                _ => drop(open(&store, "two", &["a"]).await),
            }
            let left = killed(directory.path());
            if case == "position" {
                // The log as it was before, beside what was marked since.
                write(&files(before.path()), left.path());
                let mark = "bugle.answered";
                let marked = killed(directory.path());
                std::fs::copy(marked.path().join(mark), left.path().join(mark)).unwrap();
                assert!(refusal(left.path()).contains("events 2 to 2"), "{case}");
                continue;
            }
            let log = "bugle.db-wal";
            std::fs::copy(before.path().join(log), left.path().join(log)).unwrap();
            let said = refusal(left.path());
            assert!(said.contains("1 confirmed changes"), "{case}: {said}");
            assert!(said.contains("bugle.db-wal"), "{case}: {said}");
        }
    });
}

/// A power cut may take the mark back, and tear what was not answered.
#[test]
fn an_older_mark_and_a_torn_tail_open_in_silence() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        open(&store, "one", &["a"]).await;
        let mut all = fill(&store, "a", 5).await;
        let before = killed(directory.path());
        all.extend(fill(&store, "a", 5).await);
        let left = killed(directory.path());
        let mark = "bugle.answered";
        std::fs::copy(before.path().join(mark), left.path().join(mark)).unwrap();
        let log = left.path().join("bugle.db-wal");
        let mut torn = std::fs::read(&log).unwrap();
        torn.extend([0xA5; 9_000]);
        std::fs::write(&log, torn).unwrap();
        let segment = last_segment(left.path());
        let mut torn = std::fs::read(&segment).unwrap();
        let used = torn.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        torn[used..used + 9_000].fill(0xA5);
        std::fs::write(&segment, torn).unwrap();
        let again = Store::open(left.path()).unwrap();
        assert_eq!(read(&open(&again, "one", &["a"]).await).await, all);
        // Without a mark nothing is known to be missing.
        let left = killed(directory.path());
        std::fs::remove_file(left.path().join(mark)).unwrap();
        assert_eq!(read(&open(&Store::open(left.path()).unwrap(), "one", &["a"]).await).await, all);
    });
}

/// Deleted and taken-back events are no loss, also the newest.
#[test]
fn what_was_deleted_on_purpose_is_not_missed() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let mut ids = Vec::new();
        for _ in 0..6 {
            let event = event("a", 100);
            ids.push(event.request_id.clone());
            store.journal().append(event).await.unwrap();
        }
        for deleted in [1, 3, 5] {
            assert!(store.events().unwrap().delete(&ids[deleted]).await.unwrap());
        }
        let left = killed(directory.path());
        drop((one, store));
        for directory in [&left, &directory] {
            let store = Store::open(directory.path()).unwrap();
            let one = open(&store, "one", &["a"]).await;
            assert_eq!(read(&one).await.iter().map(|at| at.0).collect::<Vec<_>>(), [1, 3, 5]);
            assert_eq!(append(&store, "a").await.0, 7, "no number is given twice");
        }
    });
}

#[test]
fn a_database_that_is_gone_is_not_a_new_one() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        open(&store, "one", &["a"]).await;
        append(&store, "a").await;
        let left = killed(directory.path());
        drop(store);
        let other = TempDir::new().unwrap();
        drop(Store::open(other.path()).unwrap());
        for directory in [&left, &directory] {
            let database = directory.path().join("bugle.db");
            std::fs::remove_file(&database).unwrap();
            assert!(refusal(directory.path()).contains("bugle.db is damaged (it is missing"));
            std::fs::write(&database, "").unwrap();
            assert!(refusal(directory.path()).contains("bugle.db is damaged (it is missing"));
            let _ = std::fs::remove_file(directory.path().join("bugle.db-wal"));
            std::fs::copy(other.path().join("bugle.db"), &database).unwrap();
            assert!(refusal(directory.path()).contains("not the one that the files beside it"));
        }
    });
}

/// The directory is locked itself, whatever becomes of the file in it.
#[cfg(unix)]
#[test]
fn without_the_locks_file_nobody_else_gets_in() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        std::fs::remove_file(directory.path().join("bugle.lock")).unwrap();
        let refused = Store::open(directory.path()).unwrap_err();
        assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
        append(&store, "a").await;
        drop(store);
        Store::open(directory.path()).unwrap();
    });
}

/// Deleted, renamed or replaced under a running service: nothing more is accepted, and what is
/// known is still delivered.
#[cfg(unix)]
#[test]
fn files_that_go_are_noticed() {
    run(async {
        for (name, busy) in [
            ("", true),
            ("", false),
            ("segments", true),
            ("bugle.db", true),
            ("bugle.db-wal", false),
        ] {
            let parent = TempDir::new().unwrap();
            let directory = parent.path().join("store");
            let store = Store::open(&directory).unwrap();
            let one = open(&store, "one", &["a"]).await;
            let first = append(&store, "a").await;
            assert_eq!(store.trouble(), None);
            let gone = directory.join(name);
            if name.is_empty() {
                std::fs::remove_dir_all(&gone).unwrap();
            } else {
                std::fs::rename(&gone, parent.path().join("away")).unwrap();
                std::fs::write(&gone, "").unwrap();
            }
            let began = Instant::now();
            let refused = loop {
                if !busy {
                    std::thread::sleep(Duration::from_millis(700));
                }
                match store.journal().append(event("a", 100)).await {
                    Ok(_) => assert!(began.elapsed() < Duration::from_secs(60), "{name}"),
                    Err(AppendError::Store(error)) => break error.message,
                    Err(other) => panic!("{other}"),
                }
            };
            assert!(refused.contains("was deleted or replaced"), "{refused}");
            let said = store.journal().flush().await.unwrap_err();
            assert_eq!(said.message, refused);
            assert_eq!(store.trouble(), Some(said));
            assert_eq!(read(&one).await[0], first);
            deliver(&one, first).await;
        }
    });
}

/// Without a sync a power cut may take events, and then the mark is ahead: of another run of the
/// system. Their numbers are not given again.
#[cfg(target_os = "linux")]
#[test]
fn unsynced_events_may_be_missing_after_a_power_cut_only() {
    run(async {
        let options = SqliteOptions::new().durability(Durability::Os);
        let directory = TempDir::new().unwrap();
        let store = Store::open_with(directory.path(), options.clone()).unwrap();
        open(&store, "one", &["a"]).await;
        let kept = fill(&store, "a", 3).await;
        let before = killed(directory.path());
        fill(&store, "a", 3).await;
        let left = killed(directory.path());
        let segments = |files: &mut std::collections::BTreeMap<String, Vec<u8>>| {
            files.retain(|name, _| name.starts_with("segments"));
        };
        let mut older = files(before.path());
        segments(&mut older);
        write(&older, left.path());
        let said = refusal(left.path());
        assert!(said.contains("segments"), "{said}");
        let mark = left.path().join("bugle.answered");
        let mut marks = std::fs::read(&mark).unwrap();
        for slot in marks.chunks_mut(4096) {
            // The run, and the checksum behind it.
            let run = u64::from_le_bytes(slot[40..48].try_into().unwrap());
            slot[40..48].copy_from_slice(&(run ^ 1).to_le_bytes());
            let checksum = crc32fast::hash(&slot[..48]);
            slot[48..52].copy_from_slice(&checksum.to_le_bytes());
        }
        std::fs::write(&mark, marks).unwrap();
        let store = Store::open_with(left.path(), options).unwrap();
        let one = open(&store, "one", &["a"]).await;
        assert_eq!(read(&one).await, kept);
        assert_eq!(append(&store, "a").await.0, 7);
    });
}

/// What keeps a store from being opened is said in words that say what to do.
#[test]
fn what_is_no_store_is_named() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "text").unwrap();
    for refused in [Store::open(&file).unwrap_err(), Store::open_read_only(&file).unwrap_err()] {
        assert_eq!(refused, StoreError::NotADirectory { path: file.clone() });
    }
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let refused = Store::open_read_only(&empty).unwrap_err();
    assert_eq!(refused, StoreError::NoStore { path: empty });
    let missing = directory.path().join("missing");
    let refused = Store::open_read_only(&missing).unwrap_err();
    assert_eq!(refused, StoreError::NoStore { path: missing });
    let text = directory.path().join("text");
    std::fs::create_dir(&text).unwrap();
    std::fs::write(text.join("bugle.db"), "no database, but a text").unwrap();
    for refused in [Store::open(&text).unwrap_err(), Store::open_read_only(&text).unwrap_err()] {
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    }
    for refused in [Store::open(&file), Store::open_read_only(&text)] {
        let said = refused.unwrap_err().to_string();
        assert!(!said.contains("os error") && !said.contains("Error code"), "{said}");
    }
}
