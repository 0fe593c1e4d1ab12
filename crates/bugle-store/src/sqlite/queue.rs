//! What waits for the writer.

use std::sync::Arc;
use std::time::Instant;

use bugle_core::{
    AppendError, DeadLetter, DeadLetterId, EmitterId, Event, JournalError, NewAttempt, Sequence,
    SourceId, SourcePosition,
};
use futures_channel::oneshot;
use parking_lot::{Condvar, Mutex};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::replays::Redelivery;
use super::specs::SpecRow;
use crate::backlog::Reserved;

/// Attempts that may wait. Further ones are lost, and counted: no delivery waits for the log.
const MAX_ATTEMPTS: usize = 100_000;

/// Who waits for something to be done.
pub(super) type Waiter = oneshot::Sender<Result<(), JournalError>>;

/// What one caller wants to be appended: one event, or a batch.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) events: SmallVec<[Arc<Event>; 1]>,
    /// The room that is kept for each of them.
    pub(super) reserved: SmallVec<[Reserved; 1]>,
    pub(super) position: Option<SourcePosition>,
    /// Told the first event's place; the others follow it.
    pub(super) answer: oneshot::Sender<Result<Sequence, AppendError>>,
}

/// Dead letters that are to be deleted.
#[derive(Debug)]
pub(super) struct Discard {
    pub(super) ids: Vec<DeadLetterId>,
    /// How many of them there were.
    pub(super) answer: oneshot::Sender<Result<u64, JournalError>>,
}

/// What is written in one transaction.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// In the order of their sequence numbers.
    pub(super) appends: Vec<Append>,
    /// Events that are delivered again, behind those above.
    pub(super) replays: Vec<Redelivery>,
    /// Dead letters that are deleted.
    pub(super) discards: Vec<Discard>,
    /// Emitters whose place is not as it was written down: where only the cursor moved, `false`;
    /// `true` for more, also for one that is forgotten.
    pub(super) moved: FxHashMap<EmitterId, bool>,
    /// Events that are on disk and are taken back.
    pub(super) retracted: Vec<Sequence>,
    /// Sources whose position is not as it was written down, because a batch is taken back.
    pub(super) returned: FxHashSet<SourceId>,
    pub(super) letters: Vec<DeadLetter>,
    /// Events whose dead letters are removed, these among them.
    pub(super) absolved: Vec<Sequence>,
    pub(super) attempts: Vec<NewAttempt>,
    /// Specs as they are now; `None` for one that is removed.
    pub(super) specs: FxHashMap<EmitterId, Option<SpecRow>>,
    /// Who waits until all this is written.
    pub(super) written: Vec<Waiter>,
    /// Who waits until all this is as safe as an accepted event.
    pub(super) synced: Vec<Waiter>,
}

impl Work {
    /// An emitter's place is not as it was written down.
    pub(super) fn mark(&mut self, emitter: &EmitterId, whole: bool) {
        *self.moved.entry(emitter.clone()).or_default() |= whole;
    }

    /// Whether there is something whose caller is told if it can't be.
    pub(super) fn asks(&self) -> bool {
        !self.appends.is_empty() || !self.replays.is_empty() || !self.discards.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.asks()
            && self.moved.is_empty()
            && self.retracted.is_empty()
            && self.returned.is_empty()
            && self.letters.is_empty()
            && self.absolved.is_empty()
            && self.attempts.is_empty()
            && self.specs.is_empty()
            && self.written.is_empty()
            && self.synced.is_empty()
    }
}

#[derive(Debug, Default)]
struct Waiting {
    work: Work,
    lost_attempts: u64,
    closed: bool,
}

/// What waits for the writer. Its lock is taken under the backlog's, where both are.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

impl Queue {
    /// Puts something in. At the end it is dropped instead, and so who waits for it is told.
    pub(super) fn put(&self, put: impl FnOnce(&mut Work)) {
        let mut waiting = self.waiting.lock();
        if !waiting.closed {
            put(&mut waiting.work);
            drop(waiting);
            self.bell.notify_one();
        }
    }

    /// Puts in what is to be taken back: also at the end, since the writer finds out itself.
    pub(super) fn put_back(&self, put: impl FnOnce(&mut Work)) {
        put(&mut self.waiting.lock().work);
        self.bell.notify_one();
    }

    /// Puts an attempt in, or counts it as lost.
    pub(super) fn put_attempt(&self, attempt: NewAttempt) {
        let mut waiting = self.waiting.lock();
        if waiting.work.attempts.len() < MAX_ATTEMPTS {
            waiting.work.attempts.push(attempt);
            drop(waiting);
            self.bell.notify_one();
        } else {
            waiting.lost_attempts += 1;
        }
    }

    /// Counts attempts that could not be written.
    pub(super) fn lose_attempts(&self, count: usize) {
        self.waiting.lock().lost_attempts += count as u64;
    }

    /// How many attempts were lost.
    pub(super) fn lost_attempts(&self) -> u64 {
        self.waiting.lock().lost_attempts
    }

    /// Takes all that waits; nothing when there is nothing until the deadline. `None` at the end.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Option<Work> {
        let mut waiting = self.waiting.lock();
        loop {
            if !waiting.work.is_empty() {
                return Some(std::mem::take(&mut waiting.work));
            }
            if waiting.closed {
                return None;
            }
            match deadline {
                None => self.bell.wait(&mut waiting),
                Some(deadline) => {
                    if self.bell.wait_until(&mut waiting, deadline).timed_out() {
                        return Some(std::mem::take(&mut waiting.work));
                    }
                }
            }
        }
    }

    /// What is in is still done; then the writer ends.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.bell.notify_one();
    }

    /// The writer has ended: what is in is not done any more.
    pub(super) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        let work = std::mem::take(&mut waiting.work);
        drop(waiting);
        drop(work);
    }
}
