//! Starts the service.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bugle::{
    BoxFuture, Bytes, Date, EmitterConfig, Event, EventNames, HandlerConfig, HttpTransport, IpNet,
    RateLimit, Resolve, Runtime, Secret, Timestamp, Url,
};

/// The network that this service may deliver to.
pub fn our_network() -> Result<IpNet, Box<dyn Error>> {
    Ok("10.1.0.0/16".parse()?)
}

/// A resolver that knows one name.
#[derive(Debug)]
struct OneName;

impl Resolve for OneName {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            match host {
                "hooks.internal" => Ok(vec![IpAddr::from([10, 1, 0, 7])]),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        })
    }
}

fn hooks(path: &str) -> Result<EmitterConfig, Box<dyn Error>> {
    let mut url: Url = "http://hooks.internal/".parse()?;
    url.set_path(path);
    let mut config = EmitterConfig::new(&url)?
        .allow_destinations([our_network()?])
        .rate_limit(RateLimit::per_second(50).burst(10));
    config.url = url;
    Ok(config)
}

async fn ensure(
    runtime: &Runtime,
    id: &str,
    events: impl EventNames,
    keys: Vec<Secret>,
) -> Result<(), Box<dyn Error>> {
    Ok(runtime.ensure(id, events, hooks(id)?.secrets(keys)?).await?)
}

/// Starts the runtime, and ensures its emitters.
///
/// # Errors
/// An error of any part of it, which says what to do.
pub async fn boot(key: &str, expires: Timestamp, since: Date) -> Result<Runtime, Box<dyn Error>> {
    let transport = HttpTransport::builder().resolver(OneName).build();
    let runtime = Runtime::builder().transport(transport).start().await?;
    let keys = || Ok::<_, bugle::SecretError>(vec![Secret::parse(key)?.expires_at(expires)]);
    ensure(&runtime, "billing", "invoice.paid", keys()?).await?;
    ensure(&runtime, "crm", ["contact.created", "contact.updated"], keys()?).await?;
    ensure(&runtime, "audit", "member.*", keys()?).await?;

    let print = |event: Arc<Event>| async move { show(&event.name, event.payload.clone()) };
    runtime
        .ensure_handler("print", vec!["invoice.>".to_owned()], print, HandlerConfig::new())
        .await?;
    let again = runtime.replay_since("billing", since).dry_run().await?;
    println!("{} events were given up on", again.found);
    Ok(runtime)
}

fn show(name: &bugle::EventName, payload: Bytes) {
    println!("{name}: {} bytes", payload.len());
}
