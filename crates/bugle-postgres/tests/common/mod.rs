//! A database for each test, and a runtime whose events are collected.

#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use bugle::{Event, HandlerConfig, HandlerError, Runtime, Store};
use bugle_postgres::{Connection, Database};
use bugle_testkit::Postgres;
use serde_json::Value;
use tokio::sync::watch;

/// The deadline of all waits, on a machine that is busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A database of the shared server; `None`, said loudly, where there is no PostgreSQL.
pub(crate) async fn database() -> Option<(Database, Connection, String)> {
    let url = Postgres::shared()?.create_database().unwrap();
    let database = Database::new(&url).unwrap();
    let connection = database.connect().await.unwrap();
    Some((database, connection, url))
}

/// The events that a runtime delivered, in order.
#[derive(Clone)]
pub(crate) struct Collected {
    events: watch::Sender<Vec<Arc<Event>>>,
}

impl Collected {
    /// Attaches a handler that collects everything.
    pub(crate) async fn attach(runtime: &Runtime) -> Self {
        let events = watch::Sender::new(Vec::new());
        let collected = Self { events };
        let to = collected.clone();
        let handler = move |event: Arc<Event>| {
            to.events.send_modify(|events| events.push(event));
            async { Ok::<(), HandlerError>(()) }
        };
        runtime.attach_handler("all", [">"], handler, HandlerConfig::default()).await.unwrap();
        collected
    }

    /// Waits for so many events.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Arc<Event>> {
        let mut events = self.events.subscribe();
        let waited = tokio::time::timeout(DEADLINE, events.wait_for(|all| all.len() >= count));
        match waited.await {
            Ok(all) => all.unwrap().clone(),
            Err(_) => panic!("waited for {count} events, got {}", self.events.borrow().len()),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.events.borrow().len()
    }
}

pub(crate) async fn runtime() -> (Runtime, Collected) {
    let runtime = Runtime::builder().store(Store::memory()).start().await.unwrap();
    let collected = Collected::attach(&runtime).await;
    (runtime, collected)
}

pub(crate) fn json(event: &Event) -> Value {
    serde_json::from_slice(&event.payload).unwrap()
}

pub(crate) fn names(events: &[Arc<Event>]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// The first column of the first row.
pub(crate) async fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits for something within the deadline.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("within the deadline")
}
