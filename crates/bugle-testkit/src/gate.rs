//! Holding answers back until a test lets them go.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds answers back until it is dropped. Made by [`Receiver::hold`](crate::Receiver::hold) and
/// [`ScriptedTransport::hold`](crate::ScriptedTransport::hold).
#[derive(Debug)]
#[must_use = "a gate opens when it is dropped"]
pub struct Gate {
    gates: Arc<Gates>,
}

impl Gate {
    /// Lets the answers go.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.gates.closed.send_modify(|closed| *closed -= 1);
    }
}

/// The number of closed gates.
#[derive(Debug)]
pub(crate) struct Gates {
    closed: watch::Sender<usize>,
}

impl Gates {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { closed: watch::Sender::new(0) })
    }

    pub(crate) fn close_one(self: &Arc<Self>) -> Gate {
        self.closed.send_modify(|closed| *closed += 1);
        Gate { gates: Arc::clone(self) }
    }

    /// Waits until no gate is closed.
    pub(crate) async fn all_open(&self) {
        if *self.closed.borrow() > 0 {
            // The sender lives as long as this.
            let _ = self.closed.subscribe().wait_for(|closed| *closed == 0).await;
        }
    }
}
