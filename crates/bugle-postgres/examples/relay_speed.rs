//! Measures a relay beside a bare loop over the same table that marks rows and throws them away:
//! `UPDATE … RETURNING`, as many rows at once as the relay takes.
//!
//! ```sh
//! cargo run --release -p bugle-postgres --example relay_speed -- 1000000
//! ```
//!
//! It starts a PostgreSQL of its own from the installed binaries, with `fsync` on as a server in
//! use has it, in a temporary directory. Give `--updates` to measure updates, whose events have the
//! previous data too.

#![allow(clippy::print_stdout, reason = "a program that reports")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bugle::{HandlerConfig, HandlerError, Runtime, Store};
use bugle_postgres::{AuditTable, Connection, Database, Relay};
use bugle_testkit::Postgres;

const BATCH: i64 = 1_000;

const BARE: &str = "update bugle_audit set event_processed_at = clock_timestamp()
    where id in (select id from bugle_audit where event_processed_at is null
                 order by position limit $1)
    returning id, table_name, op, data::text, identity_id, trace_id, created_at";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows = arguments.iter().find_map(|text| text.parse().ok()).unwrap_or(1_000_000_i64);
    let updates = arguments.iter().any(|text| text == "--updates");
    let server = Postgres::start_with_syncs()?;
    let url = server.create_database()?;
    let database = Database::new(&url)?;
    let connection = database.connect().await?;
    fill(&connection, rows, updates).await?;

    let fsync: String = connection.query_one("show fsync", &[]).await?.get(0);
    println!("{rows} rows, PostgreSQL with fsync {fsync}");
    let bare = bare(&connection, rows).await?;
    println!("bare UPDATE … RETURNING  {:>9.0} rows/s", rows as f64 / bare.as_secs_f64());
    let directory = std::env::temp_dir().join(format!("bugle-relay-speed-{}", std::process::id()));
    for (name, store) in [("memory", Store::memory()), ("on disk", Store::open(&directory)?)] {
        reset(&connection).await?;
        let before = resident_kib();
        let (relayed, most) = relay(&database, store, rows).await?;
        println!(
            "relay, store {name:<11} {:>9.0} rows/s  {:.2} of bare  memory {} MiB, at most {} MiB",
            rows as f64 / relayed.as_secs_f64(),
            bare.as_secs_f64() / relayed.as_secs_f64(),
            before / 1024,
            most / 1024
        );
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

async fn fill(connection: &Connection, rows: i64, updates: bool) -> Result<(), Box<dyn Error>> {
    connection
        .batch_execute(
            "create table member (id bigint primary key, first_name text, last_name text,
               email text, visits int, joined_at timestamptz)",
        )
        .await?;
    AuditTable::default().install(connection, ["member"]).await?;
    let insert = format!(
        "insert into member select n, 'Ada' || n, 'Lovelace', 'ada' || n || '@example.com', 0, now()
         from generate_series(1, {rows}) n"
    );
    connection.batch_execute(&insert).await?;
    if updates {
        connection
            .batch_execute(
                "update bugle_audit set event_processed_at = now();
                 update member set visits = visits + 1",
            )
            .await?;
    }
    connection.batch_execute("vacuum analyze bugle_audit").await?;
    Ok(())
}

/// Makes the rows of the last statement new again, as in a table that was filled just now.
async fn reset(connection: &Connection) -> Result<(), Box<dyn Error>> {
    connection
        .batch_execute(
            "update bugle_audit set event_processed_at = null
             where op = (select op from bugle_audit order by position desc limit 1)",
        )
        .await?;
    connection.batch_execute("vacuum full analyze bugle_audit").await?;
    connection.batch_execute("checkpoint").await?;
    Ok(())
}

async fn bare(connection: &Connection, rows: i64) -> Result<Duration, Box<dyn Error>> {
    reset(connection).await?;
    let statement = connection.prepare(BARE).await?;
    let start = Instant::now();
    let mut taken = 0;
    while taken < rows {
        taken += i64::try_from(connection.query(&statement, &[&BATCH]).await?.len())?;
    }
    Ok(start.elapsed())
}

async fn relay(
    database: &Database,
    store: Store,
    rows: i64,
) -> Result<(Duration, u64), Box<dyn Error>> {
    let runtime = Runtime::builder().store(store).start().await?;
    let handled = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&handled);
    let count = move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Ok::<(), HandlerError>(()) }
    };
    runtime.attach_handler("count", [">"], count, HandlerConfig::default()).await?;
    let rows = u64::try_from(rows)?;
    let start = Instant::now();
    let relay = Relay::builder(database.clone(), AuditTable::default())
        .batch(usize::try_from(BATCH)?)
        .start(&runtime);
    let mut most = 0;
    let done = relay.wait_until(|status| status.marked >= rows);
    let mut done = std::pin::pin!(done);
    let elapsed = loop {
        most = most.max(resident_kib());
        tokio::select! {
            _ = &mut done => break start.elapsed(),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    };
    relay.shutdown(Duration::from_secs(10)).await;
    runtime.shutdown(Duration::from_secs(60)).await;
    Ok((elapsed, most))
}

/// The resident memory of this process, in KiB; zero where the system does not tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or_default()
}
