//! Writes that the audit's triggers meet: whatever they are, the application's own write goes
//! through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bugle_postgres::{AuditTable, Connection, Database, Relay};
use bugle_testkit::Postgres;
use common::{count, database, json, names, runtime, within};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, NoTls};

const MEMBER: &str = "create table member (id int primary key, name text)";

/// The audit rows' tables, ops and data, in order.
async fn rows(connection: &Connection) -> Vec<(String, String, Value)> {
    let sql = "select table_name, op, data::text from bugle_audit order by position";
    let rows = connection.query(sql, &[]).await.unwrap();
    let read = |row: &tokio_postgres::Row| {
        (row.get(0), row.get(1), serde_json::from_str(row.get(2)).unwrap())
    };
    rows.iter().map(read).collect()
}

async fn audited(connection: &Connection, create: &str, tables: &[&str]) -> AuditTable {
    connection.batch_execute(create).await.unwrap();
    let audit = AuditTable::default();
    audit.install(connection, tables).await.unwrap();
    audit
}

/// A connection whose warnings are kept.
async fn listening(url: &str) -> (Client, Arc<Mutex<Vec<String>>>) {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&warnings);
    tokio::spawn(async move {
        let mut next =
            async move || std::future::poll_fn(|context| connection.poll_message(context)).await;
        while let Some(Ok(message)) = next().await {
            if let AsyncMessage::Notice(notice) = message {
                kept.lock().unwrap().push(format!("{}: {}", notice.severity(), notice.message()));
            }
        }
    });
    (client, warnings)
}

#[tokio::test]
async fn each_value_is_carried_as_json_or_else_as_text() {
    let Some((_, connection, _)) = database().await else { return };
    let create = r#"
        create type mood as enum ('good', 'bad');
        create type pair as (a int, j json);
        create domain small as int check (value < 10);
        create domain raw as json;
        create table things (
          id text primary key, v json, w raw, p pair, js json[], n numeric, f float8, b bytea,
          m mood, s small, t timestamptz, r int4range, x xml, many int[][],
          twice int generated always as (s * 2) stored)"#;
    let _ = audited(&connection, create, &["things"]).await;
    for (column, value, carried) in [
        ("v", r#"{"a":"x"}"#, json!({"a": "x"})),
        ("v", r#""\ud83d\ude00""#, json!("😀")),
        // Values that are no jsonb.
        ("v", r#"{"a":"x\u0000y"}"#, json!(r#"{"a":"x\u0000y"}"#)),
        ("v", r#"{"a\u0000":1}"#, json!(r#"{"a\u0000":1}"#)),
        ("v", r#""\ud800""#, json!(r#""\ud800""#)),
        ("v", r#"["\udc00"]"#, json!(r#"["\udc00"]"#)),
        ("v", r#"["\ud800x"]"#, json!(r#"["\ud800x"]"#)),
        ("v", "1e999999", json!("1e999999")),
        ("w", r#"{"a":"\u0000"}"#, json!(r#"{"a":"\u0000"}"#)),
        ("p", r#"(1,"""\\ud800""")"#, json!(r#"(1,"""\\ud800""")"#)),
        ("js", r#"{"\"\\u0000\""}"#, json!(r#"{"\"\\u0000\""}"#)),
        ("n", "NaN", json!("NaN")),
        ("n", "Infinity", json!("Infinity")),
        ("f", "-Infinity", json!("-Infinity")),
        ("b", r"\x00ff", json!(r"\x00ff")),
        ("m", "bad", json!("bad")),
        ("s", "7", json!(7)),
        ("t", "infinity", json!("infinity")),
        ("r", "[1,5)", json!("[1,5)")),
        ("many", "{{1,2},{3,4}}", json!([[1, 2], [3, 4]])),
    ] {
        connection.batch_execute("truncate bugle_audit").await.unwrap();
        let insert = format!("insert into things (id, {column}) values ('a', $1::text::{})", {
            let of = "select format_type(atttypid, atttypmod) from pg_attribute
                      where attrelid = 'things'::regclass and attname = $1";
            connection.query_one(of, &[&column]).await.unwrap().get::<_, String>(0)
        });
        connection.execute(&insert, &[&value]).await.unwrap();
        // The other row of the statement stays as it is.
        connection.batch_execute("insert into things (id, s) values ('z', 2)").await.unwrap();
        connection.batch_execute("update things set id = id").await.unwrap();
        connection.batch_execute("delete from things").await.unwrap();
        let rows = rows(&connection).await;
        let of = |id: &str| rows.iter().filter(|row| row.2["id"] == id).collect::<Vec<_>>();
        let (a, z) = (of("a"), of("z"));
        let ops: Vec<_> = a.iter().map(|row| row.1.as_str()).collect();
        assert_eq!(ops, ["insert", "update", "delete"], "{value}");
        assert!(a.iter().all(|row| row.2[column] == carried), "{value}: {a:?}");
        assert!(z.iter().all(|row| row.2["twice"] == 4 && row.2["v"] == Value::Null));
        assert_eq!(z.len(), 3);
    }
}

#[tokio::test]
async fn a_record_that_can_not_be_carried_is_told_of_in_its_place() {
    let Some((database, connection, _)) = database().await else { return };
    let create = "
        create type odd as enum ('a');
        create function odd_json(odd) returns json
          language plpgsql as $$ begin raise 'no JSON'; end $$;
        create function odd_text(odd) returns text
          language plpgsql as $$ begin raise 'no text'; end $$;
        create cast (odd as json) with function odd_json(odd);
        create cast (odd as text) with function odd_text(odd);
        create table things (id int primary key, o odd)";
    let audit = audited(&connection, create, &["things"]).await;
    let insert = "insert into things values (1, null), (2, 'a'), (3, null)";
    connection.batch_execute(insert).await.unwrap();
    assert_eq!(count(&connection, "select count(*) from things").await, 3);
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, audit).start(&runtime);
    let status = within(relay.wait_until(|status| status.set_aside == 1)).await;
    assert!(status.last_set_aside.unwrap().contains("these columns can be no JSON: o"));
    let events = collected.wait_for(2).await;
    let ids: Vec<_> = events.iter().map(|event| json(event)["target"]["id"].clone()).collect();
    assert_eq!(ids, ["1", "3"]);
    let told = "select error from bugle_audit where event_processed_at is null";
    let told: String = connection.query_one(told, &[]).await.unwrap().get(0);
    assert!(told.contains("no JSON: o"), "{told}");
}

#[tokio::test]
async fn an_audit_that_can_not_be_written_is_a_warning_and_the_write_goes_through() {
    let Some((_, connection, url)) = database().await else { return };
    let _ = audited(&connection, MEMBER, &["member"]).await;
    let (client, warnings) = listening(&url).await;
    let full = |code: &str| {
        format!(
            "create or replace function full() returns trigger language plpgsql as
               $$ begin raise exception 'it can not' using errcode = '{code}'; end $$;
             create or replace trigger full_disk before insert on bugle_audit
               for each row execute function full()"
        )
    };
    let (disk_full, out_of_memory, locked) = (full("53100"), full("53200"), full("55P03"));
    for (number, (trouble, mended, why)) in [
        (disk_full.as_str(), "drop trigger full_disk on bugle_audit", "it can not"),
        (&out_of_memory, "drop trigger full_disk on bugle_audit", "it can not"),
        (&locked, "drop trigger full_disk on bugle_audit", "it can not"),
        (
            "alter table bugle_audit rename to elsewhere",
            "alter table elsewhere rename to bugle_audit",
            "does not exist",
        ),
        (
            "alter table bugle_audit add constraint none check (false) not valid",
            "alter table bugle_audit drop constraint none",
            "violates check constraint",
        ),
        (
            "alter table bugle_audit rename column data to record",
            "alter table bugle_audit rename column record to data",
            "does not exist",
        ),
        (
            "drop function bugle_audit_value(anyelement);
             drop function bugle_audit_notify() cascade;
             alter table bugle_audit add constraint none check (false) not valid",
            "alter table bugle_audit drop constraint none",
            "violates check constraint",
        ),
        ("drop table bugle_audit", "select 1", "does not exist"),
    ]
    .into_iter()
    .enumerate()
    {
        connection.batch_execute(trouble).await.unwrap();
        warnings.lock().unwrap().clear();
        let insert = format!("insert into member values ({number}, 'Ada')");
        let all = format!(
            "begin; {insert}; update member set name = 'B' where id = {number};
                           delete from member where id = {number}; {insert}; commit"
        );
        client.batch_execute(&all).await.unwrap();
        // The notices come before the answer to the next question.
        client.batch_execute("select 1").await.unwrap();
        let told = warnings.lock().unwrap().clone();
        assert_eq!(told.len(), 4, "{trouble}: {told:?}");
        for (told, op) in told.iter().zip(["INSERT", "UPDATE", "DELETE", "INSERT"]) {
            let begin = format!("WARNING: bugle: {op} on table public.member is not in the audit");
            assert!(told.starts_with(&begin) && told.contains(why), "{told}");
        }
        connection.batch_execute(mended).await.unwrap();
    }
    assert_eq!(count(&connection, "select count(*) from member").await, 8);
    client.batch_execute("truncate member").await.unwrap();
    assert_eq!(count(&connection, "select count(*) from member").await, 0);
}

#[tokio::test]
async fn a_lock_on_the_audit_costs_a_row_of_it_and_a_cancelled_statement_is_cancelled() {
    let Some((database, connection, url)) = database().await else { return };
    let _ = audited(&connection, MEMBER, &["member"]).await;
    let (client, warnings) = listening(&url).await;
    let mut locking = database.connect().await.unwrap();
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("lock table bugle_audit").await.unwrap();
    client.batch_execute("set lock_timeout = '20ms'").await.unwrap();
    client.batch_execute("insert into member values (1, 'Ada')").await.unwrap();
    client.batch_execute("select 1").await.unwrap();
    assert!(warnings.lock().unwrap()[0].contains("lock timeout"), "{warnings:?}");
    // This is the application's own limit for its statement.
    client.batch_execute("set lock_timeout = 0; set statement_timeout = '50ms'").await.unwrap();
    let cancelled = client.batch_execute("insert into member values (2, 'Ada')").await.unwrap_err();
    assert_eq!(cancelled.code(), Some(&SqlState::QUERY_CANCELED));
    lock.rollback().await.unwrap();
    let ids = "select string_agg(id::text, ',') from member";
    let ids: String = connection.query_one(ids, &[]).await.unwrap().get(0);
    assert_eq!(ids, "1");
}

#[tokio::test]
async fn who_writes_needs_no_rights_and_no_search_path_and_can_not_forge() {
    let Some((_, connection, url)) = database().await else { return };
    let role = url.rsplit('/').next().unwrap().replace("test", "writer");
    let create = format!(
        r#"create schema "Sh op"; create schema other;
           create table "Sh op"."Mem""ber" ("id" int primary key, name text);
           create table "Sh op".member_of ("id" int primary key, name text);
           create table other.unrelated (id int primary key);
           create role {role} login; grant usage on schema "Sh op" to {role};
           grant all on "Sh op".member_of to {role}; grant all on schema other to {role}"#
    );
    connection.batch_execute(&create).await.unwrap();
    let audit = AuditTable::default();
    let refused = audit.install(&connection, [r#""Sh op"."Mem""ber""#]).await.unwrap_err();
    assert!(refused.to_string().contains("can't be events"), "{refused}");
    audit.install(&connection, [r#""Sh op".member_of"#]).await.unwrap();

    let (writer, warnings) = listening(&url.replace("postgres@", &format!("{role}@"))).await;
    let hostile = r#"set search_path = other, "Sh op";
        create table other.bugle_audit (id text, table_name text);
        create function other.to_jsonb(anyelement) returns jsonb
          language sql as $$ select '{}'::jsonb $$;
        create function other.lower(text) returns text language sql as $$ select 'forged' $$;
        set search_path = other, pg_catalog, "Sh op";
        insert into member_of values (1, 'Ada');"#;
    writer.batch_execute(hostile).await.unwrap();
    assert!(warnings.lock().unwrap().is_empty(), "{warnings:?}");
    let expected = ("member_of".to_owned(), "insert".to_owned(), json!({"id": 1, "name": "Ada"}));
    assert_eq!(rows(&connection).await, [expected]);
    let forge = "create table other.mine (id int);
        create trigger t after insert on other.mine referencing new table as new_rows
          for each statement execute function public.bugle_audit_record()";
    let forged = writer.batch_execute(forge).await.unwrap_err();
    assert_eq!(forged.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    drop(writer);
}

#[tokio::test]
async fn columns_may_be_called_as_anything_in_the_function() {
    let Some((_, connection, _)) = database().await else { return };
    let columns = [
        "tg_op",
        "tg_table_name",
        "new_rows",
        "old_rows",
        "changed",
        "failed",
        "write",
        "rows_of",
        "record_values",
        "record_id",
        "value",
        "name",
        "data",
        "carried",
        "each_value",
        "table_name",
        "op",
        "position",
        "select",
        "Quo\"ted",
        "per%cent",
        "$1",
    ];
    let list: Vec<String> =
        columns.iter().map(|column| format!("\"{}\" json", column.replace('"', "\"\""))).collect();
    let create = format!("create table odd (id int primary key, {})", list.join(", "));
    let _ = audited(&connection, &create, &["odd"]).await;
    for (number, value) in ["1", r#""\u0000""#].iter().enumerate() {
        let values = vec![format!("'{value}'"); columns.len()].join(", ");
        let insert = format!("insert into odd values ({number}, {values})");
        connection.batch_execute(&insert).await.unwrap();
    }
    let rows = rows(&connection).await;
    assert_eq!(rows.len(), 2);
    for column in columns {
        assert_eq!((&rows[0].2[column], &rows[1].2[column]), (&json!(1), &json!(r#""\u0000""#)));
    }
}

#[tokio::test]
async fn partitions_children_upserts_and_merges_are_written_once_each() {
    let Some((_, connection, _)) = database().await else { return };
    let create = "
        create table part (id int, place text, primary key (id, place)) partition by list (place);
        create table part_a partition of part for values in ('a');
        create table part_b partition of part for values in ('b');
        create table parent (id int primary key, name text);
        create table child () inherits (parent);
        create table member (id int primary key, name text)";
    let audit = audited(&connection, create, &["part", "parent", "member"]).await;
    let plan = audit.plan_install(&connection, ["part", "parent"]).await.unwrap();
    assert!(plan.notes().iter().any(|note| note.contains("public.part has partitions")));
    assert!(plan.to_string().contains("-- public.parent has partitions or children"));
    let refused = audit.install(&connection, ["part_a"]).await.unwrap_err();
    assert!(refused.to_string().contains("partition of part"), "{refused}");
    let refused = audit.install(&connection, ["bugle_audit"]).await.unwrap_err();
    assert!(refused.to_string().contains("no end"), "{refused}");

    let mut statements = "
        insert into part values (1, 'a');
        update part set place = 'b';
        delete from part;
        insert into child values (1, 'x');
        update parent set name = 'y';
        insert into member values (1, 'a');
        insert into member values (1, 'b'), (2, 'b') on conflict (id) do update set name = 'c';
        insert into member values (1, 'b') on conflict do nothing;
        begin; savepoint s; update member set name = 'lost'; rollback to s; commit;
        with new as (insert into member values (3, 'd') returning id)
          update member set name = 'e' where id = 2;
    "
    .to_owned();
    if count(&connection, "select current_setting('server_version_num')::bigint / 10000").await
        >= 15
    {
        statements += "
            merge into member m using (values (3), (4)) v (id) on m.id = v.id
              when matched then delete when not matched then insert values (v.id, 'f');";
    } else {
        statements += "insert into member values (4, 'f'); delete from member where id = 3;";
    }
    for statement in statements.split_terminator(";\n") {
        connection.batch_execute(statement).await.unwrap();
    }
    let mut seen: Vec<String> = rows(&connection)
        .await
        .iter()
        .map(|(table, op, data)| {
            format!("{table} {op} {} {}", data["id"], data.get("name").unwrap_or(&data["place"]))
        })
        .collect();
    let in_order = [
        "part insert 1 \"a\"",
        "part update 1 \"b\"",
        "part delete 1 \"b\"",
        "parent update 1 \"y\"",
        "member insert 1 \"a\"",
    ];
    assert_eq!(seen[..5], in_order);
    // Of one statement the order among its records does not matter.
    seen[5..].sort();
    let of_members = [
        "member delete 3 \"d\"",
        "member insert 2 \"b\"",
        "member insert 3 \"d\"",
        "member insert 4 \"f\"",
        "member update 1 \"c\"",
        "member update 2 \"e\"",
    ];
    assert_eq!(seen[5..], of_members);
}

#[tokio::test]
async fn a_replica_does_not_fire_and_what_is_switched_off_is_told() {
    let Some((_, connection, _)) = database().await else { return };
    let audit = audited(&connection, MEMBER, &["member"]).await;
    let replica = "set session_replication_role = replica; insert into member values (1, 'Ada');
                   set session_replication_role = origin";
    connection.batch_execute(replica).await.unwrap();
    assert_eq!(rows(&connection).await, []);
    assert_eq!(audit.warnings(&connection).await.unwrap(), Vec::<String>::new());
    connection.batch_execute("alter table member disable trigger user").await.unwrap();
    connection.batch_execute("insert into member values (2, 'Ada')").await.unwrap();
    let warnings = audit.warnings(&connection).await.unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("switched off"), "{warnings:?}");
    audit.install(&connection, ["member"]).await.unwrap();
    let enabled = audit.warnings(&connection).await.unwrap();
    connection.batch_execute("insert into member values (3, 'Ada')").await.unwrap();
    assert_eq!((enabled, rows(&connection).await.len()), (Vec::new(), 1));
}

#[tokio::test]
async fn a_serialization_failure_is_passed_on() {
    let Some((_, connection, _)) = database().await else { return };
    let _ = audited(&connection, MEMBER, &["member"]).await;
    let fail = "create function fail() returns trigger language plpgsql as
          $$ begin raise exception 'again' using errcode = '40001'; end $$;
        create trigger fail before insert on bugle_audit for each row execute function fail()";
    connection.batch_execute(fail).await.unwrap();
    let failed =
        connection.batch_execute("insert into member values (1, 'Ada')").await.unwrap_err();
    assert_eq!(failed.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
}

#[tokio::test]
async fn a_transaction_in_two_phases_can_be_prepared_and_a_relay_hears_of_it_at_its_interval() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let database = Database::new(&server.create_database().unwrap()).unwrap();
    {
        let connection = database.connect().await.unwrap();
        let set = "alter system set max_prepared_transactions = 5";
        connection.batch_execute(set).await.unwrap();
    }
    server.stop_immediately().unwrap();
    server.restart().unwrap();
    let connection = database.connect().await.unwrap();
    let audit = audited(&connection, MEMBER, &["member"]).await;
    let prepare = "insert into member values (1, 'Ada')";
    connection.batch_execute("begin").await.unwrap();
    connection.batch_execute(prepare).await.unwrap();
    connection.batch_execute("prepare transaction 'one'").await.unwrap();
    connection.batch_execute("commit prepared 'one'").await.unwrap();
    let (runtime, collected) = runtime().await;
    let interval = Duration::from_millis(20);
    let relay = Relay::builder(database, audit).poll_interval(interval).start(&runtime);
    assert_eq!(names(&collected.wait_for(1).await), ["member.created"]);
    connection.batch_execute("insert into member values (2, 'Ada')").await.unwrap();
    collected.wait_for(2).await;
    relay.shutdown(Duration::from_secs(5)).await;
}
