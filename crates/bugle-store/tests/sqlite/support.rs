//! What the tests of the store on disk share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bugle_core::{
    EmitterId, Event, EventName, Reader, RequestId, Sequence, Settlement, Subscription,
};
use bugle_store::Store;
use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

pub(crate) fn event(name: &str, bytes: usize) -> Arc<Event> {
    Arc::new(Event::new(
        EventName::new(name).unwrap(),
        RequestId::random(),
        Bytes::from(vec![b'x'; bytes]),
        Timestamp::now(),
    ))
}

pub(crate) fn id(emitter: &str) -> EmitterId {
    EmitterId::new(emitter).unwrap()
}

pub(crate) async fn open(store: &Store, emitter: &str, names: &[&str]) -> Arc<dyn Reader> {
    let subscription = Subscription::new(names).unwrap();
    store.journal().reader(&id(emitter), &subscription).await.unwrap()
}

pub(crate) async fn append(store: &Store, name: &str) -> Sequence {
    store.journal().append(event(name, 100)).await.unwrap()
}

pub(crate) async fn fill(store: &Store, name: &str, count: usize) -> Vec<Sequence> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(append(store, name).await);
    }
    all
}

pub(crate) async fn read(reader: &Arc<dyn Reader>) -> Vec<Sequence> {
    let entries = reader.read(Sequence::START, 1_000_000).await.unwrap();
    entries.iter().map(|entry| entry.sequence).collect()
}

pub(crate) async fn deliver(reader: &Arc<dyn Reader>, sequence: Sequence) {
    reader.settle(sequence, Settlement::Delivered).await.unwrap();
}

pub(crate) fn database(directory: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join("bugle.db")).unwrap()
}

/// All files of a store, with those of its log, by their names in the directory. Those that the others
/// go ahead of are read first.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let list = |directory: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
    };
    let mut paths = list(directory);
    let noted =
        |path: &PathBuf| !["bugle.answered", "bugle.settled"].iter().any(|it| path.ends_with(it));
    paths.sort_by_key(|path| (noted(path), path.clone()));
    paths.extend(list(&directory.join("segments")));
    let mut found = BTreeMap::new();
    for path in paths {
        let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
        if !["bugle.db-shm", "bugle.lock"].contains(&name.as_str()) {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Writes files of a store into a directory.
pub(crate) fn write(files: &BTreeMap<String, Vec<u8>>, directory: &Path) {
    for (name, content) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// What a process that is killed now leaves behind.
pub(crate) fn killed(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    write(&files(directory), copy.path());
    copy
}

/// The last segment of a store's log.
pub(crate) fn last_segment(directory: &Path) -> PathBuf {
    let segments = std::fs::read_dir(directory.join("segments")).unwrap();
    segments.map(|file| file.unwrap().path()).max().unwrap()
}

/// How many bytes the segments of a store's log take.
pub(crate) fn segment_bytes(directory: &Path) -> u64 {
    let segments = std::fs::read_dir(directory.join("segments")).unwrap();
    segments.filter_map(|file| Some(file.unwrap().metadata().ok()?.len())).sum()
}
