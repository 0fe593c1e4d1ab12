//! The word that something was settled, for those who wait for an event's fate.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Those who wait look again untold after this time: a store tells nobody of what it drops to make
/// room.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Tells those who wait that something was settled. Costs an atomic load while nobody waits.
#[derive(Debug, Default)]
pub(crate) struct Settlements {
    waiting: AtomicU32,
    notify: Notify,
}

impl Settlements {
    pub(crate) fn tell(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.notify.notify_waiters();
        }
    }

    /// Waits until `done` answers, looking again after each settling, and now and then.
    pub(crate) async fn wait<T, F>(&self, mut done: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        if let Some(value) = done().await {
            return value;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _listed = Listed(&self.waiting);
        loop {
            let mut told = std::pin::pin!(self.notify.notified());
            // Enlisted before the look, so that nothing falls between look and wait.
            told.as_mut().enable();
            if let Some(value) = done().await {
                return value;
            }
            // Late is fine: it only means to look again.
            let _ = tokio::time::timeout(LOOK_AGAIN, told).await;
        }
    }
}

/// Somebody who waits, counted until then.
struct Listed<'a>(&'a AtomicU32);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
