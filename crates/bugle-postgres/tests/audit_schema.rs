//! Schema changes of audited tables: columns that come out alike, renames, truncation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use bugle_postgres::{AuditTable, Database, InstallError, Outbox, Relay};
use bugle_testkit::Postgres;
use common::{count, database, json, names, runtime, within};

#[tokio::test]
async fn columns_that_come_out_alike_are_refused_and_set_aside_when_they_come_later() {
    let Some((database, connection, _)) = database().await else { return };
    let create = r#"create table a (id int primary key, foo_bar int, "fooBar" int);
                    create table b (id int primary key, "_id" int);
                    create table c (id int primary key, "X" int, x int);
                    create table d (id int primary key, foo_bar int)"#;
    connection.batch_execute(create).await.unwrap();
    let audit = AuditTable::default();
    for table in ["a", "b", "c"] {
        let refused = audit.install(&connection, [table]).await.unwrap_err();
        assert!(matches!(refused, InstallError::Alike { .. }), "{refused}");
        assert!(refused.to_string().contains("in an event: rename one of them"), "{refused}");
    }
    let there = "select count(*) from pg_class where relname = 'bugle_audit'";
    assert_eq!(count(&connection, there).await, 0, "nothing was done");
    audit.install(&connection, ["d"]).await.unwrap();
    let later = r#"insert into d values (1, 2); alter table d add column "fooBar" int default 3;
                   insert into d values (2, 2, 3); alter table d drop column "fooBar";
                   insert into d values (3, 2)"#;
    connection.batch_execute(later).await.unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let status = within(relay.wait_until(|status| status.set_aside == 1)).await;
    assert!(status.last_set_aside.unwrap().contains("are both the field 'fooBar'"));
    let events = collected.wait_for(2).await;
    let ids: Vec<_> = events.iter().map(|event| json(event)["target"]["id"].clone()).collect();
    assert_eq!(ids, ["1", "3"]);
}

#[tokio::test]
async fn a_renamed_table_and_the_rows_under_either_name_are_told_of() {
    let Some((database, connection, _)) = database().await else { return };
    connection
        .batch_execute(
            "create table member (id int primary key); create table note (id int primary key)",
        )
        .await
        .unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["member", "note"]).await.unwrap();
    let rename = "insert into member values (1); alter table member rename to person;
                  insert into person values (2); insert into note values (1)";
    connection.batch_execute(rename).await.unwrap();
    let (runtime, collected) = runtime().await;
    let old = audit.clone().only(["member"]);
    let relay = Relay::builder(database.clone(), old).start(&runtime);
    let status = within(relay.wait_until(|status| status.marked == 1)).await;
    let told = |word: &str| status.warnings.iter().filter(|told| told.contains(word)).count();
    assert_eq!(told("no table \"member\" is audited into public.bugle_audit"), 1, "{status:?}");
    assert_eq!(told("rows wait under the name \"person\", which is not followed"), 1, "{status:?}");
    assert_eq!(told("rows wait under the name \"note\", which is not followed"), 1, "{status:?}");
    relay.shutdown(Duration::from_secs(5)).await;
    assert_eq!(names(&collected.wait_for(1).await), ["member.created"]);

    connection
        .batch_execute(
            "update bugle_audit set event_processed_at = null where table_name = 'member'",
        )
        .await
        .unwrap();
    let new = audit.clone().only(["person", "note"]);
    let warnings = new.warnings(&connection).await.unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("\"member\", as no audited table is called: was it renamed?"));
    assert_eq!(
        audit.warnings(&connection).await.unwrap(),
        Vec::<String>::new(),
        "all are followed"
    );
}

#[tokio::test]
async fn a_renamed_id_is_told_of_and_no_event_has_an_empty_one() {
    let Some((database, connection, _)) = database().await else { return };
    connection.batch_execute("create table member (id int primary key)").await.unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["member"]).await.unwrap();
    let rename = "insert into member values (1); alter table member rename column id to key;
                  insert into member values (2)";
    connection.batch_execute(rename).await.unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let status = within(relay.wait_until(|status| status.set_aside == 1)).await;
    assert!(status.last_set_aside.unwrap().contains("no id: was the column \"id\""));
    assert!(status.warnings[0].contains("has no column \"id\" any more"), "{:?}", status.warnings);
    connection.batch_execute("alter table member rename column key to id").await.unwrap();
    // Put right, it is sent.
    let mend = r#"update bugle_audit set data = '{"id": 2}', error = null where error is not null"#;
    connection.batch_execute(mend).await.unwrap();
    connection.batch_execute("insert into member values (3)").await.unwrap();
    let events = collected.wait_for(3).await;
    let mut ids: Vec<_> = events
        .iter()
        .map(|event| json(event)["target"]["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    assert_eq!(ids, ["1", "2", "3"]);
    relay.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn more_rows_than_any_memory_holds_are_set_aside_and_hold_up_nothing() {
    let Some((database, connection, _)) = database().await else { return };
    connection.batch_execute("create table member (id int primary key)").await.unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["member"]).await.unwrap();
    let bad = "insert into bugle_audit (table_name, op, data)
               select 'member', 'insert', '[]' from generate_series(1, 1500)";
    connection.batch_execute(bad).await.unwrap();
    connection.batch_execute("insert into member values (1)").await.unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    within(relay.wait_until(|status| status.set_aside == 1500 && status.marked == 1)).await;
    assert_eq!(relay.status().connections, 1, "{:?}", relay.status());
    assert_eq!(collected.count(), 1);
}

#[tokio::test]
async fn truncation_is_told_of() {
    let Some((database, connection, _)) = database().await else { return };
    connection.batch_execute("create table member (id int primary key, name text)").await.unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["member"]).await.unwrap();
    let sql =
        "insert into member values (1, 'A'); truncate member; insert into member values (1, 'B');
               update member set name = 'C'";
    connection.batch_execute(sql).await.unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let status = within(relay.wait_until(|status| status.set_aside == 1)).await;
    assert!(status.last_set_aside.unwrap().contains("table \"member\" was truncated"));
    let events = collected.wait_for(3).await;
    assert_eq!(names(&events), ["member.created", "member.created", "member.updated"]);
    assert_eq!(json(&events[2])["target"]["previousData"]["name"], "B");
}

#[tokio::test]
async fn a_row_that_can_not_be_read_holds_up_nothing() {
    let Some((database, connection, _)) = database().await else { return };
    let create = r#"create table keel_audit (id text primary key, table_name text, op text,
          data jsonb, identity_id text, trace_id text,
          created_at timestamptz default now(), event_processed_at timestamptz);
        insert into keel_audit values
          ('1', null, 'insert', '{"id": 1}'), ('2', 'member', null, '{"id": 1}'),
          ('3', 'member', 'insert', null), ('5', 'member', 'insert', '{"id": 5}');
        insert into keel_audit (id, table_name, op, data, created_at) values
          ('4', 'member', 'insert', '{"id": 1}', 'infinity')"#;
    connection.batch_execute(create).await.unwrap();
    let (runtime, collected) = runtime().await;
    let audit = AuditTable::new("keel_audit").unwrap();
    let relay = Relay::builder(database, audit).start(&runtime);
    within(relay.wait_until(|status| status.set_aside == 4 && status.marked == 1)).await;
    assert_eq!(collected.wait_for(1).await[0].request_id.as_str(), "5");
    relay.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_publication_of_all_tables_is_told_of_before_it_takes_the_new_one_along() {
    let Some((_, connection, _)) = database().await else { return };
    let create =
        "create table member (id int primary key); create table other (id int primary key);
                  create publication everything for all tables";
    // It warns of the server's wal_level, and is made.
    connection.batch_execute(create).await.unwrap();
    let audit = AuditTable::default();
    let plan = audit.plan_install(&connection, ["member"]).await.unwrap();
    let told = "public.bugle_audit is published by everything";
    assert!(plan.notes().iter().any(|note| note.starts_with(told)), "{:?}", plan.notes());
    let plan = Outbox::default().plan_install(&connection).await.unwrap();
    assert!(plan.notes()[0].starts_with("public.bugle_outbox is published by everything"));
    audit.install(&connection, ["member"]).await.unwrap();
    let again = audit.plan_install(&connection, ["member", "other"]).await.unwrap();
    assert!(again.notes().is_empty(), "{:?}", again.notes());
}

#[tokio::test]
async fn bytes_that_are_no_text_are_set_aside_and_hold_up_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let Some((_, connection, url)) = database().await else { return };
    let name = format!("{}_bytes", url.rsplit('/').next().unwrap());
    let create = format!(
        "create database {name} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
    );
    connection.batch_execute(&create).await.unwrap();
    let database = Database::new(&server.url(&name)).unwrap();
    let connection = database.connect().await.unwrap();
    connection.batch_execute("create table member (id int primary key, name text)").await.unwrap();
    let audit = AuditTable::default();
    audit.install(&connection, ["member"]).await.unwrap();
    let insert = r"insert into member values (1, e'\xff'), (2, 'Ada'), (3, 'é')";
    connection.batch_execute(insert).await.unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    within(relay.wait_until(|status| status.set_aside == 1 && status.marked == 2)).await;
    assert_eq!(json(&collected.wait_for(2).await[1])["target"]["data"]["name"], "é");
    assert_eq!(relay.status().connections, 1);
    relay.shutdown(Duration::from_secs(5)).await;
}
