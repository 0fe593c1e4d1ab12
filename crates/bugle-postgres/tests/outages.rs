//! Outages around a relay: the database dies, nodes come and go, it crashes, it is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bugle::{Event, RestartBudget, Runtime, Store};
use bugle_postgres::{AuditTable, Connection, Database, Outbox, Relay, RelayPhase};
use bugle_testkit::Postgres;
use common::{Collected, count, database, json, runtime, within};

const UNMARKED: &str = "select count(*) from bugle_audit where event_processed_at is null";

async fn audited(connection: &Connection) -> AuditTable {
    connection.batch_execute("create table member (id int primary key, visits int)").await.unwrap();
    let audit = AuditTable::default();
    audit.install(connection, ["member"]).await.unwrap();
    audit
}

fn ids(events: &[Arc<Event>]) -> BTreeSet<String> {
    events.iter().map(|event| event.request_id.to_string()).collect()
}

/// Each record's visits, which only grow.
fn assert_in_order(events: &[Arc<Event>]) {
    let mut seen: BTreeMap<String, i64> = BTreeMap::new();
    for event in events {
        let target = json(event)["target"].clone();
        let visits = target["data"]["visits"].as_i64().unwrap();
        let before = seen.insert(target["id"].as_str().unwrap().to_owned(), visits);
        assert!(before.is_none_or(|before| before < visits), "{before:?} {visits}");
    }
}

#[tokio::test]
async fn a_database_that_dies_under_a_relay_loses_nothing_and_repeats_nothing() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let database = Database::new(&server.create_database().unwrap()).unwrap();
    let connection = database.connect().await.unwrap();
    let audit = audited(&connection).await;
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database.clone(), audit).batch(50).start(&runtime);
    let insert = "insert into member select n, 0 from generate_series(1, 2000) n";
    connection.batch_execute(insert).await.unwrap();
    collected.wait_for(200).await;
    server.stop_immediately().unwrap();
    let down = within(relay.wait_until(|status| status.phase == RelayPhase::BackingOff)).await;
    assert!(down.last_error.is_some(), "{down:?}");
    server.restart().unwrap();
    collected.wait_for(2000).await;

    let connection = within(reconnect(&database)).await;
    connection.batch_execute("update member set visits = visits + 1").await.unwrap();
    collected.wait_for(2500).await;
    server.kill().unwrap();
    within(relay.wait_until(|status| status.phase == RelayPhase::BackingOff)).await;
    server.restart().unwrap();
    let events = collected.wait_for(4000).await;
    within(relay.wait_until(|status| status.marked == 4000)).await;
    assert_eq!(collected.count(), 4000, "nothing came twice");
    assert_eq!(ids(&events).len(), 4000);
    assert_in_order(&events);
    let connection = within(reconnect(&database)).await;
    assert_eq!(count(&connection, UNMARKED).await, 0);
    relay.shutdown(Duration::from_secs(5)).await;
}

async fn reconnect(database: &Database) -> Connection {
    loop {
        match database.connect().await {
            Ok(connection) => return connection,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[tokio::test]
async fn of_two_relays_one_leads_and_the_other_takes_over() {
    let Some((database, connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let (runtime, collected) = runtime().await;
    let relay = || {
        let interval = Duration::from_millis(50);
        Relay::builder(database.clone(), audit.clone()).poll_interval(interval).start(&runtime)
    };
    let first = relay();
    within(first.wait_until(|status| status.phase == RelayPhase::Leading)).await;
    let second = relay();
    within(second.wait_until(|status| status.phase == RelayPhase::Standby)).await;
    for _ in 0..10 {
        connection
            .batch_execute(
                "insert into member select n, 0 from generate_series(1, 100) n
                 on conflict (id) do update set visits = member.visits + 1",
            )
            .await
            .unwrap();
    }
    collected.wait_for(1000).await;
    first.shutdown(Duration::from_secs(10)).await;
    within(second.wait_until(|status| status.phase == RelayPhase::Leading)).await;
    connection.batch_execute("update member set visits = 100").await.unwrap();
    let events = collected.wait_for(1100).await;
    within(second.wait_until(|status| status.marked >= 100)).await;
    assert_eq!((collected.count(), ids(&events).len()), (1100, 1100));
    assert_in_order(&events);
    second.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_crash_starts_it_again_and_too_many_keep_it_down() {
    let Some((database, connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let (runtime, collected) = runtime().await;
    let budget = RestartBudget::new(1, Duration::from_secs(600));
    let relay = Relay::builder(database, audit).restart_budget(budget).start(&runtime);
    within(relay.wait_until(|status| status.drained > 0)).await;
    relay.inject_crash("on purpose");
    within(relay.wait_until(|status| status.crashes == 1)).await;
    connection.batch_execute("insert into member values (1, 0)").await.unwrap();
    collected.wait_for(1).await;
    relay.inject_crash("once more");
    let failed = within(relay.wait_until(|status| status.phase == RelayPhase::Failed)).await;
    assert_eq!(failed.last_error.as_deref(), Some("crashed: once more"));
}

#[tokio::test]
async fn it_ends_with_its_runtime() {
    let Some((database, connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let (runtime, _collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    within(relay.wait_until(|status| status.drained > 0)).await;
    runtime.shutdown(Duration::from_secs(5)).await;
    within(relay.wait_until(|status| status.phase == RelayPhase::Stopped)).await;
}

#[tokio::test]
async fn a_bulk_update_of_100_000_rows_is_as_many_events() {
    let Some((database, connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let insert = "insert into member select n, 0 from generate_series(1, 100000) n";
    connection.batch_execute(insert).await.unwrap();
    let mark = "update bugle_audit set event_processed_at = now()";
    connection.batch_execute(mark).await.unwrap();
    connection.batch_execute("update member set visits = visits + 1").await.unwrap();
    let runtime = Runtime::builder().start().await.unwrap();
    let collected = Collected::attach(&runtime).await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let events = collected.wait_for(100_000).await;
    within(relay.wait_until(|status| status.marked == 100_000)).await;
    assert_eq!(ids(&events).len(), 100_000);
    let of = |event: &Arc<Event>| json(event)["target"]["previousData"]["visits"].clone();
    assert!(events.iter().all(|event| of(event) == 0));
    assert_eq!(count(&connection, UNMARKED).await, 0);
}

#[tokio::test]
async fn what_a_process_had_in_its_journal_is_marked_by_the_next_one_and_not_sent_again() {
    let Some((database, connection, _)) = database().await else { return };
    let outbox = Outbox::default();
    outbox.install(&connection).await.unwrap();
    let insert =
        "insert into bugle_outbox (name, payload) select 'a', '{}' from generate_series(1, 10)";
    connection.batch_execute(insert).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = || Store::open(directory.path()).unwrap();
    // The rows can be read, and not marked, for as long as this holds its locks.
    let mut locking = database.connect().await.unwrap();
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("select from bugle_outbox for update").await.unwrap();
    {
        let runtime = Runtime::builder().store(store()).start().await.unwrap();
        let relay = Relay::builder(database.clone(), outbox.clone()).start(&runtime);
        within(relay.wait_until(|status| status.relayed == 10)).await;
        assert_eq!(relay.status().marked, 0);
        relay.shutdown(Duration::ZERO).await;
        runtime.shutdown(Duration::ZERO).await;
    }
    lock.rollback().await.unwrap();
    let rest = "insert into bugle_outbox (name, payload) values ('b', '{}')";
    connection.batch_execute(rest).await.unwrap();
    let runtime = Runtime::builder().store(store()).start().await.unwrap();
    let collected = Collected::attach(&runtime).await;
    let relay = Relay::builder(database, outbox).start(&runtime);
    within(relay.wait_until(|status| status.marked == 1)).await;
    let events = collected.wait_for(1).await;
    assert_eq!(events[0].name.as_str(), "b");
    assert_eq!(count(&connection, "select count(*) from bugle_outbox").await, 0);
    assert_eq!((relay.status().relayed, collected.count()), (1, 1));
    relay.shutdown(Duration::from_secs(5)).await;
}
