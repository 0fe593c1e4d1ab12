//! What the tests of the store on disk share.

use std::path::Path;
use std::sync::Arc;

use bugle_core::{
    EmitterId, Event, EventName, Reader, RequestId, Sequence, Settlement, Subscription,
};
use bugle_store::Store;
use bytes::Bytes;
use jiff::Timestamp;

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
