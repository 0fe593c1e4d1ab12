//! Bugle with one of its stores: so many emitters, each with an event name of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use bugle::{EmitterConfig, MemoryOptions, Runtime, Secret, SqliteOptions, Store};
use tokio::task::JoinSet;

use crate::payload::{BYTES, Filler};
use crate::receiver::Addresses;
use crate::throughput::Side;

/// A Standard Webhooks key.
const KEY: &str = "whsec_YnVnbGUtYmVuY2gga2V5IG9mIDMyIGJ5dGVzIC4uLi4=";

/// Emitters that are kept busy.
///
/// A producer emits to one after another, each event under the name of one emitter, and waits
/// where as many events wait as may: so no emitter is ever without work, and memory stays flat.
pub(crate) struct Lanes {
    pub(crate) runtime: Runtime,
    /// The emitters' event names, dealt out to the producers.
    names: Vec<Arc<[String]>>,
    filler: Arc<Filler>,
    producing: JoinSet<Result<()>>,
    stopping: Arc<AtomicBool>,
}

/// The emitters that are attached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) emitters: usize,
    pub(crate) tls: bool,
    pub(crate) signed: bool,
    /// The number of events that wait at each while it is kept busy.
    pub(crate) depth: usize,
    /// The number of tasks that emit.
    pub(crate) producers: usize,
}

/// The store of the events.
#[derive(Debug, Clone)]
pub(crate) enum Keeping {
    InMemory,
    /// In a directory: with as many settled events as are kept by default, or with room for a
    /// history of so many, from which nothing is deleted.
    OnDisk {
        directory: PathBuf,
        history: u64,
    },
}

impl Keeping {
    fn store(self, depth: usize) -> Result<Store> {
        // Block is what Overflow is by default: `emit` waits for room.
        Ok(match self {
            Self::InMemory => {
                Store::memory_with(MemoryOptions::new().max_events_per_subscription(depth))
            }
            Self::OnDisk { directory, history } => {
                let options = SqliteOptions::new().max_events_per_subscription(depth);
                // A history is kept whole while it is measured what it costs to have one: what is
                // deleted in the meantime is in the other cases.
                let kept = if history > 0 { 2 * history + 1_000_000 } else { 100_000 };
                Store::open_with(directory, options.settled_events(kept))?
            }
        })
    }
}

impl Lanes {
    /// Starts a runtime and attaches the emitters.
    pub(crate) async fn attach(to: &Addresses, shape: Shape, keeping: Keeping) -> Result<Self> {
        let runtime = Runtime::builder().store(keeping.store(shape.depth)?).start().await?;
        let config = Arc::new(config(to, shape)?);
        let names: Vec<String> = (0..shape.emitters).map(|it| format!("bench.{it}")).collect();
        for name in &names {
            runtime.attach(name, name, Arc::clone(&config)).await?;
        }
        let share = shape.emitters.div_ceil(shape.producers);
        Ok(Self {
            runtime,
            names: names.chunks(share).map(Arc::from).collect(),
            filler: Arc::new(Filler::new(BYTES)),
            producing: JoinSet::new(),
            stopping: Arc::default(),
        })
    }

    /// Waits until no event waits, and checks that all were delivered at the first attempt.
    pub(crate) async fn drain(&self) -> Result<()> {
        loop {
            let emitters = self.runtime.emitters();
            let failed = emitters
                .iter()
                .find(|it| it.failed_attempts_since_start + it.dropped_since_start > 0);
            if let Some(failed) = failed {
                bail!("emitter {} failed: {:?}", failed.id, failed.last_failure);
            }
            if emitters.iter().all(|it| it.depth == 0) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// All event names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> + Clone {
        self.names.iter().flat_map(|names| names.iter())
    }

    /// Stops the emitters.
    pub(crate) async fn shutdown(self) {
        self.runtime.shutdown(Duration::from_secs(1)).await;
    }
}

impl Side for Lanes {
    fn start(&mut self) {
        self.stopping.store(false, Ordering::Relaxed);
        for names in &self.names {
            let (runtime, names) = (self.runtime.clone(), Arc::clone(names));
            let (filler, stopping) = (Arc::clone(&self.filler), Arc::clone(&self.stopping));
            self.producing.spawn(async move {
                while !stopping.load(Ordering::Relaxed) {
                    for name in names.iter() {
                        runtime.emit(name, &filler.payload()).await?;
                    }
                }
                Ok(())
            });
        }
    }

    fn completed(&self) -> u64 {
        self.runtime.emitters().iter().map(|it| it.delivered_since_start).sum()
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopping.store(true, Ordering::Relaxed);
        while let Some(produced) = self.producing.join_next().await {
            produced??;
        }
        self.drain().await
    }
}

fn config(to: &Addresses, shape: Shape) -> Result<EmitterConfig> {
    let config = if shape.tls {
        let config = EmitterConfig::new(format!("https://{}/", to.tls))?;
        config.root_certificate(&to.certificate)
    } else {
        EmitterConfig::new(format!("http://{}/", to.plain))?
    };
    let config = config.allow_private_destinations();
    Ok(if shape.signed { config.secret(Secret::parse(KEY)?) } else { config })
}
