//! No space, and space that is given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{AppendError, Reader, Sequence, Settlement};
use bugle_store::{Durability, SqliteOptions, Store};
use bugle_testkit::conformance::run;
use tempfile::TempDir;

use crate::support::{append, event, open, read, segment_bytes};

/// No space: the error is clear, what was accepted stays and is delivered, and when something was
/// deleted there is space again.
#[test]
fn a_full_disk_refuses_and_recovers() {
    for durability in [Durability::Fsync, Durability::Os] {
        run(async move {
            let directory = TempDir::new().unwrap();
            let options = SqliteOptions::new()
                .durability(durability)
                .max_file_bytes(4 << 20)
                .settled_events(0);
            let store = Store::open_with(directory.path(), options.clone()).unwrap();
            let mut one = open(&store, "one", &["a"]).await;
            let mut all = Vec::new();
            let error = loop {
                match store.journal().append(event("a", 30)).await {
                    Ok(sequence) => all.push(sequence),
                    Err(error) => break error,
                }
            };
            let AppendError::Store(error) = error else { panic!("{error}") };
            assert!(error.message.contains("no space is left for"), "{error}");
            assert!(error.message.contains("segments"), "{error}");
            assert!(all.len() > 4_096, "{} fit", all.len());
            assert_eq!(read(&one).await, all);
            drop(one);
            drop(store);
            let store = Store::open_with(directory.path(), options).unwrap();
            one = open(&store, "one", &["a"]).await;
            assert_eq!(read(&one).await, all, "what was accepted stays");
            let settling: Vec<_> =
                all.iter().map(|it| one.settle(*it, Settlement::Delivered)).collect();
            for settling in settling {
                settling.await.unwrap();
            }
            let deadline = Instant::now() + Duration::from_secs(30);
            let next = loop {
                match store.journal().append(event("a", 30)).await {
                    Ok(sequence) => break sequence,
                    Err(_) => assert!(Instant::now() < deadline, "space comes back"),
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(read(&one).await, [next]);
        });
    }
}

/// What nobody waits for any more goes, segment by segment, also around one event that is stuck.
#[test]
fn settled_events_are_deleted() {
    run(async {
        let directory = TempDir::new().unwrap();
        let options = SqliteOptions::new().settled_events(0).segment_bytes(1 << 20);
        let store = Store::open_with(directory.path(), options).unwrap();
        let stuck = open(&store, "stuck", &["once"]).await;
        let one = open(&store, "one", &["a"]).await;
        let first = append(&store, "once").await;
        let journal = store.journal();
        let deadline = Instant::now() + Duration::from_secs(40);
        let mut appended = 0;
        while appended < 20_000 {
            let appends: Vec<_> = (0..200).map(|_| journal.append(event("a", 10))).collect();
            for sequence in futures_join(appends).await {
                deliver_soon(&one, sequence.unwrap());
                appended += 1;
            }
        }
        while segment_bytes(directory.path()) > 3 << 20 {
            assert!(Instant::now() < deadline, "{} are left", segment_bytes(directory.path()));
            journal.flush().await.unwrap();
        }
        assert_eq!(read(&stuck).await, [first]);
        drop((stuck, one, journal, store));
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(read(&open(&store, "stuck", &["once"]).await).await, [first]);
    });
}

fn deliver_soon(reader: &Arc<dyn Reader>, sequence: Sequence) {
    // It is handed over when it is called; nobody waits for it here.
    drop(reader.settle(sequence, Settlement::Delivered));
}

/// Awaits them all; they are all polled before the first is done.
async fn futures_join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
