//! The relay follows audited tables, as Keel's own scenarios have them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use bugle_postgres::audit::set_context;
use bugle_postgres::{AuditTable, Relay, RelayPhase};
use common::{count, database, json, names, runtime, within};
use serde_json::json;

const SHOP: &str = "
    create table wedding (id text primary key, venue_name text);
    create table wedding_invitee (
      id text primary key, wedding_id text, first_name text, is_coming boolean);";

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn nested_creates_an_update_and_a_delete_are_events_with_previous_data() {
    let Some((database, mut connection, _)) = database().await else { return };
    connection.batch_execute(SHOP).await.unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["wedding", "wedding_invitee"]).await.unwrap();
    let mut transaction = connection.transaction().await.unwrap();
    set_context(&mut transaction, Some("user-1"), Some(TRACE)).await.unwrap();
    transaction
        .batch_execute(
            "insert into wedding values ('w', 'Mill');
             insert into wedding_invitee values
               ('a', 'w', 'Ada', null), ('b', 'w', 'Grace', true);",
        )
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    connection
        .batch_execute(
            "update wedding_invitee set is_coming = true where id = 'a';
             delete from wedding_invitee where id = 'a';",
        )
        .await
        .unwrap();

    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let events = collected.wait_for(5).await;
    assert_eq!(
        names(&events),
        [
            "wedding.created",
            "wedding_invitee.created",
            "wedding_invitee.created",
            "wedding_invitee.updated",
            "wedding_invitee.deleted"
        ]
    );
    let (created, updated, deleted) = (json(&events[1]), json(&events[3]), json(&events[4]));
    let ada = json!({"id": "a", "weddingId": "w", "firstName": "Ada", "isComing": null});
    let coming = json!({"id": "a", "weddingId": "w", "firstName": "Ada", "isComing": true});
    assert_eq!(created["eventName"], "wedding_invitee.created");
    assert_eq!(created["identityId"], "user-1");
    assert_eq!(created["target"], json!({"id": "a", "type": "WeddingInvitee", "data": ada}));
    assert_eq!(
        updated["target"],
        json!({"id": "a", "type": "WeddingInvitee", "data": coming, "previousData": ada})
    );
    assert_eq!(
        deleted["target"],
        json!({"id": "a", "type": "WeddingInvitee", "data": coming, "previousData": coming})
    );
    assert!(updated.get("identityId").is_none(), "nobody did it: {updated}");
    let occurred: jiff::Timestamp = created["occurredAt"].as_str().unwrap().parse().unwrap();
    assert!(created["occurredAt"].as_str().unwrap().ends_with('Z'), "{occurred}");
    let trace = events[1].trace.as_ref().unwrap();
    assert!(trace.traceparent.starts_with(&format!("00-{TRACE}-")), "{trace:?}");
    assert!(events[3].trace.is_none());
    assert_eq!(events[1].key.as_ref().unwrap().as_str(), "wedding_invitee/a");

    let status = within(relay.wait_until(|status| status.marked == 5)).await;
    assert_eq!((status.phase, status.relayed), (RelayPhase::Leading, 5));
    let null = "select count(*) from bugle_audit where event_processed_at is null";
    assert_eq!(count(&connection, null).await, 0);
    let ids = "select count(*) from bugle_audit where id = $1";
    for event in &events {
        let id = event.request_id.as_str();
        let row = connection.query_one(ids, &[&id]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 1, "the request id is the row's");
    }
    relay.shutdown(Duration::from_secs(5)).await;
    runtime.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_running_relay_is_notified_and_a_transaction_that_commits_late_is_not_skipped() {
    let Some((database, connection, _)) = database().await else { return };
    let mut late = database.connect().await.unwrap();
    connection.batch_execute(SHOP).await.unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["wedding", "wedding_invitee"]).await.unwrap();
    let (runtime, collected) = runtime().await;
    // It would not look again before the deadline.
    let interval = Duration::from_secs(600);
    let relay = Relay::builder(database, audit).poll_interval(interval).start(&runtime);
    within(relay.wait_until(|status| status.drained > 0)).await;

    let transaction = late.transaction().await.unwrap();
    transaction.batch_execute("insert into wedding values ('late', 'Barn')").await.unwrap();
    for venue in 0..50 {
        let insert = format!("insert into wedding values ('{venue}', 'Mill')");
        connection.batch_execute(&insert).await.unwrap();
    }
    collected.wait_for(50).await;
    transaction.commit().await.unwrap();
    connection
        .batch_execute("update wedding set venue_name = 'Hall' where id = 'late'")
        .await
        .unwrap();
    let events = collected.wait_for(52).await;
    let last: Vec<_> = events[50..].iter().map(|event| json(event)["target"].clone()).collect();
    assert_eq!(names(&events[50..]), ["wedding.created", "wedding.updated"]);
    assert_eq!(last[1]["previousData"]["venueName"], "Barn");
    assert_eq!(last[1]["id"], "late");
    within(relay.wait_until(|status| status.marked == 52)).await;
    relay.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn rows_that_are_no_changes_are_set_aside_and_hold_up_nothing() {
    let Some((database, connection, _)) = database().await else { return };
    connection.batch_execute(SHOP).await.unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["wedding"]).await.unwrap();
    connection
        .batch_execute(
            r#"insert into bugle_audit (id, table_name, op, data) values
                 ('1', 'wedding', 'truncate', '{"id": "x"}'),
                 ('2', 'wedding', 'insert', '[1]'),
                 ('3', 'not a name', 'insert', '{"id": "x"}'),
                 ('a.b c', 'wedding', 'insert', '{"id": 7}');"#,
        )
        .await
        .unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let status =
        within(relay.wait_until(|status| status.set_aside == 3 && status.marked == 1)).await;
    assert_eq!(collected.count(), 1);
    assert!(status.last_set_aside.is_some());
    connection.batch_execute("insert into wedding values ('w', 'Mill')").await.unwrap();
    let events = collected.wait_for(2).await;
    assert_eq!(json(&events[0])["target"]["id"], "7");
    assert!(events[0].request_id.as_str().starts_with("audit-"), "{:?}", events[0].request_id);
    let null = "select count(*) from bugle_audit where event_processed_at is null";
    within(relay.wait_until(|status| status.marked == 2)).await;
    assert_eq!(count(&connection, null).await, 3, "they stay as they are, for who puts them right");
}

#[tokio::test]
async fn an_audit_table_as_keel_has_it_is_read_as_it_is() {
    let Some((database, connection, _)) = database().await else { return };
    connection
        .batch_execute(
            r#"create table keel_audit (
                 id text primary key, table_name text not null, op text not null,
                 data jsonb not null, identity_id text, trace_id text,
                 created_at timestamptz not null default now(), event_processed_at timestamptz);
               begin;
               insert into keel_audit values
                 ('z', 'member', 'insert', '{"id": "m", "first_name": "A"}');
               insert into keel_audit values
                 ('y', 'member', 'update', '{"id": "m", "first_name": "B"}');
               insert into keel_audit values
                 ('x', 'member', 'update', '{"id": "m", "first_name": "C"}');
               commit;
               insert into keel_audit values
                 ('w', 'member', 'delete', '{"id": "m", "first_name": "C"}');"#,
        )
        .await
        .unwrap();
    let (runtime, collected) = runtime().await;
    let audit = AuditTable::new("keel_audit").unwrap();
    let interval = Duration::from_millis(20);
    let relay = Relay::builder(database, audit).poll_interval(interval).batch(2).start(&runtime);
    let events = collected.wait_for(4).await;
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            let (id, target) = (event.request_id.as_str(), json(event)["target"].clone());
            (id.to_owned(), target["previousData"]["firstName"].as_str().map(str::to_owned))
        })
        .collect();
    let expected = [("z", None), ("y", Some("A")), ("x", Some("B")), ("w", Some("C"))];
    let expected: Vec<_> =
        expected.iter().map(|(id, name)| ((*id).to_owned(), name.map(str::to_owned))).collect();
    assert_eq!(seen, expected);
    connection
        .batch_execute(r#"insert into keel_audit values ('v', 'member', 'insert', '{"id": "n"}')"#)
        .await
        .unwrap();
    collected.wait_for(5).await;
    within(relay.wait_until(|status| status.marked == 5)).await;
    relay.shutdown(Duration::from_secs(5)).await;
}
