//! An axum service that embeds the runtime, and shuts down gracefully: first it takes no more HTTP
//! requests, then no more events, then deliveries in flight finish, then it reports.
//!
//! ```sh
//! cargo run -p bugle-examples --example axum_service
//! curl -X POST http://127.0.0.1:3000/invoices/7/pay   # in another terminal
//! ```
//!
//! It runs until Ctrl-C or SIGTERM. Give another address to listen on as its argument. After one
//! payment and a SIGTERM it has printed:
//!
//! ```text
//! listening on http://127.0.0.1:…
//! the receiver got invoice.paid {"invoice":7}
//! stopping: no more HTTP requests are taken
//! stopping: no more events are accepted
//! stopped: billing left 0 events pending, 0 attempts aborted
//! ```

use std::error::Error;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use bugle::{EmitterConfig, EmitterDescription, Runtime, Secret};
use bugle_testkit::{Receiver, Reply};
use serde::Serialize;
use tokio::net::TcpListener;

#[derive(Serialize)]
struct InvoicePaid {
    invoice: u64,
}

/// The answer to a payment: the request id of the event that announced it.
#[derive(Serialize)]
struct Accepted {
    request_id: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The customer's server. It is slow to answer, so a delivery is in flight when the service is
    // stopped right after a payment.
    let receiver = Receiver::builder()
        .choose(|request| {
            let event = request.event().unwrap_or("nothing");
            println!("the receiver got {event} {}", String::from_utf8_lossy(&request.body));
            Reply::status(204).after(Duration::from_millis(300))
        })
        .start()?;

    let runtime = Runtime::builder().start().await?;
    let config = EmitterConfig::new(receiver.url("/hooks"))?
        .secret(Secret::generate()?)
        .allow_private_destinations();
    runtime.attach("billing", "invoice.paid", config).await?;

    // The runtime is a handle: its clones are the same runtime.
    let app = Router::new()
        .route("/invoices/{id}/pay", post(pay))
        .route("/emitters", get(emitters))
        .with_state(runtime.clone());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(asked_to_stop()).await?;

    // Every HTTP request has been answered, so nobody emits any more: now the runtime shuts down.
    println!("stopping: no more events are accepted");
    let report = runtime.shutdown(Duration::from_secs(10)).await;
    for left in &report.emitters {
        let (id, pending, aborted) = (&left.id, left.pending, left.aborted);
        println!("stopped: {id} left {pending} events pending, {aborted} attempts aborted");
    }
    if report.is_clean() { Ok(()) } else { Err("not everything was delivered".into()) }
}

/// Pays an invoice, and announces it.
async fn pay(
    State(runtime): State<Runtime>,
    Path(invoice): Path<u64>,
) -> Result<(StatusCode, Json<Accepted>), (StatusCode, String)> {
    // … here the payment itself is made …
    let receipt = runtime
        .emit("invoice.paid", &InvoicePaid { invoice })
        .await
        .map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let request_id = receipt.request_id().to_string();
    Ok((StatusCode::ACCEPTED, Json(Accepted { request_id })))
}

/// Answers with the state of all emitters.
async fn emitters(State(runtime): State<Runtime>) -> Json<Vec<EmitterDescription>> {
    Json(runtime.emitters())
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
    println!("stopping: no more HTTP requests are taken");
}
