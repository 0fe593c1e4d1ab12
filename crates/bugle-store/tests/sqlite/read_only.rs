//! A store is read beside the service that has it open, and without one.

use std::path::Path;

use bugle_core::{AttemptQuery, EventQuery, Sequence};
use bugle_store::{Store, StoreError};
use bugle_testkit::conformance::run;
use tempfile::TempDir;

use crate::support::{append, deliver, event, id, open};

/// The names and sizes of the files.
fn files(directory: &Path) -> Vec<(String, u64)> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), file.metadata().unwrap().len())
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

#[test]
fn a_store_is_read_whoever_has_it_open() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let first = append(&store, "a").await;
        let second = append(&store, "a").await;
        deliver(&one, first).await;
        let read = Store::open_read_only(directory.path()).unwrap();
        let rows = async || -> Vec<(Sequence, bool)> {
            let page = read.events().unwrap().page(&EventQuery::new(), None).await.unwrap();
            page.items.iter().map(|row| (row.sequence, row.is_delivered)).collect()
        };
        assert_eq!(rows().await, [(second, false), (first, true)]);
        let open_ones = EventQuery::new().is_delivered(false);
        assert_eq!(read.events().unwrap().page(&open_ones, None).await.unwrap().items.len(), 1);
        deliver(&one, second).await;
        let third = append(&store, "a").await;
        assert_eq!(rows().await, [(third, false), (second, true), (first, true)]);
        let attempts = read.attempts().page(&AttemptQuery::new(), None).await.unwrap();
        assert_eq!(attempts.items.len(), 0);
        let refused = read.journal().append(event("a", 1)).await.unwrap_err();
        assert!(refused.to_string().contains("for reading only"), "{refused}");
        let subscription = bugle_core::Subscription::new(["a"]).unwrap();
        let refused = read.journal().reader(&id("one"), &subscription).await.unwrap_err();
        assert!(refused.to_string().contains("for reading only"), "{refused}");
        // Nobody has it open any more; reading leaves nothing behind.
        drop((one, store));
        let before = files(directory.path());
        assert_eq!(rows().await, [(third, false), (second, true), (first, true)]);
        assert!(read.events().unwrap().mark_delivered(&event("a", 1).request_id).await.is_err());
        drop(read);
        assert_eq!(files(directory.path()), before);
    });
    let empty = TempDir::new().unwrap();
    let refused = Store::open_read_only(empty.path()).unwrap_err();
    assert!(matches!(refused, StoreError::NoStore { .. }), "{refused}");
    assert_eq!(files(empty.path()), []);
}
