//! One record's changes come in the order in which they were made, whenever the transactions began.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bugle::Event;
use bugle::events::Changes;
use bugle_postgres::{AuditTable, Connection, Database, InstallError, Relay};
use bugle_testkit::Postgres;
use common::{count, database, json, names, runtime, within};
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Keel's table and its triggers: the time is the transaction's, the ids are random.
const KEEL: &str = "
    create table keel_audit (id text primary key, table_name text not null, op text not null,
      data jsonb not null, identity_id text, trace_id text,
      created_at timestamptz not null default now(), event_processed_at timestamptz);
    create function process_audit() returns trigger language plpgsql as $$ begin
      if tg_op = 'DELETE' then
        insert into keel_audit (id, table_name, op, data, trace_id)
          select md5(random()::text), tg_table_name, lower(tg_op), to_jsonb(o.*),
            nullif(current_setting('audit.trace_id', true), '') from old_table o;
      else
        insert into keel_audit (id, table_name, op, data, trace_id)
          select md5(random()::text), tg_table_name, lower(tg_op), to_jsonb(n.*),
            nullif(current_setting('audit.trace_id', true), '') from new_table n;
      end if;
      return null;
    end $$;
    create table member (id text primary key, name text);
    create trigger keel_i after insert on member referencing new table as new_table
      for each statement execute function process_audit();
    create trigger keel_u after update on member referencing new table as new_table
      for each statement execute function process_audit();
    create trigger keel_d after delete on member referencing old table as old_table
      for each statement execute function process_audit();";

async fn set(connection: &Connection, id: &str, name: &str) {
    let sql = "insert into member values ($1, $2)
               on conflict (id) do update set name = excluded.name";
    connection.execute(sql, &[&id, &name]).await.unwrap();
}

/// Several transactions on one record, none of which began in the order in which they wrote.
async fn overlap(database: &Database, prepared: bool) {
    let (one, two, three) = (
        database.connect().await.unwrap(),
        database.connect().await.unwrap(),
        database.connect().await.unwrap(),
    );
    for connection in [&one, &two, &three] {
        let begin = format!("begin; set local audit.trace_id = '{TRACE}'; select now()");
        connection.batch_execute(&begin).await.unwrap();
    }
    if prepared {
        // They have numbers of their own by now, in an order of their own.
        for (connection, id) in [(&two, "x"), (&three, "y"), (&one, "z")] {
            set(connection, id, "other").await;
        }
    }
    set(&three, "m", "A").await;
    three.batch_execute("commit").await.unwrap();
    set(&two, "m", "B").await;
    two.batch_execute("delete from member where id = 'm'").await.unwrap();
    set(&two, "m", "C").await;
    two.batch_execute("commit").await.unwrap();
    set(&one, "m", "D").await;
    one.batch_execute("commit").await.unwrap();
}

/// The changes of the record `m`, each as the values before and after it.
fn of_m(events: &[Arc<Event>]) -> Vec<String> {
    let changes = events.iter().map(|event| json(event)["target"].clone());
    changes
        .filter(|target| target["id"] == "m")
        .map(|target| {
            let name = |data: &Value| data["name"].as_str().unwrap_or("-").to_owned();
            format!("{}>{}", name(&target["previousData"]), name(&target["data"]))
        })
        .collect()
}

const IN_ORDER: [&str; 5] = ["->A", "A>B", "B>B", "->C", "C>D"];

#[tokio::test]
async fn a_relay_of_any_table_gives_a_records_changes_in_the_order_in_which_they_were_made() {
    for (keel, install, prepared) in
        [(true, true, false), (true, true, true), (true, false, false), (false, true, true)]
    {
        let Some((database, connection, _)) = database().await else { return };
        let audit = match keel {
            true => {
                connection.batch_execute(KEEL).await.unwrap();
                AuditTable::new("keel_audit").unwrap()
            }
            false => {
                let member = "create table member (id text primary key, name text)";
                connection.batch_execute(member).await.unwrap();
                AuditTable::default()
            }
        };
        if install {
            audit.install(&connection, ["member"]).await.unwrap();
        }
        overlap(&database, prepared).await;
        let (runtime, collected) = runtime().await;
        let relay = Relay::builder(database, audit).batch(2).start(&runtime);
        let all = if prepared { 8 } else { 5 };
        let events = collected.wait_for(all).await;
        within(relay.wait_until(|status| status.marked == all as u64)).await;
        assert_eq!(of_m(&events), IN_ORDER, "keel: {keel}, installed: {install}, {prepared}");
        let loud = relay.status().warnings.iter().any(|told| told.contains("can't be promised"));
        assert_eq!(loud, !install);
        assert_eq!(collected.count(), all, "the changes were written once");
        relay.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn an_id_that_is_deleted_taken_again_or_changed_waits_for_who_had_it() {
    let Some((database, connection, _)) = database().await else { return };
    connection.batch_execute("create table member (id text primary key, name text)").await.unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["member"]).await.unwrap();
    set(&connection, "m", "A").await;
    let (first, second) = (database.connect().await.unwrap(), database.connect().await.unwrap());
    let waits = async |number: i64| {
        let sql = "select count(*) from pg_stat_activity
                   where wait_event_type = 'Lock' and datname = current_database()";
        while count(&connection, sql).await < number {
            tokio::task::yield_now().await;
        }
    };
    // The one that takes the id again began first, and has a lower number than who gives it up.
    second.batch_execute("begin; insert into member values ('x', 'other')").await.unwrap();
    first.batch_execute("begin; delete from member where id = 'm'").await.unwrap();
    let taken = second.batch_execute("insert into member values ('m', 'B'); commit");
    let given = async {
        within(waits(1)).await;
        first.batch_execute("commit").await
    };
    let (taken, given) = tokio::join!(taken, given);
    taken.and(given).unwrap();

    second.batch_execute("begin; update member set name = 'other'").await.unwrap();
    second
        .batch_execute("rollback; begin; insert into member values ('y', 'other')")
        .await
        .unwrap();
    first.batch_execute("begin; update member set id = 'n' where id = 'm'").await.unwrap();
    let taken = second.batch_execute("insert into member values ('m', 'C'); commit");
    let given = async {
        within(waits(1)).await;
        first.batch_execute("update member set name = 'D' where id = 'n'; commit").await
    };
    let (taken, given) = tokio::join!(taken, given);
    taken.and(given).unwrap();

    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let events = collected.wait_for(8).await;
    assert_eq!(of_m(&events), ["->A", "A>A", "->B", "->C"]);
    let of_n: Vec<_> = events.iter().map(|event| json(event)["target"].clone()).collect();
    let of_n: Vec<_> = of_n
        .iter()
        .filter(|target| target["id"] == "n")
        .map(|target| (target["data"]["name"].clone(), target["previousData"]["name"].clone()))
        .collect();
    assert_eq!(of_n, [("B".into(), Value::Null), ("D".into(), "B".into())]);
    relay.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn send_events_has_that_order_too() {
    for install in [true, false] {
        let Some((database, connection, _)) = database().await else { return };
        connection.batch_execute(KEEL).await.unwrap();
        let audit = AuditTable::new("keel_audit").unwrap();
        if install {
            audit.install(&connection, ["member"]).await.unwrap();
        }
        overlap(&database, install).await;
        let (runtime, collected) = runtime().await;
        let changes = Changes::new(&runtime);
        changes.set_event_handler(async |_, _, _| Ok::<(), String>(()));
        let sent = audit.send_events(&connection, &changes, TRACE).await.unwrap();
        let events = collected.wait_for(sent.receipts().len()).await;
        assert_eq!(of_m(&events), IN_ORDER, "installed: {install}");
    }
}

#[tokio::test]
async fn what_was_there_before_is_numbered_and_goes_first() {
    let Some((database, connection, _)) = database().await else { return };
    connection.batch_execute(KEEL).await.unwrap();
    let audit = AuditTable::new("keel_audit").unwrap();
    overlap(&database, false).await;
    // Those were taken by somebody, which moves them about in the table.
    let mark =
        "update keel_audit set event_processed_at = now() where data ->> 'name' in ('A', 'B')";
    connection.batch_execute(mark).await.unwrap();
    let plan = audit.plan_install(&connection, ["member"]).await.unwrap();
    let shown = plan.to_string();
    for part in [
        "-- public.keel_audit gains the column position",
        "-- the changes of public.member are written to public.keel_audit by the trigger keel_",
        "add column position bigint",
        "generated by default as identity",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.contains("create or replace trigger \"keel_audit_insert\""), "{shown}");
    let columns = "select count(*) from pg_attribute where attrelid = 'keel_audit'::regclass
                   and attnum > 0 and not attisdropped";
    assert_eq!(count(&connection, columns).await, 8, "nothing was done");
    plan.run(&connection).await.unwrap();
    audit.install(&connection, ["member"]).await.unwrap();
    audit.install(&connection, Vec::<&str>::new()).await.unwrap();
    assert_eq!(count(&connection, columns).await, 11);
    // A writer need not know of the columns.
    let insert =
        r#"insert into keel_audit values ('q', 'member', 'update', '{"id": "m", "name": "E"}')"#;
    connection.batch_execute(insert).await.unwrap();
    set(&connection, "m", "F").await;
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let events = collected.wait_for(4).await;
    assert_eq!(of_m(&events), ["->C", "C>D", "D>E", "E>F"]);
    assert_eq!(relay.status().warnings, Vec::<String>::new());
    relay.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_role_that_may_not_alter_changes_nothing_and_hears_why() {
    let Some((_, connection, url)) = database().await else { return };
    connection.batch_execute(KEEL).await.unwrap();
    let role = url.rsplit('/').next().unwrap().replace("test", "reader");
    let create = format!("create role {role} login; grant all on keel_audit, member to {role}");
    connection.batch_execute(&create).await.unwrap();
    let weak = Database::new(&url.replace("postgres@", &format!("{role}@"))).unwrap();
    let weak = weak.connect().await.unwrap();
    let audit = AuditTable::new("keel_audit").unwrap();
    let refused = audit.install(&weak, ["member"]).await.unwrap_err();
    assert!(refused.to_string().contains("must be owner of table keel_audit"), "{refused}");
    assert!(audit.warnings(&weak).await.unwrap()[0].contains("can't be promised"));
}

#[tokio::test]
async fn a_position_that_does_not_number_one_by_one_is_not_trusted() {
    for column in [
        "position bigint",
        "position bigint default 0 not null",
        "position bigint not null generated always as identity (cache 20)",
        "position int not null generated always as identity",
        "position bigint not null generated always as identity (increment -1)",
    ] {
        let Some((_, connection, _)) = database().await else { return };
        connection.batch_execute(KEEL).await.unwrap();
        let add = format!("alter table keel_audit add column {column}");
        connection.batch_execute(&add).await.unwrap();
        let audit = AuditTable::new("keel_audit").unwrap();
        let refused = audit.install(&connection, ["member"]).await.unwrap_err();
        assert!(matches!(refused, InstallError::Position(_)), "{column}: {refused}");
        assert!(audit.warnings(&connection).await.unwrap()[0].contains("can't be promised"));
    }
    let Some((_, connection, _)) = database().await else { return };
    connection.batch_execute(KEEL).await.unwrap();
    let serial = "alter table keel_audit add column position bigserial";
    connection.batch_execute(serial).await.unwrap();
    let audit = AuditTable::new("keel_audit").unwrap();
    assert_eq!(audit.warnings(&connection).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn ties_go_by_the_bytes_of_the_ids_whatever_the_collation() {
    let Some(server) = Postgres::shared() else { return };
    let Some((_, connection, url)) = database().await else { return };
    let name = format!("{}_icu", url.rsplit('/').next().unwrap());
    let create = format!(
        "create database {name} template template0 encoding 'UTF8'
           locale_provider icu icu_locale 'en' locale 'C'"
    );
    if connection.batch_execute(&create).await.is_err() {
        // A server without ICU.
        return;
    }
    let database = Database::new(&server.url(&name)).unwrap();
    let connection = database.connect().await.unwrap();
    let rows = r#"insert into keel_audit (id, table_name, op, data) values
        ('b', 'member', 'update', '{"id": "m", "name": "2"}'),
        ('C', 'member', 'update', '{"id": "m", "name": "1"}'),
        ('é', 'member', 'update', '{"id": "m", "name": "4"}'),
        ('c', 'member', 'update', '{"id": "m", "name": "3"}')"#;
    connection.batch_execute(&format!("{KEEL}{rows}")).await.unwrap();
    let collation = "select count(*) where 'b' < 'C'";
    assert_eq!(count(&connection, collation).await, 1, "it has a collation of its own");
    let (runtime, collected) = runtime().await;
    let audit = AuditTable::new("keel_audit").unwrap();
    let relay = Relay::builder(database, audit).batch(3).start(&runtime);
    let events = collected.wait_for(4).await;
    assert_eq!(of_m(&events), ["->1", "1>2", "2>3", "3>4"]);
    assert_eq!(names(&events)[0], "member.updated");
    relay.shutdown(Duration::from_secs(5)).await;
}
