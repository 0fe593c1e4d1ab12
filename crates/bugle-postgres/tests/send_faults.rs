//! Faults that `send_events` meets: no handler, a full journal, rows that are no events, and
//! traces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;

use bugle::events::{ChangeEvent, Changes};
use bugle::{HandlerConfig, MemoryOptions, Runtime, Store};
use bugle_postgres::audit::{ContextError, SendError, set_context};
use bugle_postgres::{AuditTable, Connection, Database, Relay};
use common::{Collected, count, database, json, names, runtime, within};
use tokio::sync::Semaphore;

const TRACE: &str = "71f835dc7ac2750bed2135c7b30dc7fe";

const PENDING: &str = "select count(*) from bugle_audit where event_processed_at is null";

async fn audited(connection: &Connection) -> AuditTable {
    let create = "create table member (id int primary key, name text);
                  create table note (id int primary key)";
    connection.batch_execute(create).await.unwrap();
    let audit = AuditTable::default();
    audit.install(connection, ["member", "note"]).await.unwrap();
    audit
}

/// Changes that were made for the trace.
async fn write(connection: &mut Connection, sql: &str) {
    let mut transaction = connection.transaction().await.unwrap();
    set_context(&mut transaction, None, Some(TRACE)).await.unwrap();
    transaction.batch_execute(sql).await.unwrap();
    transaction.commit().await.unwrap();
}

fn handled(changes: &Changes) {
    changes.set_event_handler(async |_, _, _| Ok::<(), String>(()));
}

#[tokio::test]
async fn without_a_handler_nothing_is_sent_and_nothing_marked() {
    let Some((_, mut connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let (runtime, collected) = runtime().await;
    let changes = Changes::new(&runtime);
    changes.subscribe("mail", ["member.*"], HandlerConfig::default()).await.unwrap();
    write(&mut connection, "insert into member values (1, 'Ada'), (2, 'Grace')").await;
    let sent = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    assert!(sent.receipts().is_empty() && sent.set_aside().is_empty());
    assert_eq!((count(&connection, PENDING).await, collected.count()), (2, 0));
    // Also where there is no table: nothing is looked at.
    let nowhere = AuditTable::new("nowhere").unwrap();
    let _ = nowhere.send_events(&connection, &changes, TRACE).await.unwrap();

    handled(&changes);
    let sent = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    within(sent.settled()).await.unwrap();
    assert_eq!((sent.receipts().len(), count(&connection, PENDING).await), (2, 0));
    assert_eq!(runtime.dead_letters().count(&Default::default()).await.unwrap(), 0);
}

#[tokio::test]
async fn an_empty_or_malformed_trace_is_an_error() {
    let Some((_, mut connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let (runtime, _collected) = runtime().await;
    let changes = Changes::new(&runtime);
    let upper = TRACE.to_uppercase();
    let short = format!("00-{TRACE}-01");
    for bad in ["", "x", &TRACE[1..], &upper, &"0".repeat(32), &short] {
        let error = audit.send_events(&connection, &changes, bad).await.unwrap_err();
        assert!(matches!(error, SendError::Trace(_)), "{bad:?}: {error}");
        let mut transaction = connection.transaction().await.unwrap();
        let error = set_context(&mut transaction, None, Some(bad)).await.unwrap_err();
        assert!(matches!(error, ContextError::Trace(_)), "{bad:?}: {error}");
        // The transaction goes on.
        transaction.batch_execute("select 1").await.unwrap();
    }
}

#[tokio::test]
async fn a_given_traceparent_and_its_sampled_flag_are_kept() {
    let Some((database, mut connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let (of_rows, of_call) =
        (format!("00-{TRACE}-00f067aa0ba902b7-00"), format!("00-{TRACE}-00f067aa0ba902b8-00"));
    let mut transaction = connection.transaction().await.unwrap();
    set_context(&mut transaction, None, Some(&of_rows)).await.unwrap();
    transaction.batch_execute("insert into member values (1, 'A')").await.unwrap();
    set_context(&mut transaction, None, Some(TRACE)).await.unwrap();
    transaction.batch_execute("insert into member values (2, 'B')").await.unwrap();
    set_context(&mut transaction, None, None).await.unwrap();
    transaction.batch_execute("insert into member values (3, 'C')").await.unwrap();
    let plain = format!(
        "set local audit.traceparent = '{of_rows}'; insert into member values (4, 'D');
         set local audit.traceparent = 'nonsense'; insert into member values (5, 'E')"
    );
    transaction.batch_execute(&plain).await.unwrap();
    transaction.commit().await.unwrap();
    let again = "update bugle_audit set event_processed_at = null";

    let (runtime, collected) = runtime().await;
    let changes = Changes::new(&runtime);
    handled(&changes);
    let sent = audit.send_events(&connection, &changes, &of_call).await.unwrap();
    assert_eq!(sent.receipts().len(), 3);
    let trace = |event: &bugle::Event| event.trace.as_ref().map(|trace| trace.traceparent.clone());
    let seen: Vec<_> = collected.wait_for(3).await.iter().map(|event| trace(event)).collect();
    assert_eq!(seen, vec![Some(of_call.clone()); 3]);

    connection.batch_execute(again).await.unwrap();
    let _ = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    let seen: Vec<_> = collected.wait_for(6).await[3..].iter().map(|event| trace(event)).collect();
    assert_eq!((&seen[0], &seen[2]), (&Some(of_rows.clone()), &Some(of_rows.clone())));
    let made = seen[1].clone().unwrap();
    assert!(made.starts_with(&format!("00-{TRACE}-")) && made.ends_with("-01"), "{made}");

    connection.batch_execute(again).await.unwrap();
    let relay = Relay::builder(database, audit).start(&runtime);
    let seen: Vec<_> = collected.wait_for(11).await[6..].iter().map(|event| trace(event)).collect();
    let expected = [Some(of_rows.clone()), Some(made), None, Some(of_rows), None];
    assert_eq!(seen, expected);
    drop(relay);
}

#[tokio::test]
async fn a_row_that_is_no_event_is_set_aside_and_the_others_of_its_trace_go_on() {
    let Some((_, mut connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let runtime = Runtime::builder().max_payload_bytes(2000).start().await.unwrap();
    let collected = Collected::attach(&runtime).await;
    let changes = Changes::new(&runtime);
    handled(&changes);
    let rows = format!(
        r#"insert into member values (1, 'Ada');
           insert into bugle_audit (id, table_name, op, data, trace_id) values
             ('list', 'member', 'insert', '[1]', '{TRACE}'),
             ('twice', 'member', 'insert', '{{"id": 7, "foo_bar": 1, "fooBar": 2}}', '{TRACE}'),
             ('nobody', 'member', 'insert', '{{"key": 7}}', '{TRACE}'),
             ('odd op', 'member', 'truncate', '{{"id": 7}}', '{TRACE}'),
             ('text', 'member', 'insert', '"the record is not carried"', '{TRACE}');
           insert into member values (2, repeat('x', 3000)), (3, 'Grace')"#
    );
    write(&mut connection, &rows).await;
    let sent = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    let events = collected.wait_for(2).await;
    let ids: Vec<_> = events.iter().map(|event| json(event)["target"]["id"].clone()).collect();
    assert_eq!((ids[0].as_str(), ids[1].as_str()), (Some("1"), Some("3")));
    assert_eq!(sent.receipts().len(), 2);
    let mut aside: Vec<String> = sent.set_aside().iter().map(ToString::to_string).collect();
    aside.sort();
    let said = ["at most 2000", "not an object", "no id", "'truncate'", "not carried", "fooBar"];
    assert_eq!(aside.len(), said.len(), "{aside:?}");
    for said in said {
        assert!(aside.iter().any(|reason| reason.contains(said)), "{said}: {aside:?}");
    }
    let told =
        "select count(*) from bugle_audit where event_processed_at is null and error is not null";
    assert_eq!(count(&connection, told).await, 6);
    let again = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    assert!(again.receipts().is_empty() && again.set_aside().is_empty());
    // Put right, it is sent.
    let mend = r#"update bugle_audit set error = null, data = '{"id": 8}' where id = 'list'"#;
    connection.batch_execute(mend).await.unwrap();
    let mended = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    assert_eq!((mended.receipts().len(), mended.set_aside().len()), (1, 0));
}

#[tokio::test]
async fn rows_that_nobody_subscribed_to_are_not_looked_at_and_stay_unmarked() {
    let Some((_, mut connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let runtime = Runtime::builder().start().await.unwrap();
    let changes = Changes::new(&runtime);
    handled(&changes);
    changes.subscribe("mail", ["member.created"], HandlerConfig::default()).await.unwrap();
    let rows = format!(
        r#"insert into bugle_audit (table_name, op, data, trace_id) values
             ('note', 'insert', '[1]', '{TRACE}'), ('member', 'truncate', '[1]', '{TRACE}'),
             ('member', 'delete', '[1]', '{TRACE}'), ('not a name', 'insert', '[]', '{TRACE}'),
             ('', '', '[]', '{TRACE}');
           insert into member values (1, 'Ada')"#
    );
    write(&mut connection, &rows).await;
    let sent = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    within(sent.settled()).await.unwrap();
    assert_eq!((sent.receipts().len(), sent.set_aside()), (1, &[][..]));
    let untouched =
        "select count(*) from bugle_audit where event_processed_at is null and error is null";
    assert_eq!(count(&connection, untouched).await, 5);
}

#[tokio::test]
async fn a_handler_may_send_the_same_trace_while_the_journal_is_full_and_no_lock_is_held() {
    let Some((database, mut connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let options = MemoryOptions::new().max_events_per_subscription(2);
    let runtime = Runtime::builder().store(Store::memory_with(options)).start().await.unwrap();
    let changes = Changes::new(&runtime);
    let (entered, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let shared = Arc::new((database.clone(), audit.clone(), changes.clone()));
    let (tell, wait) = (Arc::clone(&entered), Arc::clone(&gate));
    changes.set_event_handler(move |_: Arc<str>, event: Arc<ChangeEvent>, _: String| {
        let (shared, tell, wait) = (Arc::clone(&shared), Arc::clone(&tell), Arc::clone(&wait));
        async move {
            let (database, audit, changes) = &*shared;
            tell.add_permits(1);
            wait.acquire().await.unwrap().forget();
            let connection = database.connect().await.map_err(|error| error.to_string())?;
            let sent = audit.send_events(&connection, changes, TRACE).await;
            let sent = sent.map_err(|error| format!("{}: {error}", event.event_name))?;
            match sent.receipts() {
                [] => Ok(()),
                more => Err(format!("{} were sent twice", more.len())),
            }
        }
    });
    changes.subscribe("mail", ["member.*"], HandlerConfig::default()).await.unwrap();
    write(&mut connection, "insert into member select n, 'Ada' from generate_series(1, 7) n").await;

    let other: Connection = connect(&database).await;
    let sending = tokio::spawn({
        let (audit, changes) = (audit.clone(), changes.clone());
        async move { audit.send_events(&connection, &changes, TRACE).await }
    });
    within(entered.acquire()).await.unwrap().forget();
    // It waits for room by now, or soon, and holds nothing meanwhile.
    let locked = "select from bugle_audit for update nowait";
    assert_eq!(other.query(locked, &[]).await.unwrap().len(), 7);
    let open = "select count(*) from pg_stat_activity where datname = current_database()
                and state like 'idle in transaction%'";
    assert_eq!(count(&other, open).await, 0);
    assert_eq!(count(&other, PENDING).await, 7);
    gate.add_permits(100);
    let sent = within(sending).await.unwrap().unwrap();
    within(sent.settled()).await.unwrap();
    assert_eq!((sent.receipts().len(), count(&other, PENDING).await), (7, 0));
}

async fn connect(database: &Database) -> Connection {
    database.connect().await.unwrap()
}

#[tokio::test]
async fn what_a_check_of_the_runtime_refuses_is_set_aside_by_a_relay_too() {
    let Some((database, mut connection, _)) = database().await else { return };
    let audit = audited(&connection).await;
    let runtime = Runtime::builder().event_check(NoNotes).start().await.unwrap();
    let collected = Collected::attach(&runtime).await;
    let changes = Changes::new(&runtime);
    handled(&changes);
    let sql = "insert into member values (1, 'A'); insert into note values (1);
               insert into member values (2, 'B')";
    write(&mut connection, sql).await;
    let sent = audit.send_events(&connection, &changes, TRACE).await.unwrap();
    assert_eq!((sent.receipts().len(), sent.set_aside().len()), (2, 1));
    assert!(sent.set_aside()[0].reason.contains("no notes here"));
    let again = "update bugle_audit set event_processed_at = null, error = null";
    connection.batch_execute(again).await.unwrap();
    let relay = Relay::builder(database, audit).start(&runtime);
    within(relay.wait_until(|status| status.marked == 2 && status.set_aside == 1)).await;
    assert_eq!(relay.status().connections, 1);
    assert_eq!(names(&collected.wait_for(4).await), ["member.created"; 4]);
}

#[derive(Debug)]
struct NoNotes;

impl bugle::EventCheck for NoNotes {
    fn check(&self, name: &bugle::EventName, _: &[u8]) -> Result<(), bugle::Refused> {
        match name.as_str().starts_with("note.") {
            true => Err(bugle::Refused::new("no notes here")),
            false => Ok(()),
        }
    }
}
