//! What waits for the database's thread.

use std::time::{Duration, Instant};

use bugle_core::{EmitterId, NewAttempt};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::note::Noted;
use super::settle_log::SettleLog;
use super::work::Work;

/// Attempts that may wait. Further ones are lost, and counted: no delivery waits for the log.
const MAX_ATTEMPTS: usize = 100_000;

/// Says how long attempts wait for a transaction to go with.
const ATTEMPTS_WAIT: Duration = Duration::from_millis(25);

/// Says how long what was settled and noted waits until the places are written.
const SETTLED_WAITS: Duration = Duration::from_millis(50);

/// Says how long what is in the log waits until it is in the index.
const INDEX_WAITS: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Waiting {
    work: Work,
    /// Tells whether somebody waits for some of it.
    urgent: bool,
    /// Until when the rest can wait: attempts, what was settled, and the index.
    attempts_until: Option<Instant>,
    settled_until: Option<Instant>,
    index_until: Option<Instant>,
    settled: SettleLog,
    lost_attempts: u64,
    closed: bool,
}

impl Waiting {
    /// Until when what nobody waits for can wait.
    fn until(&self) -> Option<Instant> {
        let all = [self.attempts_until, self.settled_until, self.index_until];
        all.into_iter().flatten().min()
    }

    /// All that waits; where everybody has moved to only if it is time for that.
    fn take(&mut self) -> Work {
        let mut work = std::mem::take(&mut self.work);
        self.urgent = false;
        self.attempts_until = None;
        self.index_until = None;
        let due = self.settled_until.is_some_and(|until| until <= Instant::now());
        if due || self.closed || !work.synced.is_empty() || self.settled.is_crowded() {
            self.settled_until = None;
            for emitter in self.settled.begin() {
                work.mark(&emitter, false);
            }
            work.settled = true;
        }
        work
    }
}

/// What waits for the database's thread. Its lock is taken under the backlog's, where both are.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

impl Queue {
    /// An empty queue, but for what was settled.
    pub(crate) fn new(settled: SettleLog) -> Self {
        let settled_until = (!settled.is_empty()).then(Instant::now);
        let waiting = Waiting { settled, settled_until, ..Waiting::default() };
        Self { waiting: Mutex::new(waiting), bell: Condvar::new() }
    }

    /// Puts something in. At the end it is dropped instead, and so who waits for it is told.
    pub(crate) fn put(&self, put: impl FnOnce(&mut Work)) {
        let mut waiting = self.waiting.lock();
        if !waiting.closed {
            put(&mut waiting.work);
            self.ring(waiting);
        }
    }

    /// Puts in what is to be taken back: also at the end, since the thread finds out itself.
    pub(crate) fn put_back(&self, put: impl FnOnce(&mut Work)) {
        let mut waiting = self.waiting.lock();
        put(&mut waiting.work);
        self.ring(waiting);
    }

    fn ring(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.urgent = true;
        drop(waiting);
        self.bell.notify_one();
    }

    /// Something is in the log that is not in the index. It can wait a little, unless there is
    /// much.
    pub(crate) fn index_soon(&self, hurry: bool) {
        let mut waiting = self.waiting.lock();
        if waiting.index_until.is_none() || hurry {
            let wait = if hurry { Duration::ZERO } else { INDEX_WAITS };
            waiting.index_until = Some(Instant::now() + wait);
            drop(waiting);
            self.bell.notify_one();
        }
    }

    /// Puts an attempt in, or counts it as lost.
    pub(crate) fn put_attempt(&self, attempt: NewAttempt) {
        let mut waiting = self.waiting.lock();
        if waiting.work.attempts.len() >= MAX_ATTEMPTS {
            waiting.lost_attempts += 1;
            return;
        }
        waiting.work.attempts.push(attempt);
        if waiting.attempts_until.is_none() {
            waiting.attempts_until = Some(Instant::now() + ATTEMPTS_WAIT);
            drop(waiting);
            self.bell.notify_one();
        }
    }

    /// Notes what became of an entry. `false` when that can't be, and has to wait for that thread.
    pub(crate) fn note(&self, emitter: &EmitterId, noted: &Noted) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closed || !waiting.settled.note(emitter, noted) {
            return false;
        }
        let first = waiting.settled_until.is_none();
        if first || waiting.settled.is_crowded() {
            let wait = if waiting.settled.is_crowded() { Duration::ZERO } else { SETTLED_WAITS };
            waiting.settled_until = Some(Instant::now() + wait);
            drop(waiting);
            self.bell.notify_one();
        }
        true
    }

    /// The places of those who were noted to have moved are written.
    pub(crate) fn settled_is_written(&self) {
        self.waiting.lock().settled.written();
    }

    /// Nothing is noted any more, and all that was is written.
    pub(crate) fn remove_settled(&self) {
        self.waiting.lock().settled.remove();
    }

    /// Counts attempts that could not be written.
    pub(crate) fn lose_attempts(&self, count: usize) {
        self.waiting.lock().lost_attempts += count as u64;
    }

    /// Says how many attempts were lost.
    pub(crate) fn lost_attempts(&self) -> u64 {
        self.waiting.lock().lost_attempts
    }

    /// Takes all that waits; nothing when there is nothing until the deadline. `None` at the end.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Option<Work> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.closed {
                let work = waiting.take();
                return (!work.is_empty()).then_some(work);
            }
            let until = [deadline, waiting.until()].into_iter().flatten().min();
            if waiting.urgent || until.is_some_and(|until| until <= Instant::now()) {
                return Some(waiting.take());
            }
            match until {
                None => self.bell.wait(&mut waiting),
                Some(until) => {
                    self.bell.wait_until(&mut waiting, until);
                }
            }
        }
    }

    /// What has come since it was taken. Under the backlog's lock, so that what was changed there
    /// is in what is written with it.
    pub(crate) fn take_rest(&self) -> Work {
        let mut waiting = self.waiting.lock();
        waiting.urgent = false;
        std::mem::take(&mut waiting.work)
    }

    /// What is in is still done; then the thread ends.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.bell.notify_one();
    }

    /// The thread has ended: what is in is not done any more.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        let work = std::mem::take(&mut waiting.work);
        drop(waiting);
        drop(work);
    }
}
