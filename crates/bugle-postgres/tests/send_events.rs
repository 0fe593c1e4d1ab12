//! The change events of one request, as Keel's own scenarios have them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, Mutex};

use bugle::events::{ChangeEvent, Changes};
use bugle::{HandlerConfig, Order, RetryPolicy, Runtime};
use bugle_postgres::audit::{SendError, set_context};
use bugle_postgres::{AuditTable, Connection, Database, Relay};
use common::{Collected, count, database, names, runtime, within};
use serde_json::{Value, json};

const TRACE: &str = "71f835dc7ac2750bed2135c7b30dc7fe";
const OTHER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

const NULL: &str = "select count(*) from bugle_audit where event_processed_at is null";

/// The events that the handler got: name, data, and subscriber.
type Got = Arc<Mutex<Vec<(String, Value, String)>>>;

/// Audited weddings and their invitees, and a handler that keeps what it gets, and refuses events
/// for the subscriber `broken`.
struct Service {
    connection: Connection,
    database: Database,
    runtime: Runtime,
    changes: Changes,
    audit: AuditTable,
    got: Got,
}

impl Service {
    async fn start() -> Option<Self> {
        let (database, connection, _) = database().await?;
        connection
            .batch_execute(
                "create table wedding (id text primary key, venue_name text);
                 create table wedding_invitee (
                   id text primary key, wedding_id text, first_name text);",
            )
            .await
            .unwrap();
        let audit = AuditTable::default();
        audit.install(&connection, ["wedding", "wedding_invitee"]).await.unwrap();
        let runtime = Runtime::builder().start().await.unwrap();
        let changes = Changes::new(&runtime);
        let got = Got::default();
        let keep = Arc::clone(&got);
        changes.set_event_handler(
            move |subscriber: Arc<str>, event: Arc<ChangeEvent>, traceparent: String| {
                let event = serde_json::to_value(&*event).unwrap();
                keep.lock().unwrap().push((subscriber.to_string(), event, traceparent));
                async move {
                    match &*subscriber {
                        "broken" => Err("it is broken"),
                        _ => Ok(()),
                    }
                }
            },
        );
        Some(Self { connection, database, runtime, changes, audit, got })
    }

    async fn subscribe(&self, subscriber: &str, events: &[&str]) {
        let once = RetryPolicy::default().max_attempts(1);
        let config = HandlerConfig::default().retry(once);
        self.changes.subscribe(subscriber, events, config).await.unwrap();
    }

    /// An action of a request: its statements in one transaction, and then its events.
    async fn action(&mut self, identity: Option<&str>, trace: &str, sql: &str) -> usize {
        self.write(identity, trace, sql).await;
        let sent = self.audit.send_events(&self.connection, &self.changes, trace).await;
        let sent = sent.unwrap();
        within(sent.settled()).await.unwrap();
        sent.receipts().len()
    }

    async fn write(&mut self, identity: Option<&str>, trace: &str, sql: &str) {
        let mut transaction = self.connection.transaction().await.unwrap();
        set_context(&mut transaction, identity, Some(trace)).await.unwrap();
        transaction.batch_execute(sql).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// The events that were handled since the last time, each without its time.
    fn events(&self) -> Vec<Value> {
        let events = std::mem::take(&mut *self.got.lock().unwrap());
        let timeless = |(_, mut event, _): (String, Value, String)| {
            let occurred_at = event.as_object_mut().unwrap().remove("occurredAt").unwrap();
            occurred_at.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            event
        };
        events.into_iter().map(timeless).collect()
    }
}

#[tokio::test]
async fn nested_creates_send_the_parents_event_first() {
    let Some(mut service) = Service::start().await else { return };
    service.subscribe("mail", &["wedding.created", "wedding_invitee.created"]).await;
    let sql = "insert into wedding values ('w', 'Mill');
               insert into wedding_invitee values ('a', 'w', 'Ada'), ('b', 'w', 'Grace');";
    assert_eq!(service.action(Some("user-1"), TRACE, sql).await, 3);

    for (subscriber, _, traceparent) in &*service.got.lock().unwrap() {
        assert_eq!(subscriber, "mail");
        assert!(traceparent.starts_with(&format!("00-{TRACE}-")), "{traceparent}");
    }
    let invitee = |id: &str, name: &str| {
        json!({"eventName": "wedding_invitee.created", "identityId": "user-1", "target": {
            "id": id, "type": "WeddingInvitee",
            "data": {"id": id, "weddingId": "w", "firstName": name}}})
    };
    assert_eq!(
        service.events(),
        [
            json!({"eventName": "wedding.created", "identityId": "user-1", "target": {
                "id": "w", "type": "Wedding", "data": {"id": "w", "venueName": "Mill"}}}),
            invitee("a", "Ada"),
            invitee("b", "Grace"),
        ]
    );
    assert_eq!(count(&service.connection, NULL).await, 0);
    // Events that were sent are not sent again.
    let again = service.audit.send_events(&service.connection, &service.changes, TRACE).await;
    assert!(again.unwrap().receipts().is_empty());
}

#[tokio::test]
async fn an_update_and_a_delete_have_the_data_from_before() {
    let Some(mut service) = Service::start().await else { return };
    service.subscribe("mail", &["wedding.*"]).await;
    service.action(None, TRACE, "insert into wedding values ('w', 'Mill')").await;
    service.events();
    let mill = json!({"id": "w", "venueName": "Mill"});
    let barn = json!({"id": "w", "venueName": "Barn"});
    let event = |name: &str, data: &Value, previous: &Value| {
        json!({"eventName": name, "target": {
            "id": "w", "type": "Wedding", "data": data, "previousData": previous}})
    };

    let update = "update wedding set venue_name = 'Barn' where id = 'w'";
    service.action(None, OTHER, update).await;
    // Nobody did it: there is no identity.
    assert_eq!(service.events(), [event("wedding.updated", &barn, &mill)]);

    service.action(None, OTHER, "delete from wedding").await;
    assert_eq!(service.events(), [event("wedding.deleted", &barn, &barn)]);

    let all = "insert into wedding values ('w', 'Mill'); update wedding set venue_name = 'Barn';
               delete from wedding;";
    service.action(None, TRACE, all).await;
    assert_eq!(
        service.events()[1..],
        [event("wedding.updated", &barn, &mill), event("wedding.deleted", &barn, &barn)]
    );
}

#[tokio::test]
async fn rows_of_other_traces_and_rows_that_nobody_wants_stay_as_they_are() {
    let Some(mut service) = Service::start().await else { return };
    service.subscribe("mail", &["wedding.created"]).await;
    service.write(None, OTHER, "insert into wedding values ('other', 'Mill')").await;
    let sql = "insert into wedding values ('w', 'Mill');
               insert into wedding_invitee values ('a', 'w', 'Ada');
               update wedding set venue_name = 'Barn' where id = 'w';";
    assert_eq!(service.action(None, TRACE, sql).await, 1);
    let left = "select string_agg(table_name || ' ' || op, ', ' order by position)
                from bugle_audit where event_processed_at is null";
    let left: String = service.connection.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, "wedding insert, wedding_invitee insert, wedding update");

    // Somebody who comes later gets what is left, also an emitter that is no subscriber.
    let all = Collected::attach(&service.runtime).await;
    let only = service.audit.clone().only(["wedding_invitee"]);
    let sent = only.send_events(&service.connection, &service.changes, TRACE).await.unwrap();
    assert_eq!(sent.receipts().len(), 1);
    let audit = service.audit.clone();
    let _ = audit.send_events(&service.connection, &service.changes, TRACE).await.unwrap();
    assert_eq!(names(&all.wait_for(2).await), ["wedding_invitee.created", "wedding.updated"]);
    assert_eq!(count(&service.connection, NULL).await, 1, "that of the other trace");
}

#[tokio::test]
async fn a_handler_that_fails_fails_no_other_and_not_the_action() {
    let Some(mut service) = Service::start().await else { return };
    service.subscribe("broken", &["wedding.created", "wedding_invitee.created"]).await;
    service.subscribe("mail", &["wedding.*", "wedding_invitee.*"]).await;
    let sql = "insert into wedding values ('w', 'Mill');
               insert into wedding_invitee values ('a', 'w', 'Ada');";
    service.write(None, TRACE, sql).await;
    let sent = service.audit.send_events(&service.connection, &service.changes, TRACE).await;
    let sent = sent.unwrap();
    assert_eq!(count(&service.connection, NULL).await, 0);

    let errors = within(sent.settled()).await.unwrap_err();
    assert_eq!(errors.to_string(), "broken: it is broken\nbroken: it is broken");
    let got = service.got.lock().unwrap();
    let count = |of: &str| got.iter().filter(|(subscriber, ..)| subscriber == of).count();
    assert_eq!((count("mail"), count("broken")), (2, 2));
}

#[tokio::test]
async fn a_row_is_not_marked_before_its_event_is_accepted_nor_lost_when_it_can_not_be() {
    let Some(mut service) = Service::start().await else { return };
    service.subscribe("mail", &["wedding.*"]).await;
    service.write(None, TRACE, "insert into wedding values ('w', 'Mill')").await;
    // The commit fails, as when the process or the connection ends right before it.
    service
        .connection
        .batch_execute(
            "create function fail() returns trigger language plpgsql as
               $$ begin raise exception 'no commit'; end $$;
             create constraint trigger fail after update on bugle_audit
               deferrable initially deferred for each row execute function fail();",
        )
        .await
        .unwrap();
    let all = Collected::attach(&service.runtime).await;
    let Service { connection, changes, audit, .. } = &mut service;
    let error = audit.send_events(connection, changes, TRACE).await.unwrap_err();
    assert!(matches!(error, SendError::Database(_)), "{error}");
    all.wait_for(1).await;
    assert_eq!(count(connection, NULL).await, 1);
    connection.batch_execute("drop trigger fail on bugle_audit").await.unwrap();
    let _ = audit.send_events(connection, changes, TRACE).await.unwrap();
    let events = all.wait_for(2).await;
    assert_eq!(events[0].request_id, events[1].request_id);
    assert_eq!((&events[0].payload, &events[0].trace), (&events[1].payload, &events[1].trace));
    assert_eq!(count(connection, NULL).await, 0);

    // A runtime that takes nothing leaves the rows to who comes next.
    service.write(None, TRACE, "delete from wedding").await;
    service.runtime.shutdown(std::time::Duration::ZERO).await;
    let Service { connection, database, changes, audit, .. } = &mut service;
    let error = audit.send_events(connection, changes, TRACE).await.unwrap_err();
    assert!(matches!(error, SendError::Emit(_)), "{error}");
    assert_eq!(count(connection, NULL).await, 1);
    let (runtime, collected) = runtime().await;
    let _relay = Relay::builder(database.clone(), audit.clone()).start(&runtime);
    assert_eq!(names(&collected.wait_for(1).await), ["wedding.deleted"]);
}

#[tokio::test]
async fn many_rows_are_sent_once_by_two_at_once() {
    let Some(mut service) = Service::start().await else { return };
    let config = HandlerConfig::default().order(Order::Strict);
    service.changes.subscribe("mail", ["wedding.*"], config).await.unwrap();
    let sql = "insert into wedding select n, 'Mill' from generate_series(1, 2500) n";
    service.write(None, TRACE, sql).await;
    let other = service.database.connect().await.unwrap();
    let (audit, changes) = (&service.audit, &service.changes);
    let (one, two) = tokio::join!(
        audit.send_events(&service.connection, changes, TRACE),
        audit.send_events(&other, changes, TRACE),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.receipts().len() + two.receipts().len(), 2500);
    for sent in [&one, &two] {
        within(sent.settled()).await.unwrap();
    }
    let mut ids: Vec<String> = service
        .events()
        .iter()
        .map(|event| event["target"]["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort_by_key(|id| id.parse::<u32>().unwrap());
    let expected: Vec<String> = (1..=2500).map(|n| n.to_string()).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_table_as_keel_has_it_gives_the_events_of_a_transaction_in_their_order() {
    let Some((_, connection, _)) = database().await else { return };
    let member = |id: &str, op: &str, name: &str| {
        format!(
            r#"insert into keel_audit (id, table_name, op, data, trace_id) values
                 ('{id}', 'member', '{op}', '{{"id": "m", "first_name": "{name}"}}', '{TRACE}');"#
        )
    };
    let create = "create table keel_audit (id text primary key, table_name text not null,
        op text not null, data jsonb not null, identity_id text, trace_id text,
        created_at timestamptz not null default now(), event_processed_at timestamptz);";
    let rows = [("z", "insert", "A"), ("y", "update", "B"), ("x", "delete", "B")];
    let rows = rows.map(|(id, op, name)| member(id, op, name)).concat();
    connection.batch_execute(&format!("{create} begin; {rows} commit;")).await.unwrap();
    let (runtime, collected) = runtime().await;
    let changes = Changes::new(&runtime);
    changes.set_event_handler(async |_, _, _| Ok::<(), String>(()));
    let audit = AuditTable::new("keel_audit").unwrap();
    let _ = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    let events = collected.wait_for(3).await;
    assert_eq!(names(&events), ["member.created", "member.updated", "member.deleted"]);
    let previous = |at: usize| common::json(&events[at])["target"]["previousData"].clone();
    assert_eq!(previous(0), Value::Null);
    assert_eq!((&previous(1)["firstName"], &previous(2)["firstName"]), (&json!("A"), &json!("B")));

    // It is only looked at by who wants all of a table.
    connection.batch_execute(&member("w", "truncate", "A")).await.unwrap();
    let sent = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    let aside = sent.set_aside().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(aside.len() == 1 && aside[0].contains("'truncate'"), "{aside:?}");
    let nowhere = AuditTable::new("nowhere").unwrap();
    let error = nowhere.send_events(&connection, &changes, TRACE).await.unwrap_err();
    assert!(matches!(error, SendError::NotInstalled(_)), "{error}");
}
