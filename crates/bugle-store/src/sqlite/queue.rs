//! What waits for the writer.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bugle_core::{
    AppendError, DeadLetter, DeadLetterId, EmitterId, Event, JournalError, NewAttempt, Sequence,
    SourceId, SourcePosition,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::answers::{Asker, Waiter};
use super::note::Noted;
use super::replays::Redelivery;
use super::settled::Settled;
use super::specs::SpecRow;
use crate::backlog::Reserved;

/// Attempts that may wait. Further ones are lost, and counted: no delivery waits for the log.
const MAX_ATTEMPTS: usize = 100_000;

/// How long attempts wait for a transaction to go with.
const ATTEMPTS_WAIT: Duration = Duration::from_millis(5);

/// How long what was settled and noted waits until the places are written.
const SETTLED_WAITS: Duration = Duration::from_millis(50);

/// How long a transaction waits for as many appends as are expected, once there is one.
const GATHERS: Duration = Duration::from_micros(250);

/// What one caller wants to be appended: one event, or a batch.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) events: SmallVec<[Arc<Event>; 1]>,
    /// The room that is kept for each of them.
    pub(super) reserved: SmallVec<[Reserved; 1]>,
    pub(super) position: Option<SourcePosition>,
    /// The first event's place once it can be read; 0 before. Set under the backlog's lock.
    pub(super) published: Arc<AtomicU64>,
    /// Told the first event's place; the others follow it.
    pub(super) answer: Asker<Result<Sequence, AppendError>>,
}

/// Dead letters that are to be deleted.
#[derive(Debug)]
pub(super) struct Discard {
    pub(super) ids: Vec<DeadLetterId>,
    /// How many of them there were.
    pub(super) answer: Asker<Result<u64, JournalError>>,
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
    /// Whether the places of all those are among `moved` that were noted to have moved.
    pub(super) settled: bool,
    /// How many confirmations are safe once it is published, if that is known then.
    pub(super) confirmed: Option<u64>,
    /// Who waits until all this is written.
    pub(super) written: Vec<Waiter>,
    /// Who waits until all this is as safe as an accepted event.
    pub(super) synced: Vec<Waiter>,
    /// Who waits for no more of it than an emitter's place and spec.
    pub(super) kept: Vec<(EmitterId, Waiter)>,
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

    /// Whether somebody waits until it is as safe as an accepted event.
    pub(super) fn waits(&self) -> bool {
        !self.synced.is_empty() || !self.kept.is_empty()
    }

    /// Takes out who waits for that.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        let kept = std::mem::take(&mut self.kept).into_iter().map(|(_, waiter)| waiter);
        std::mem::take(&mut self.synced).into_iter().chain(kept)
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
            && self.kept.is_empty()
    }
}

#[derive(Debug, Default)]
struct Waiting {
    work: Work,
    /// Whether somebody waits for some of it.
    urgent: bool,
    /// Until when the rest can wait: attempts, and what was settled.
    attempts_until: Option<Instant>,
    settled_until: Option<Instant>,
    settled: Settled,
    /// So many appends are worth waking the writer for, as long as it gathers them.
    gathering: usize,
    lost_attempts: u64,
    closed: bool,
}

impl Waiting {
    /// Whether the writer has to be woken for what somebody waits for.
    fn is_worth_it(&self) -> bool {
        self.urgent && self.work.appends.len() >= self.gathering
    }

    /// Until when what nobody waits for can wait.
    fn until(&self) -> Option<Instant> {
        [self.attempts_until, self.settled_until].into_iter().flatten().min()
    }

    /// All that waits; where everybody has moved to only if it is time for that.
    fn take(&mut self) -> Work {
        let mut work = std::mem::take(&mut self.work);
        self.urgent = false;
        self.attempts_until = None;
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

/// What waits for the writer. Its lock is taken under the backlog's, where both are.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

impl Queue {
    /// An empty queue, but for what was settled.
    pub(super) fn new(settled: Settled) -> Self {
        let settled_until = (!settled.is_empty()).then(Instant::now);
        let waiting = Waiting { settled, settled_until, ..Waiting::default() };
        Self { waiting: Mutex::new(waiting), bell: Condvar::new() }
    }

    /// Puts something in. At the end it is dropped instead, and so who waits for it is told.
    pub(super) fn put(&self, put: impl FnOnce(&mut Work)) {
        let mut waiting = self.waiting.lock();
        if !waiting.closed {
            put(&mut waiting.work);
            waiting.urgent = true;
            self.ring(waiting);
        }
    }

    /// Puts in what is to be taken back: also at the end, since the writer finds out itself.
    pub(super) fn put_back(&self, put: impl FnOnce(&mut Work)) {
        let mut waiting = self.waiting.lock();
        put(&mut waiting.work);
        waiting.urgent = true;
        self.ring(waiting);
    }

    fn ring(&self, waiting: MutexGuard<'_, Waiting>) {
        let is_worth_it = waiting.is_worth_it();
        drop(waiting);
        if is_worth_it {
            self.bell.notify_one();
        }
    }

    /// Puts an attempt in, or counts it as lost.
    pub(super) fn put_attempt(&self, attempt: NewAttempt) {
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

    /// Notes what became of an entry. `false` when that can't be, and has to wait for the writer.
    pub(super) fn note(&self, emitter: &EmitterId, noted: &Noted) -> bool {
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
    pub(super) fn settled_is_written(&self) {
        self.waiting.lock().settled.written();
    }

    /// Nothing is noted any more, and all that was is written.
    pub(super) fn remove_settled(&self) {
        self.waiting.lock().settled.remove();
    }

    /// How many appends wait.
    pub(super) fn appends(&self) -> usize {
        self.waiting.lock().work.appends.len()
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
    /// Where there are appends it waits a little for as many as are expected.
    pub(super) fn take(&self, deadline: Option<Instant>, expected: usize) -> Option<Work> {
        let mut waiting = self.waiting.lock();
        let mut gathered = None;
        loop {
            if waiting.closed {
                let work = waiting.take();
                return (!work.is_empty()).then_some(work);
            }
            let until = if waiting.urgent {
                let enough =
                    waiting.work.appends.len() >= expected || waiting.work.appends.is_empty();
                let until = *gathered.get_or_insert_with(|| Instant::now() + GATHERS);
                if enough || until <= Instant::now() {
                    waiting.gathering = 0;
                    return Some(waiting.take());
                }
                waiting.gathering = expected;
                Some(until)
            } else {
                [deadline, waiting.until()].into_iter().flatten().min()
            };
            match until {
                None => self.bell.wait(&mut waiting),
                Some(until) => {
                    if self.bell.wait_until(&mut waiting, until).timed_out() && !waiting.urgent {
                        return Some(waiting.take());
                    }
                }
            }
        }
    }

    /// Takes the dead letters too that have come since of emitters whose places are among this:
    /// called under the backlog's lock, where the places are read. A place that is written without
    /// them is past events that are nowhere, if the process ends then. Who waits for them waits on.
    pub(super) fn take_letters(&self, work: &mut Work) {
        let mut waiting = self.waiting.lock();
        let moved = &work.moved;
        let come = waiting.work.letters.extract_if(.., |it| moved.contains_key(&it.emitter));
        work.letters.extend(come);
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
