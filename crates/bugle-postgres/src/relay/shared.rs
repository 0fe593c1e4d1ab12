//! The state of a relay that outlives its sessions.

use parking_lot::Mutex;
use tokio::sync::watch;

use super::entry::Place;
use super::settings::RelayBuilder;
use super::status::RelayStatus;

/// The state of a relay that outlives its sessions.
pub(super) struct Shared {
    pub(super) settings: RelayBuilder,
    pub(super) memory: Mutex<Memory>,
    status: watch::Sender<RelayStatus>,
    stop: watch::Sender<bool>,
    /// The reason with which the next session is to panic, for tests.
    crash: watch::Sender<Option<String>>,
}

/// The rows whose fate the database does not know yet.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Rows that are in the journal, and not known to be marked.
    pub(super) unmarked: Vec<Place>,
    /// Rows that can't be events, where the table has no column to say so.
    pub(super) aside: Vec<Place>,
    /// True when the last session led.
    pub(super) led: bool,
    /// True once the journal was asked for the rows that an earlier process left.
    pub(super) resumed: bool,
}

impl Shared {
    pub(super) fn new(settings: RelayBuilder) -> Self {
        Self {
            settings,
            memory: Mutex::default(),
            status: watch::Sender::default(),
            stop: watch::Sender::new(false),
            crash: watch::Sender::new(None),
        }
    }

    /// Changes the status, and notifies its watchers.
    pub(super) fn tell(&self, change: impl FnOnce(&mut RelayStatus)) {
        self.status.send_modify(change);
    }

    pub(super) fn status(&self) -> RelayStatus {
        self.status.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<RelayStatus> {
        self.status.subscribe()
    }

    /// Notes that these rows are in the journal.
    pub(super) fn emitted(&self, places: Vec<Place>) {
        let count = places.len() as u64;
        self.memory.lock().unmarked.extend(places);
        self.tell(|status| status.relayed += count);
    }

    /// Notes that the first so many of the emitted rows are marked.
    pub(super) fn marked(&self, count: usize) {
        if count > 0 {
            self.memory.lock().unmarked.drain(..count);
            self.tell(|status| status.marked += count as u64);
        }
    }

    /// Logs warnings about the table, each once for as long as it holds.
    pub(super) fn warn(&self, warnings: &[String]) {
        let told = self.status().warnings;
        for warning in warnings.iter().filter(|warning| !told.contains(warning)) {
            tracing::warn!("{warning}");
        }
        if told != warnings {
            self.tell(|status| status.warnings = warnings.to_vec());
        }
    }

    /// Tells the relay to stop.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until the relay is to stop.
    pub(super) async fn stopping(&self) {
        // The sender is in `self`.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Tells the next session to panic.
    pub(super) fn crash(&self, reason: String) {
        self.crash.send_replace(Some(reason));
    }

    /// Panics if it was told to, once.
    pub(super) fn crash_if_told(&self) {
        if self.crash.borrow().is_some()
            && let Some(reason) = self.crash.send_replace(None)
        {
            std::panic::resume_unwind(Box::new(reason));
        }
    }

    /// Waits until it is told to panic.
    pub(super) async fn told_to_crash(&self) {
        let _ = self.crash.subscribe().wait_for(Option::is_some).await;
    }
}
