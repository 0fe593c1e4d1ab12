//! The ways to hear of what happens: a stream of events for those who watch, and the log.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::words::event::RuntimeEvent;
use crate::words::log::{self, Log};

/// The events of a runtime from the moment `watch` was called.
#[derive(Debug)]
pub struct Watch {
    receiver: broadcast::Receiver<RuntimeEvent>,
}

impl Watch {
    /// The next event; `None` when the runtime is gone. A watcher that falls behind by more than
    /// the runtime's `watch_capacity` gets a [`RuntimeEvent::Missed`] in place of what it missed.
    pub async fn next(&mut self) -> Option<RuntimeEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(events)) => {
                Some(RuntimeEvent::Missed { events })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Waits for the first event that fits, and returns it; `None` when the runtime is gone.
    pub async fn wait_for(
        &mut self,
        mut fits: impl FnMut(&RuntimeEvent) -> bool,
    ) -> Option<RuntimeEvent> {
        loop {
            let event = self.next().await?;
            if fits(&event) {
                return Some(event);
            }
        }
    }
}

/// Where events are told: to those who watch, and to the log. Costs two atomic loads when nobody
/// listens.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    sender: broadcast::Sender<RuntimeEvent>,
    log: Arc<Log>,
}

impl Teller {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity), log: Arc::default() }
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch { receiver: self.sender.subscribe() }
    }

    pub(crate) fn tell(&self, event: impl FnOnce() -> RuntimeEvent) {
        let is_watched = self.sender.receiver_count() > 0;
        if is_watched || log::is_on() {
            let event = event();
            self.log.write(&event);
            if is_watched {
                // Fails only when the last watcher left just now.
                let _ = self.sender.send(event);
            }
        }
    }

    /// Tells what the log says nothing of.
    pub(crate) fn tell_watchers(&self, event: impl FnOnce() -> RuntimeEvent) {
        if self.sender.receiver_count() > 0 {
            let _ = self.sender.send(event());
        }
    }
}
