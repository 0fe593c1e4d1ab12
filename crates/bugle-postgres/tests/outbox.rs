//! The transactional outbox.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use bugle::TraceContext;
use bugle_postgres::outbox::{OutboxError, OutboxOptions, emit, emit_with};
use bugle_postgres::{Outbox, Processed, Relay};
use common::{count, database, names, runtime, within};
use serde_json::json;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn an_event_is_sent_if_its_transaction_commits_and_never_if_not() {
    let Some((database, mut connection, _)) = database().await else { return };
    let outbox = Outbox::default();
    outbox.install(&connection).await.unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, outbox).start(&runtime);

    let mut transaction = connection.transaction().await.unwrap();
    emit(&mut transaction, "invoice.paid", &json!({"invoice": 1})).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = connection.transaction().await.unwrap();
    let first =
        emit(&mut transaction, "invoice.paid", &json!({"z": 1.0, "a": "ü\u{0}"})).await.unwrap();
    let options = OutboxOptions::new()
        .request_id("r-7")
        .key("customer-7")
        .trace(TraceContext::new(TRACEPARENT).unwrap().tracestate("a=b").unwrap());
    let second = emit_with(&mut transaction, "invoice.sent", &json!({}), options).await.unwrap();
    transaction.commit().await.unwrap();

    let events = collected.wait_for(2).await;
    assert_eq!(names(&events), ["invoice.paid", "invoice.sent"]);
    assert_eq!(events[0].payload, "{\"a\":\"ü\\u0000\",\"z\":1.0}");
    assert_eq!((&events[0].request_id, &events[1].request_id), (&first, &second));
    assert_eq!(second.as_str(), "r-7");
    assert_eq!(events[1].key.as_ref().unwrap().as_str(), "customer-7");
    let trace = events[1].trace.as_ref().unwrap();
    assert_eq!(
        (trace.traceparent.as_str(), trace.tracestate.as_deref()),
        (TRACEPARENT, Some("a=b"))
    );
    within(relay.wait_until(|status| status.marked == 2)).await;
    assert_eq!(count(&connection, "select count(*) from bugle_outbox").await, 0);
    relay.shutdown(Duration::from_secs(5)).await;
    assert_eq!(collected.count(), 2);
}

#[tokio::test]
async fn what_is_wrong_is_told_at_the_call_and_the_transaction_goes_on() {
    let Some((_, mut connection, _)) = database().await else { return };
    let mut transaction = connection.transaction().await.unwrap();
    let missing = emit(&mut transaction, "a.b", &json!({})).await.unwrap_err();
    assert!(matches!(&missing, OutboxError::NotInstalled(_)), "{missing}");
    drop(transaction);
    Outbox::default().install(&connection).await.unwrap();
    let mut transaction = connection.transaction().await.unwrap();
    assert!(matches!(emit(&mut transaction, "a b", &json!({})).await, Err(OutboxError::Id(_))));
    assert!(matches!(emit(&mut transaction, "a", &[1]).await, Err(OutboxError::Payload(_))));
    let dotted = OutboxOptions::new().request_id("a.b");
    assert!(matches!(
        emit_with(&mut transaction, "a", &json!({}), dotted).await,
        Err(OutboxError::Id(_))
    ));
    let small = Outbox::default().max_payload_bytes(10);
    let large = small.emit(&mut transaction, "a", &json!({"text": "0123456789"})).await;
    assert!(matches!(large, Err(OutboxError::TooLarge { limit: 10, .. })));
    emit(&mut transaction, "a", &json!({})).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(count(&connection, "select count(*) from bugle_outbox").await, 1);
}

#[tokio::test]
async fn plain_sql_is_enough_and_what_is_not_an_event_is_set_aside() {
    let Some((database, connection, _)) = database().await else { return };
    let outbox = Outbox::new("Out box").unwrap();
    outbox.install(&connection).await.unwrap();
    outbox.install(&connection).await.unwrap();
    connection
        .batch_execute(
            r#"insert into "Out box" (name, payload, traceparent) values
                 ('bad name', '{}', null), ('a', '[1]', null), ('a', '7', null), ('a', '{}', 'x'),
                 ('a', '  {"b" : 1,  "a":2}', null);
               insert into "Out box" (name, payload, id) values ('a', '{}', 'a.b');
               insert into "Out box" (name, payload, key) values ('a', '{}', '');"#,
        )
        .await
        .unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, outbox).start(&runtime);
    let events = collected.wait_for(1).await;
    assert_eq!(events[0].payload, r#"{"b" : 1,  "a":2}"#, "byte for byte");
    assert_eq!(events[0].request_id.as_str().len(), 36);
    within(relay.wait_until(|status| status.set_aside == 6)).await;
    let aside =
        r#"select count(*) from "Out box" where error is not null and processed_at is null"#;
    assert_eq!(count(&connection, aside).await, 6);
    // Put right, it is sent.
    connection
        .batch_execute(
            r#"update "Out box" set name = 'good', error = null where name = 'bad name'"#,
        )
        .await
        .unwrap();
    assert_eq!(names(&collected.wait_for(2).await[1..]), ["good"]);
    relay.shutdown(Duration::from_secs(5)).await;
    assert_eq!(collected.count(), 2);
}

#[tokio::test]
async fn rows_that_were_taken_can_be_kept_for_a_while() {
    let Some((database, connection, _)) = database().await else { return };
    let outbox = Outbox::default().processed(Processed::Keep(Duration::from_secs(3600)));
    outbox.install(&connection).await.unwrap();
    let insert = "insert into bugle_outbox (name, payload) values ('a', '{}')";
    connection.batch_execute(insert).await.unwrap();
    let (runtime, _collected) = runtime().await;
    let relay = Relay::builder(database, outbox).start(&runtime);
    within(relay.wait_until(|status| status.marked == 1)).await;
    let kept = "select count(*) from bugle_outbox where processed_at is not null";
    assert_eq!(count(&connection, kept).await, 1);
    relay.shutdown(Duration::from_secs(5)).await;
}

#[cfg(feature = "sqlx")]
#[tokio::test]
async fn a_transaction_of_sqlx_can_be_used_too() {
    let Some((database, connection, url)) = database().await else { return };
    let outbox = Outbox::default();
    outbox.install(&connection).await.unwrap();
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    emit(&mut transaction, "a", &json!({"rolled": "back"})).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let id = emit(&mut transaction, "a", &json!({"sent": true})).await.unwrap();
    transaction.commit().await.unwrap();
    let (runtime, collected) = runtime().await;
    let relay = Relay::builder(database, outbox).start(&runtime);
    let events = collected.wait_for(1).await;
    assert_eq!(
        (&events[0].request_id, &events[0].payload[..]),
        (&id, br#"{"sent":true}"#.as_slice())
    );
    relay.shutdown(Duration::from_secs(5)).await;
    pool.close().await;
}
