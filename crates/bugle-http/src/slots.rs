//! The cap on open connections over a whole transport.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The default greatest number of slots, however many descriptors the process may have.
const MOST_BY_DEFAULT: usize = 10_000;

/// The least number of the process's descriptors that connections leave to other uses; they leave a
/// quarter at least.
const LEFT_TO_OTHERS: u64 = 32;

/// A snapshot of a transport's connections: those that are open, the attempts that met its cap, and
/// the retries and shortages that cost no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// The open connections, the idle ones and those being made included.
    pub open: usize,
    /// The most connections that may be open.
    pub limit: usize,
    /// The attempts that wait for a slot now.
    pub waiting: usize,
    /// The number of attempts that met the cap, since the transport was made.
    pub waited: u64,
    /// The number of requests that were made again at once, uncounted, since the transport was
    /// made: they were surely not processed, or met a kept connection that brought no byte of an
    /// answer.
    pub made_again: u64,
    /// The number of attempts that ended in a shortage of this machine, uncounted, since the
    /// transport was made.
    pub shortages: u64,
}

/// A session's idle connections, as the cap sees them.
pub(crate) trait Keeper: Send + Sync {
    /// Closes one idle connection; false when there was none.
    fn give_up_one(&self) -> bool;
}

/// The slots of open connections. A delivery that finds none closes another emitter's idle
/// connection. When none is idle, it waits, and the next delivery that ends makes room.
pub(crate) struct Slots {
    places: Arc<Semaphore>,
    limit: usize,
    waiting: AtomicUsize,
    waited: AtomicU64,
    made_again: AtomicU64,
    shortages: AtomicU64,
    /// The sessions that may keep idle connections, to ask in turn.
    keepers: Mutex<Keepers>,
}

#[derive(Default)]
struct Keepers {
    all: Vec<Weak<dyn Keeper>>,
    /// The session to ask first, so that not always the same one loses its connection.
    next: usize,
    /// The length at which to remove sessions that are gone.
    sweep_at: usize,
    /// True when all were asked in vain since a delivery began to wait. No session keeps an idle
    /// connection while one waits, so asking again would be in vain.
    exhausted: bool,
}

/// The right to one open connection, for as long as it is held.
pub(crate) struct Slot {
    _place: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(limit)),
            limit,
            waiting: AtomicUsize::new(0),
            waited: AtomicU64::new(0),
            made_again: AtomicU64::new(0),
            shortages: AtomicU64::new(0),
            keepers: Mutex::default(),
        }
    }

    pub(crate) fn stats(&self) -> ConnectionStats {
        ConnectionStats {
            open: self.limit.saturating_sub(self.places.available_permits()),
            limit: self.limit,
            waiting: self.waiting.load(Ordering::Relaxed),
            waited: self.waited.load(Ordering::Relaxed),
            made_again: self.made_again.load(Ordering::Relaxed),
            shortages: self.shortages.load(Ordering::Relaxed),
        }
    }

    /// Counts a request that is made again, uncounted as an attempt.
    pub(crate) fn count_made_again(&self) {
        self.made_again.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an attempt that ended in a shortage.
    pub(crate) fn count_shortage(&self) {
        self.shortages.fetch_add(1, Ordering::Relaxed);
    }

    /// True while a delivery waits for a slot, so that an idle connection should be closed.
    pub(crate) fn wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Registers a session's idle connections, so that they can be closed when slots are short.
    pub(crate) fn register<K: Keeper + 'static>(&self, keeper: &Arc<K>) {
        let mut keepers = self.keepers.lock();
        if keepers.all.len() >= keepers.sweep_at {
            keepers.all.retain(|keeper| keeper.strong_count() > 0);
            keepers.sweep_at = (keepers.all.len() * 2).max(64);
        }
        let keeper: Weak<K> = Arc::downgrade(keeper);
        keepers.all.push(keeper);
    }

    /// Takes a slot, and waits for one no longer than this.
    pub(crate) async fn take(&self, patience: Duration) -> Option<Slot> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(Slot { _place: Some(place) });
        }
        self.waited.fetch_add(1, Ordering::Relaxed);
        let (_waiting, is_first) = Waiting::start(&self.waiting);
        // From here on `wanted` is true. Sessions read it under the lock that `give_up_one` takes:
        // a connection that was kept before is found here, and one that would be kept from now on
        // is closed by its session.
        {
            let mut keepers = self.keepers.lock();
            if is_first {
                keepers.exhausted = false;
            }
            if !keepers.exhausted {
                keepers.exhausted = !keepers.give_up_one();
            }
        }
        let place = timeout(patience, Arc::clone(&self.places).acquire_owned()).await.ok()?;
        Some(Slot { _place: place.ok() })
    }

    /// Closes an idle connection of any session; false when there is none.
    pub(crate) fn give_up_one(&self) -> bool {
        self.keepers.lock().give_up_one()
    }
}

impl Keepers {
    fn give_up_one(&mut self) -> bool {
        for _ in 0..self.all.len() {
            self.next = (self.next + 1) % self.all.len();
            if self.all[self.next].upgrade().is_some_and(|keeper| keeper.give_up_one()) {
                return true;
            }
        }
        false
    }
}

/// The default number of slots: as many as the process's limit on descriptors allows, without those
/// for its store and other uses, and 10,000 at most.
pub(crate) fn default_limit() -> usize {
    #[cfg(unix)]
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let descriptors = None;
    limit_for(descriptors)
}

fn limit_for(descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else { return MOST_BY_DEFAULT };
    let ours = descriptors.saturating_sub(LEFT_TO_OTHERS.max(descriptors / 4));
    usize::try_from(ours).unwrap_or(usize::MAX).clamp(1, MOST_BY_DEFAULT)
}

/// Counts a waiting delivery, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    /// Begins to wait; true when no other delivery waits.
    fn start(count: &'a AtomicUsize) -> (Self, bool) {
        let others = count.fetch_add(1, Ordering::Relaxed);
        (Self(count), others == 0)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_follows_the_limit_on_descriptors() {
        for (descriptors, expected) in [
            (None, 10_000),
            (Some(u64::MAX), 10_000),
            (Some(1_048_576), 10_000),
            (Some(13_332), 9_999),
            (Some(1024), 768),
            (Some(256), 192),
            (Some(64), 32),
            (Some(32), 1),
            (Some(1), 1),
            (Some(0), 1),
        ] {
            assert_eq!(limit_for(descriptors), expected, "{descriptors:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_not_awaited_for_ever() {
        let slots = Slots::new(1);
        let patience = Duration::from_secs(30);
        let slot = slots.take(patience).await;
        let start = tokio::time::Instant::now();
        assert!(slot.is_some() && slots.take(patience).await.is_none());
        assert_eq!(start.elapsed(), patience);
        assert_eq!((slots.stats().waiting, slots.stats().waited), (0, 1));
        drop(slot);
        assert!(slots.take(patience).await.is_some());
    }
}
