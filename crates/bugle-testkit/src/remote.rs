//! A store that behaves as one on other machines does.

mod journal;
mod line;
mod logs;
mod numbers;
mod reader;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    AttemptLog, Capabilities, DeadLetters, EmitterId, EmitterSpecs, EventLog, Journal,
    JournalError, JournalStats, Positions, Store, StoreInfo,
};

use journal::RemoteJournal;
use line::Line;
use logs::{RemoteAttempts, RemoteEvents, RemoteLetters, RemotePositions, RemoteSpecs};

/// A store that behaves as one on other machines does, before one that is here: its answers come
/// late, now and then it fails, it can be out of reach for a while, and an emitter can be another
/// owner's. Its sequence numbers have gaps, and an append whose caller stops waiting may have been
/// made. It loses nothing.
///
/// Clones are the same store: keep one to have it misbehave on cue.
///
/// ```
/// use std::sync::Arc;
/// use bugle_core::Store;
/// use bugle_testkit::RemoteStore;
///
/// fn far(store: Arc<dyn Store>) -> RemoteStore {
///     RemoteStore::before(store, 7).failing_one_in(20)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct RemoteStore {
    line: Arc<Line>,
}

impl RemoteStore {
    /// Makes a store before this one. Chance follows from the seed, as far as the order of the
    /// calls does.
    pub fn before(store: Arc<dyn Store>, seed: u64) -> Self {
        Self { line: Arc::new(Line::new(store, seed)) }
    }

    /// Sets the delay of answers, of about one in eight; the others are nearly there. Default: 1 to
    /// 3 milliseconds.
    #[must_use]
    pub fn late(self, delay: RangeInclusive<Duration>) -> Self {
        self.line.settings.lock().delay = delay;
        self
    }

    /// Has it fail for no reason once in so many calls; never with 0. Default: 24.
    #[must_use]
    pub fn failing_one_in(self, calls: u32) -> Self {
        self.line.settings.lock().failing_one_in = calls;
        self
    }

    /// Sets the time that a call waits for a store out of reach. Default: 20 milliseconds.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.line.settings.lock().timeout = timeout;
        self
    }

    /// Puts it out of reach. Changes that are handed to it are made once it is back.
    pub fn cut(&self) {
        self.line.reach.send_replace(false);
    }

    /// Brings it back.
    pub fn mend(&self) {
        self.line.mend();
    }

    /// Gives an emitter to another owner: its reader is fenced, and nobody here can open another.
    pub fn lose(&self, emitter: &EmitterId) {
        self.line.lose(emitter);
    }

    /// Has the other owner give the emitter back: it may be opened here again.
    pub fn give_back(&self, emitter: &EmitterId) {
        self.line.give_back(emitter);
    }
}

impl Store for RemoteStore {
    fn info(&self) -> StoreInfo {
        self.line.store.info().capabilities(Capabilities::none())
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(RemoteJournal::new(&self.line))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(RemoteLetters::new(&self.line))
    }

    fn positions(&self) -> Arc<dyn Positions> {
        Arc::new(RemotePositions::new(&self.line))
    }

    fn attempts(&self) -> Arc<dyn AttemptLog> {
        Arc::new(RemoteAttempts::new(&self.line))
    }

    fn events(&self) -> Option<Arc<dyn EventLog>> {
        RemoteEvents::new(&self.line).map(|events| Arc::new(events) as Arc<dyn EventLog>)
    }

    fn specs(&self) -> Option<Arc<dyn EmitterSpecs>> {
        RemoteSpecs::new(&self.line).map(|specs| Arc::new(specs) as Arc<dyn EmitterSpecs>)
    }

    fn stats(&self) -> JournalStats {
        self.line.store.stats()
    }

    fn trouble(&self) -> Option<JournalError> {
        self.line.store.trouble()
    }
}
