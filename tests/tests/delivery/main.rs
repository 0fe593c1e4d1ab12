//! The requests that a receiver gets, word by word, over real connections.

mod connections;
mod installed;
mod lives;
mod request;
mod servers;
mod signatures;
#[path = "../support/mod.rs"]
mod support;

use bugle::{
    EmitterConfig, Fate, HttpTransport, Receipt, Runtime, Verifier, VerifyError, VerifyingKey,
};
use bugle_testkit::{Received, Receiver};
use jiff::Timestamp;

const PLAIN: &str = "a plain secret";

const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn runtime() -> Runtime {
    support::runtime(HttpTransport::default()).await
}

fn config(receiver: &Receiver) -> EmitterConfig {
    receiver.emitter_config("/hooks").unwrap().retry(support::quick())
}

async fn delivered(receipt: &Receipt) {
    let fates = support::fates(receipt).await;
    assert!(!fates.is_empty());
    assert!(fates.iter().all(|(_, fate)| *fate == Some(Fate::Delivered)), "{fates:?}");
}

fn verify(request: &Received, keys: &[VerifyingKey]) -> Result<(), VerifyError> {
    let header = |name: &str| request.header(name);
    Verifier::new(keys.iter().cloned()).verify(header, &request.body, Timestamp::now())
}

fn header_names(request: &Received) -> Vec<&str> {
    let mut names: Vec<&str> = request.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}
