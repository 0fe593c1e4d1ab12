//! What an emitter does next: the lane, a pure state machine over a window of deliveries.
//!
//! It knows no clock, no socket and no actor. Time goes in as a number, and steps come out: the
//! courier of `bugle-runtime` asks [`Lane::next`] what to do, does it, and tells the lane.
//!
//! All three orders are one mechanism. Entries of the same line follow one another: the first of
//! them may be sent, the others are held behind it, and an entry in no line waits for none. What
//! differs is what a line is, which is for [`Held`] to know.
//!
//! What a lane keeps is small and lies together, because thousands of them are busy at once.

use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::held::Held;
use crate::queue::{Queued, Tries};
use crate::{
    Advice, AttemptCode, EmitterConfig, Entry, Gone, Order, Outcome, RetryPolicy, Sequence,
};

/// An event whose delivery crashes its emitter this many times in a row is dead-lettered.
const MAX_CRASHES: u32 = 3;

/// How many entries are read at once.
const BATCH: usize = 32;

/// How many entries a lane with a window holds at most, in flight, queued and held by their keys.
const MAX_LOADED: usize = 1024;

/// How far a lane with a window reads past its lowest unsettled entry: the settled ones above it
/// are remembered one by one.
const MAX_SPAN: u64 = 16 * 1024;

/// What the emitter does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Read the entries after this place, then call [`Lane::loaded`].
    Load {
        /// The place after which to read.
        after: Sequence,
        /// How many at most.
        limit: usize,
    },
    /// Make this attempt, then call [`Lane::finished`].
    Send {
        /// What to deliver.
        entry: Entry,
        /// Which attempt it is; the first is 1.
        attempt: u32,
    },
    /// Nothing to do until an attempt in flight finishes, the time comes, or a wake: whichever is
    /// first.
    Wait {
        /// The time at which to ask again.
        until: Option<Duration>,
        /// Whether a wake would change anything; call [`Lane::woken`] on one.
        wakeable: bool,
    },
    /// Everything is settled; call [`Lane::woken`] when there is more.
    Drained,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was delivered: settle it.
    Settle,
    /// It gets no more attempts: dead-letter and settle it.
    DeadLetter,
    /// It gets another attempt, no sooner than after this delay.
    Retry {
        /// How long from now.
        delay: Duration,
    },
    /// The receiver is gone and the emitter stops, with the delivery unsettled.
    Stop,
}

#[derive(Debug, Clone)]
struct InFlight {
    entry: Entry,
    tries: Tries,
    /// The backoff that it was sent after: several failures of one moment count as one.
    backoff: u64,
}

/// An emitter's lane.
#[derive(Debug, Clone)]
pub struct Lane {
    order: Order,
    retry: RetryPolicy,
    retry_after_limit: Duration,
    gone: Gone,
    /// Makes the jitter this emitter's own, and the same after a restart.
    seed: u64,
    /// Everything up to here was loaded.
    read_to: Sequence,
    /// Whether the journal may have more behind `read_to`.
    more: bool,
    /// What may be sent once it is due.
    queued: BinaryHeap<Queued>,
    /// About in the order of sending, so that what finishes next is near the front.
    in_flight: VecDeque<InFlight>,
    /// What follows the one entry of its line that is queued or in flight.
    held: Held,
    /// How many entries are queued, in flight or held.
    loaded: usize,
    /// The loaded entries by place, each with how many were loaded before it. Kept with a window
    /// only, to bound how far the lane reads past its lowest.
    unsettled: VecDeque<(Sequence, u64)>,
    loaded_in_all: u64,
    /// How many attempts may be in flight now: 1 after a failure, up to the window again.
    open: usize,
    /// Failures in a row, of the emitter.
    failures: u32,
    /// Which backoff this is.
    backoff: u64,
    /// Nothing is sent before this time, unless a success shows that the receiver is well.
    backoff_until: Duration,
    /// Nothing is sent before this time: the receiver asked for it.
    asked_until: Duration,
    /// What was in flight when the emitter crashed, by place.
    before_crash: FxHashMap<Sequence, Tries>,
}

impl Lane {
    /// A lane that starts after an emitter's cursor. The seed makes its jitter reproducible.
    pub fn new(config: &EmitterConfig, seed: u64, cursor: Sequence) -> Self {
        Self::with(
            config.order,
            config.retry.clone(),
            config.retry_after_limit,
            config.on_gone,
            seed,
            cursor,
        )
    }

    /// A lane of these settings.
    pub fn with(
        order: Order,
        retry: RetryPolicy,
        retry_after_limit: Duration,
        gone: Gone,
        seed: u64,
        cursor: Sequence,
    ) -> Self {
        Self {
            order,
            retry,
            retry_after_limit,
            gone,
            seed,
            read_to: cursor,
            more: true,
            queued: BinaryHeap::with_capacity(1),
            in_flight: VecDeque::with_capacity(1),
            held: Held::new(order),
            loaded: 0,
            unsettled: VecDeque::new(),
            loaded_in_all: 0,
            open: order.window(),
            failures: 0,
            backoff: 0,
            backoff_until: Duration::ZERO,
            asked_until: Duration::ZERO,
            before_crash: FxHashMap::default(),
        }
    }

    /// What to do now. `now` is measured from any fixed start.
    pub fn next(&mut self, now: Duration) -> Step {
        if self.in_flight.len() >= self.open {
            return Step::Wait { until: None, wakeable: false };
        }
        let due = self.queued.peek().map(|first| first.due.max(self.not_before()));
        if due.is_some_and(|due| due <= now)
            && let Some(first) = self.queued.pop()
        {
            return self.send(first);
        }
        // What is queued must wait. While the emitter backs off nothing else may go; otherwise a
        // retry that is not due yet holds only its own key.
        let backing_off = now < self.not_before();
        if self.more && self.has_room() && !(backing_off && due.is_some()) {
            let limit = BATCH.min(self.max_loaded() - self.loaded);
            return Step::Load { after: self.read_to, limit };
        }
        if self.loaded == 0 {
            return Step::Drained;
        }
        let wakeable = !self.more && self.has_room() && !backing_off;
        Step::Wait { until: due, wakeable }
    }

    /// Takes the entries that [`Step::Load`] asked for, in order. None means that there are no
    /// more until a wake.
    pub fn loaded(&mut self, entries: Vec<Entry>) {
        self.more = !entries.is_empty();
        for entry in entries {
            self.read_to = self.read_to.max(entry.sequence);
            self.loaded += 1;
            if self.order != Order::Strict {
                self.unsettled.push_back((entry.sequence, self.loaded_in_all));
                self.loaded_in_all += 1;
            }
            if let Some(first) = self.held.join(entry) {
                self.queue(first);
            }
        }
    }

    /// There may be more to read.
    pub fn woken(&mut self) {
        self.more = true;
    }

    /// What [`Step::Send`] gave is not sent after all: it waits no more, because it was settled
    /// elsewhere. It tells nothing of the receiver.
    pub fn taken(&mut self, sequence: Sequence) {
        let place = self.in_flight.iter().position(|sent| sent.entry.sequence == sequence);
        if let Some(sent) = place.and_then(|place| self.in_flight.swap_remove_front(place)) {
            self.leave(&sent.entry);
        }
    }

    /// Decides what becomes of a delivery after an attempt that ended now.
    pub fn finished(&mut self, sequence: Sequence, outcome: &Outcome, now: Duration) -> Verdict {
        let place = self.in_flight.iter().position(|sent| sent.entry.sequence == sequence);
        let Some(mut sent) = place.and_then(|place| self.in_flight.swap_remove_front(place)) else {
            // Not in flight: nothing to decide.
            return Verdict::Retry { delay: Duration::ZERO };
        };
        let Some(failure) = &outcome.failure else {
            self.failures = 0;
            self.backoff_until = Duration::ZERO;
            self.open = self.open.saturating_mul(2).min(self.order.window());
            self.leave(&sent.entry);
            return Verdict::Settle;
        };
        let asked = match failure.advice {
            Advice::GiveUp => {
                self.leave(&sent.entry);
                return Verdict::DeadLetter;
            }
            Advice::Gone if self.gone != Gone::Retry => {
                self.requeue(sent, now);
                return Verdict::Stop;
            }
            Advice::RetryAfter(delay) => delay.min(self.retry_after_limit),
            Advice::Gone | Advice::Retry | Advice::Uncounted => Duration::ZERO,
        };
        if failure.advice == Advice::Uncounted {
            sent.tries.attempts -= 1;
            let delay = self.back_off(sent.backoff, sequence, asked, now);
            self.requeue(sent, now.saturating_add(delay));
            return Verdict::Retry { delay };
        }
        let backoff = self.back_off(sent.backoff, sequence, asked, now);
        if failure.code == AttemptCode::Crashed {
            sent.tries.crashes += 1;
        } else {
            sent.tries.crashes = 0;
        }
        if sent.tries.attempts >= self.retry.max_attempts || sent.tries.crashes >= MAX_CRASHES {
            self.leave(&sent.entry);
            return Verdict::DeadLetter;
        }
        // With a window the emitter's backoff may be short, thanks to the others' successes: a
        // failing event has its own, longer one then.
        let own = self.retry.delay(sent.tries.attempts, self.seed_of(sequence));
        let delay = own.max(asked).max(backoff);
        self.requeue(sent, now.saturating_add(delay));
        Verdict::Retry { delay }
    }

    /// The lane of an emitter that crashed, for its next life. It reads again from the cursor,
    /// and remembers how often each delivery that was under way had been tried.
    #[must_use]
    pub fn after_crash(self, cursor: Sequence) -> Self {
        let flying = self.in_flight.iter().map(|sent| (sent.entry.sequence, sent.tries));
        let queued = self.queued.iter().map(|queued| (queued.entry.sequence, queued.tries));
        let before_crash = flying.chain(queued).filter(|(_, tries)| tries.attempts > 0).collect();
        Self {
            before_crash,
            open: 1,
            failures: self.failures,
            backoff: self.backoff,
            ..Self::with(
                self.order,
                self.retry,
                self.retry_after_limit,
                self.gone,
                self.seed,
                cursor,
            )
        }
    }

    /// How many failures in a row the emitter has seen.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The time before which nothing is sent, past or to come.
    pub fn not_before(&self) -> Duration {
        self.backoff_until.max(self.asked_until)
    }

    /// How many attempts are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn send(&mut self, queued: Queued) -> Step {
        let Queued { entry, mut tries, .. } = queued;
        tries.attempts += 1;
        let sent = InFlight { entry: entry.clone(), tries, backoff: self.backoff };
        self.in_flight.push_back(sent);
        Step::Send { entry, attempt: tries.attempts }
    }

    /// Starts or goes on with the emitter's backoff, and says how long it is from now.
    fn back_off(
        &mut self,
        sent_after: u64,
        sequence: Sequence,
        asked: Duration,
        now: Duration,
    ) -> Duration {
        let mut delay = Duration::ZERO;
        if sent_after == self.backoff {
            self.backoff += 1;
            self.failures = self.failures.saturating_add(1);
            delay = self.retry.delay(self.failures, self.seed_of(sequence));
            self.backoff_until = now.saturating_add(delay);
        }
        self.open = 1;
        self.asked_until = self.asked_until.max(now.saturating_add(asked));
        delay.max(asked)
    }

    fn seed_of(&self, sequence: Sequence) -> u64 {
        self.seed ^ sequence.0
    }

    fn queue(&mut self, entry: Entry) {
        // Nearly always there is nothing to look up.
        let tries = if self.before_crash.is_empty() {
            Tries::default()
        } else {
            self.before_crash.remove(&entry.sequence).unwrap_or_default()
        };
        self.queued.push(Queued { due: Duration::ZERO, entry, tries });
    }

    fn requeue(&mut self, sent: InFlight, due: Duration) {
        self.queued.push(Queued { due, entry: sent.entry, tries: sent.tries });
    }

    /// An entry leaves the lane, and the next of its line may go.
    fn leave(&mut self, entry: &Entry) {
        self.loaded -= 1;
        if self.order != Order::Strict
            && let Ok(at) =
                self.unsettled.binary_search_by_key(&entry.sequence, |(place, _)| *place)
        {
            self.unsettled.remove(at);
        }
        if let Some(next) = self.held.leave(entry) {
            self.queue(next);
        }
    }

    fn max_loaded(&self) -> usize {
        if self.order == Order::Strict { BATCH } else { MAX_LOADED }
    }

    fn has_room(&self) -> bool {
        let lowest = self.unsettled.front().map_or(self.loaded_in_all, |(_, nth)| *nth);
        self.loaded < self.max_loaded() && self.loaded_in_all - lowest < MAX_SPAN
    }
}
