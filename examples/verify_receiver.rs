//! The receiving side: an axum handler that verifies webhooks before it believes them, refuses
//! those that were tampered with or are old, and follows its sender through a change of keys.
//!
//! ```sh
//! cargo run -p bugle-examples --example verify_receiver
//! ```
//!
//! It prints:
//!
//! ```text
//! -- webhooks of a sender that signs
//! accepted {"invoice":1}
//! -- requests that anybody could send
//! refused: the header webhook-signature is missing; is the sender set up to sign?
//! the stranger is answered 401
//! refused: no signature fits; compare the secret with the sender's, …
//! the forger is answered 401
//! refused: the request was made … s ago, which is too old; …
//! the replayer is answered 401
//! -- the sender changes its key: for a while both sign
//! accepted {"invoice":2}
//! accepted {"invoice":3}
//! refused: no signature fits; compare the secret with the sender's, …
//! the holder of the old key is answered 401
//! -- a sender with a plain secret
//! accepted {"invoice":4}
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bugle::{EmitterConfig, Runtime, Secret, SignatureHeaders, Verifier};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The sender's keys, which may change while the service runs.
type Keys = watch::Receiver<Verifier>;

/// Takes a webhook. The body is verified as the bytes that came, and parsed only afterwards.
async fn receive(State(keys): State<Keys>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let verifier = keys.borrow().clone();
    if let Err(error) = verifier.verify(header, &body, Timestamp::now()) {
        println!("refused: {error}");
        return StatusCode::UNAUTHORIZED;
    }
    // Deliveries are at least once: remember each `webhook-id`, and skip one that came before.
    println!("accepted {}", String::from_utf8_lossy(&body));
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let old = Secret::generate()?;
    let (keys, current_keys) = watch::channel(Verifier::new([old.verifying_key()]));
    let app = Router::new().route("/hooks", post(receive)).with_state(current_keys);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    println!("-- webhooks of a sender that signs");
    let to = EmitterConfig::new(format!("http://{address}/hooks"))?.allow_private_destinations();
    let runtime = Runtime::builder().start().await?;
    runtime.attach("billing", "invoice.paid", to.clone().secret(old.clone())).await?;
    deliver(&runtime, 1).await?;

    println!("-- requests that anybody could send");
    let now = Timestamp::now();
    let genuine = Request::signed(&old, now, r#"{"invoice":1}"#);
    let unsigned = Request { signature: String::new(), ..genuine.clone() };
    println!("the stranger is answered {}", unsigned.send(address).await?);
    let tampered = Request { body: r#"{"invoice":9}"#, ..genuine };
    println!("the forger is answered {}", tampered.send(address).await?);
    let recorded = Request::signed(&old, now - SignedDuration::from_mins(10), r#"{"invoice":1}"#);
    println!("the replayer is answered {}", recorded.send(address).await?);

    println!("-- the sender changes its key: for a while both sign");
    let new = Secret::generate()?;
    let until = now + SignedDuration::from_hours(24);
    let both = to.clone().secret(new.clone()).secret(old.clone().expires_at(until));
    runtime.update("billing", both).await?;
    deliver(&runtime, 2).await?; // the receiver has the old key still
    keys.send(Verifier::new([new.verifying_key()]))?;
    deliver(&runtime, 3).await?; // now it has the new one
    let stolen = Request::signed(&old, now, r#"{"invoice":9}"#);
    println!("the holder of the old key is answered {}", stolen.send(address).await?);

    println!("-- a sender with a plain secret");
    // A plain signature does not say when a request was made: a recorded one can be sent again. Use
    // it only where the sender supports no other.
    let plain = Secret::plain("supersecret")?;
    keys.send(Verifier::new([plain.verifying_key()]))?;
    runtime.detach("billing").await?;
    runtime.attach("legacy", "invoice.paid", to.secret(plain)).await?;
    deliver(&runtime, 4).await?;

    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

async fn deliver(runtime: &Runtime, invoice: u64) -> Result<(), Box<dyn Error>> {
    runtime.emit("invoice.paid", &json!({ "invoice": invoice })).await?.settled().await;
    Ok(())
}

/// A request that is sent by hand.
#[derive(Clone)]
struct Request {
    timestamp: Timestamp,
    signature: String,
    body: &'static str,
}

impl Request {
    fn signed(secret: &Secret, timestamp: Timestamp, body: &'static str) -> Self {
        let secrets = std::slice::from_ref(secret);
        let signed = SignatureHeaders::sign(secrets, "msg-1", timestamp, body.as_bytes());
        Self { timestamp, signature: signed.standard.unwrap_or_default(), body }
    }

    /// Sends it, and returns the response's status.
    async fn send(&self, address: SocketAddr) -> Result<String, Box<dyn Error>> {
        let (body, timestamp) = (self.body, self.timestamp.as_second());
        let signature = match &*self.signature {
            "" => String::new(),
            signature => format!("webhook-signature: {signature}\r\n"),
        };
        let request = format!(
            "POST /hooks HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             webhook-id: msg-1\r\nwebhook-timestamp: {timestamp}\r\n{signature}\
             content-length: {}\r\n\r\n{body}",
            body.len(),
        );
        let mut tcp = TcpStream::connect(address).await?;
        tcp.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        tcp.read_to_string(&mut response).await?;
        Ok(response.split(' ').nth(1).unwrap_or("nothing").to_owned())
    }
}
