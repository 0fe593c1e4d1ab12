//! The cap on open connections over a whole transport.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::kept::Kept;

/// How many connections a transport has open, and how often its cap was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Open now, the idle ones and those being made included.
    pub open: usize,
    /// The most that may be open.
    pub limit: usize,
    /// Attempts that wait for a place now.
    pub waiting: usize,
    /// How many attempts found the cap reached, since the transport was made.
    pub waited: u64,
}

/// Places for open connections. Who finds none takes one from an emitter whose connection is
/// idle; when none is idle, it waits, and the next delivery that ends makes room.
pub(crate) struct Slots {
    places: Arc<Semaphore>,
    limit: usize,
    waiting: AtomicUsize,
    waited: AtomicU64,
    /// The sessions that may keep idle connections, to ask in turn.
    keepers: Mutex<Keepers>,
}

#[derive(Default)]
struct Keepers {
    all: Vec<Weak<Kept>>,
    /// Whom to ask first, so that not always the same one loses its connection.
    next: usize,
    /// At how many to look for sessions that are gone.
    sweep_at: usize,
    /// Whether all were asked in vain since somebody began to wait. Nobody keeps an idle
    /// connection while somebody waits, so it would be in vain again.
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
            keepers: Mutex::default(),
        }
    }

    pub(crate) fn stats(&self) -> ConnectionStats {
        ConnectionStats {
            open: self.limit.saturating_sub(self.places.available_permits()),
            limit: self.limit,
            waiting: self.waiting.load(Ordering::Relaxed),
            waited: self.waited.load(Ordering::Relaxed),
        }
    }

    /// Whether somebody waits for a place, so that an idle connection should rather be closed.
    pub(crate) fn wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Makes a session's idle connections known, so that they can be taken when places are short.
    pub(crate) fn register(&self, kept: &Arc<Kept>) {
        let mut keepers = self.keepers.lock();
        if keepers.all.len() >= keepers.sweep_at {
            keepers.all.retain(|keeper| keeper.strong_count() > 0);
            keepers.sweep_at = (keepers.all.len() * 2).max(64);
        }
        keepers.all.push(Arc::downgrade(kept));
    }

    /// A place, awaited when there is none.
    pub(crate) async fn take(&self) -> Slot {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Slot { _place: Some(place) };
        }
        self.waited.fetch_add(1, Ordering::Relaxed);
        let (_waiting, is_first) = Waiting::start(&self.waiting);
        // From here on `wanted` is true. Sessions look at it under the same lock that
        // `give_up_one` takes: what one kept before is found here, and what another would keep
        // from now on it closes itself.
        self.close_an_idle_one(is_first);
        Slot { _place: Arc::clone(&self.places).acquire_owned().await.ok() }
    }

    fn close_an_idle_one(&self, is_first: bool) {
        let mut keepers = self.keepers.lock();
        let Keepers { all, next, exhausted, .. } = &mut *keepers;
        if is_first {
            *exhausted = false;
        }
        if *exhausted {
            return;
        }
        for _ in 0..all.len() {
            *next = (*next + 1) % all.len();
            if all[*next].upgrade().is_some_and(|kept| kept.give_up_one()) {
                return;
            }
        }
        *exhausted = true;
    }
}

/// Counts who waits, also when the wait is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    /// Begins to wait, and says whether nobody else does.
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
