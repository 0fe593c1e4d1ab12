//! An axum and sqlx service with a transactional outbox: a payment and the event that announces it
//! are written in one transaction, so there is never one without the other.
//!
//! ```sh
//! docker run --rm -d -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres   # or one of yours
//! export DATABASE_URL=postgres://postgres@localhost:5432/postgres
//! cargo run -p bugle-examples --example axum_outbox
//! curl -X POST http://127.0.0.1:3000/invoices/7/pay   # in another terminal, and once more
//! ```
//!
//! It makes the tables `payment` and `bugle_outbox` in that database, and runs until Ctrl-C or
//! SIGTERM. Its arguments are the address to listen on and the directory of its store. After an
//! invoice was paid, refused a second time, and the program was stopped by a SIGTERM, it has
//! printed:
//!
//! ```text
//! listening on http://127.0.0.1:…
//! paid invoice 7, announced as …
//! the receiver got invoice.paid {"invoice":7}
//! invoice 7 is paid already: nothing is written, and nothing announced
//! stopped: 0 rows in the outbox, 0 events pending
//! ```

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use bugle::{EmitterConfig, Runtime, Secret, Store};
use bugle_postgres::{Database, Outbox, Relay, outbox};
use bugle_testkit::{Receiver, Reply};
use serde::Serialize;
use sqlx::PgPool;
use tokio::net::TcpListener;

#[derive(Serialize)]
struct InvoicePaid {
    invoice: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| {
        "set DATABASE_URL to a PostgreSQL's, as postgres://user:password@localhost:5432/database; \
         this program's first comment says how to get one"
    })?;
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let directory = arguments.next().unwrap_or_else(|| "./bugle-data".to_owned());

    // The customer's server.
    let receiver = Receiver::builder()
        .choose(|request| {
            let event = request.event().unwrap_or("nothing");
            println!("the receiver got {event} {}", String::from_utf8_lossy(&request.body));
            Reply::status(204)
        })
        .start()?;

    // A migration would do this: `Outbox::plan_install` shows the SQL.
    let database = Database::new(&url)?;
    let outbox = Outbox::default();
    outbox.install(&*database.connect().await?).await?;
    let pool = PgPool::connect(&url).await?;
    sqlx::query("create table if not exists payment (invoice bigint primary key)")
        .execute(&pool)
        .await?;

    // On disk, because a row leaves the outbox as soon as the journal has its event.
    let runtime = Runtime::builder().store(Store::open(directory)?).start().await?;
    let config = EmitterConfig::new(receiver.url("/hooks"))?
        .secret(Secret::generate()?)
        .allow_private_destinations();
    runtime.ensure("billing", ["invoice.paid"], config).await?;
    let relay = Relay::builder(database, outbox).start(&runtime);

    let app = Router::new().route("/invoices/{id}/pay", post(pay)).with_state(pool.clone());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(asked_to_stop()).await?;

    // Nobody writes to the outbox any more. Rows that are left would be sent after the next start.
    relay.shutdown(Duration::from_secs(5)).await;
    let report = runtime.shutdown(Duration::from_secs(10)).await;
    let rows: i64 =
        sqlx::query_scalar("select count(*) from bugle_outbox").fetch_one(&pool).await?;
    println!("stopped: {rows} rows in the outbox, {} events pending", report.pending());
    Ok(())
}

/// Pays an invoice and announces it, both or neither.
async fn pay(
    State(pool): State<PgPool>,
    Path(invoice): Path<i64>,
) -> Result<StatusCode, (StatusCode, String)> {
    let mut transaction = pool.begin().await.map_err(unavailable)?;
    let request_id = outbox::emit(&mut transaction, "invoice.paid", &InvoicePaid { invoice })
        .await
        .map_err(unavailable)?;
    let paid = sqlx::query("insert into payment values ($1) on conflict do nothing")
        .bind(invoice)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    if paid.rows_affected() == 0 {
        // The transaction ends without a commit, so the event is not written either.
        println!("invoice {invoice} is paid already: nothing is written, and nothing announced");
        return Err((StatusCode::CONFLICT, "it is paid already\n".to_owned()));
    }
    // Printed before the commit, because after it the receiver may have the event at any moment.
    println!("paid invoice {invoice}, announced as {request_id}");
    transaction.commit().await.map_err(unavailable)?;
    Ok(StatusCode::ACCEPTED)
}

fn unavailable(error: impl Error) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
}

/// Waits for Ctrl-C, or for the SIGTERM of a service manager.
async fn asked_to_stop() {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<Option<()>>();

    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}
