//! A doorbell wakes an emitter: at most one wake at a time, whatever the number of events.
//!
//! A producer appends, and rings. The courier, before it parks, says that it listens and then looks
//! into the journal once more: an event appended before that look is found, one appended after it
//! rings a bell that is listened to.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// No courier: a ring must ask the actor to start one.
const NOBODY: u8 = 0;
/// The courier has looked, or is about to look once more, and parks.
const LISTENING: u8 = 1;
/// Awake, or about to be: another ring changes nothing.
const RUNG: u8 = 2;

#[derive(Debug)]
pub(crate) struct Doorbell {
    state: AtomicU8,
    bell: Notify,
}

impl Doorbell {
    /// An emitter that isn't started: rings are not heard.
    pub(crate) fn new() -> Self {
        Self { state: AtomicU8::new(RUNG), bell: Notify::new() }
    }

    /// Rings. True when there is no courier, and the caller must ask the actor for one.
    #[must_use]
    pub(crate) fn ring(&self) -> bool {
        if self.state.load(Ordering::SeqCst) == RUNG {
            return false;
        }
        match self.state.swap(RUNG, Ordering::SeqCst) {
            NOBODY => true,
            LISTENING => {
                self.bell.notify_one();
                false
            }
            _ => false,
        }
    }

    /// The emitter has no courier: the next ring asks for one.
    pub(crate) fn nobody(&self) {
        self.state.store(NOBODY, Ordering::SeqCst);
    }

    /// Called by the courier before its last look.
    pub(crate) fn listen(&self) {
        self.state.store(LISTENING, Ordering::SeqCst);
    }

    /// Called by the courier when it is at work again.
    pub(crate) fn busy(&self) {
        self.state.store(RUNG, Ordering::SeqCst);
    }

    /// Called by the courier when it gives up. False when it was rung meanwhile and must go on.
    pub(crate) fn leave(&self) -> bool {
        self.state.compare_exchange(LISTENING, NOBODY, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Makes the courier look up from its wait, for another reason than an event.
    pub(crate) fn nudge(&self) {
        self.bell.notify_one();
    }

    /// Waits for a ring or a nudge.
    pub(crate) async fn heard(&self) {
        self.bell.notified().await;
    }
}
