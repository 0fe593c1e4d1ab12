//! Measures emitters that have nothing to do: the memory that they hold, and the time to attach and
//! stop them; and the time that as many empty actors take.
//!
//! An idle emitter holds these, in bytes, as `valgrind --tool=dhat` counts them with the system's
//! allocator (the difference between 3,000 emitters and 1,000). mimalloc rounds them up, the first
//! to 3,072; what grows with the number of emitters, as the tables of the supervisor and of the
//! names, comes to it.
//!
//! | bytes | what | an empty actor's too |
//! | --- | --- | --- |
//! | 2,592 | ractor's channel of supervision events: the first block, of 32 | yes |
//! | 800 | ractor's channel of messages: the first block, of 32 | yes |
//! | 768 | tokio's task | yes |
//! | 768 | ractor's loop, a future in a box | 752 |
//! | 2 × 512 | the two channels themselves | yes |
//! | 448 | the configuration, which the caller brings | |
//! | 336 | the spec, which outlives the actor | |
//! | 264 | ractor's properties of an actor | yes |
//! | 80 + 64 | ractor's channels of one message: stop, kill | yes |
//! | 112 | the life, in a box beside the supervisor's table | |
//! | 72 + 64 | the place in the journal, and its reader | |
//! | 32 + 24 | the id, and the names that are wanted | |
//! | 38 | the URL's text, and other texts | |
//!
//! So 6,344 of some 7,510 bytes are ractor's and tokio's for an actor of its own, and 448 are the
//! caller's. Attaching makes some 20 allocations more, which are gone when it is done: messages to
//! the supervisor and back, and the checks of the configuration by the transport.
//!
//! Attaching costs these instructions, as `valgrind --tool=callgrind` counts them (4,000 emitters,
//! before the life was one type; an empty actor takes 11,260 to start and stop):
//!
//! | instructions | what |
//! | --- | --- |
//! | 3,200 | the configuration is checked, nearly all of it by the transport |
//! | 1,250 | the id and the subscription are checked and made |
//! | 3,600 | ractor makes the actor |
//! | 900 | ractor links it to its supervisor |
//! | 1,400 | the store opens a place |
//! | 1,200 + 760 | it is entered among the specs, and in the index of names |
//!
//! Beside that stand two turns of the supervisor's loop, for the call and for ractor's word that
//! the actor started, and one of the caller's. All for which no table of ours is to blame (the
//! actor, its link, the turns, the checks) is by estimate twice an empty actor's start already,
//! which was not counted apart from its stop. A call that brings many emitters at once would save
//! the turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bugle::{EmitterConfig, Runtime};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::stats::{float, millis, resident};

/// The number of event names that the emitters share: a service has a few kinds of events, and many
/// emitters that want them.
const NAMES: usize = 100;

/// The longest time that stopping takes.
const GRACE: Duration = Duration::from_secs(60);

/// The result.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Footprint {
    /// Milliseconds to make all of them, one after another.
    pub(crate) start_ms: f64,
    pub(crate) stop_ms: f64,
    /// Bytes of resident memory of each.
    pub(crate) bytes_each: f64,
}

/// Attaches emitters, each with a configuration of its own.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn emitters(count: usize) -> Result<Footprint> {
    let runtime = Runtime::builder().start().await?;
    let memory = resident()?;
    // The configuration counts as memory, but making it is not attaching.
    let mut brought = Vec::with_capacity(count);
    for number in 0..count {
        let config = EmitterConfig::new(format!("https://hooks.example.com/{number}"))?;
        let name = format!("bench.{}", number % NAMES);
        brought.push((format!("emitter-{number}"), name, Arc::new(config)));
    }
    let start = Instant::now();
    for (id, name, config) in brought {
        runtime.attach(id, name, config).await?;
    }
    let (started, memory) = (start.elapsed(), resident()?.saturating_sub(memory));
    let start = Instant::now();
    runtime.shutdown(GRACE).await;
    Ok(footprint(count, memory, started, start.elapsed()))
}

/// Spawns actors that do nothing, and waits until each runs, as attaching does.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn actors(count: usize) -> Result<Footprint> {
    let mut actors = Vec::with_capacity(count);
    let started = Arc::new(Started { expected: count, ..Started::default() });
    let (memory, start) = (resident()?, Instant::now());
    for _ in 0..count {
        actors.push(Empty::spawn(None, Empty(Arc::clone(&started)), ()).await?);
    }
    if count > 0 {
        started.all.notified().await;
    }
    let (started, memory) = (start.elapsed(), resident()?.saturating_sub(memory));
    let start = Instant::now();
    for (actor, _) in &actors {
        actor.stop(None);
    }
    for (_, handle) in actors {
        handle.await?;
    }
    Ok(footprint(count, memory, started, start.elapsed()))
}

fn footprint(count: usize, memory: u64, started: Duration, stopped: Duration) -> Footprint {
    Footprint {
        start_ms: millis(started),
        stop_ms: millis(stopped),
        bytes_each: float(memory) / float(count.max(1) as u64),
    }
}

/// Counts the actors that run, and notifies when all do.
#[derive(Debug, Default)]
struct Started {
    expected: usize,
    count: AtomicUsize,
    all: Notify,
}

struct Empty(Arc<Started>);

impl Actor for Empty {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn post_start(&self, _: ActorRef<()>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        if self.0.count.fetch_add(1, Ordering::Relaxed) + 1 == self.0.expected {
            self.0.all.notify_one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emitters_and_actors_are_started_and_stopped() {
        for found in [emitters(20).unwrap(), actors(20).unwrap(), actors(0).unwrap()] {
            assert!(found.start_ms > 0.0 && found.stop_ms > 0.0, "{found:?}");
        }
    }
}
