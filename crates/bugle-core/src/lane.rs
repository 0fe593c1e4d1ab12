//! The lane: a pure state machine over a window of deliveries, which decides what an emitter does
//! next.
//!
//! It knows no clock, no socket and no actor. Time goes in as a number, and steps come out: the
//! courier of `bugle-runtime` asks [`Lane::next`] what to do, does it, and tells the lane.
//!
//! All three orders are one mechanism. Entries of the same line follow one another: the first of
//! them may be sent, the others are held behind it, and an entry in no line waits for none. The
//! orders differ in their lines, which [`Held`] knows.
//!
//! A lane's state is small and lies together, because thousands of lanes are busy at once.

use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use crate::held::Held;
use crate::queue::{Queued, Tried};
use crate::waits::Waits;
use crate::{
    Advice, AttemptCode, EmitterConfig, Entry, Gone, Order, Outcome, RetryPolicy, Sequence,
    Setback, Setbacks,
};

/// An event whose delivery crashes its emitter this many times in a row is dead-lettered.
const MAX_CRASHES: u32 = 3;

/// The number of entries that are read at once.
const BATCH: usize = 32;

/// The most entries that a lane with a window holds, in flight, queued and held by their keys.
const MAX_LOADED: usize = 1024;

/// The most places that a lane with a window reads past its lowest unsettled entry: the settled
/// ones above it are remembered one by one.
const MAX_SPAN: u64 = 16 * 1024;

/// The next step of an emitter.
#[derive(Debug, Clone)]
pub enum Step {
    /// Read the entries after this place, then call [`Lane::loaded`].
    Load {
        /// The place after which to read.
        after: Sequence,
        /// The most entries to read.
        limit: usize,
    },
    /// Make this attempt, then call [`Lane::finished`].
    Send {
        /// The event to deliver, and its place.
        entry: Entry,
        /// The number of the attempt; the first is 1.
        attempt: u32,
    },
    /// Nothing to do until an attempt in flight finishes, the time comes, or a wake: whichever is
    /// first.
    Wait {
        /// The time at which to ask again; `None` for no such time.
        until: Option<Duration>,
        /// True when a wake would change anything; call [`Lane::woken`] on one.
        wakeable: bool,
    },
    /// Everything is settled; call [`Lane::woken`] when there is more.
    Drained,
}

/// The decision about a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was delivered: settle it.
    Settle,
    /// It gets no more attempts: dead-letter and settle it.
    DeadLetter,
    /// It gets another attempt, no sooner than after this delay.
    Retry {
        /// The least time from now to the next attempt.
        delay: Duration,
    },
    /// The receiver is gone and the emitter stops, with the delivery unsettled.
    Stop,
}

#[derive(Debug, Clone)]
struct InFlight {
    entry: Entry,
    /// The backoff after which the attempt was sent: several failures of one moment count as one.
    backoff: u64,
}

/// The state of an emitter's deliveries, and the decisions about them.
#[derive(Debug, Clone)]
pub struct Lane {
    order: Order,
    retry: RetryPolicy,
    retry_after_limit: Duration,
    gone: Gone,
    /// The seed that makes the jitter this emitter's own, and the same after a restart.
    seed: u64,
    /// Everything up to here was loaded.
    read_to: Sequence,
    /// True when the journal may have more behind `read_to`.
    more: bool,
    /// The entries that may be sent once they are due.
    queued: BinaryHeap<Queued>,
    /// The attempts in flight, about in the order of sending, so that the next to finish is near
    /// the front.
    in_flight: VecDeque<InFlight>,
    /// The entries that wait behind the one of their line that is queued or in flight.
    held: Held,
    /// The number of entries that are queued, in flight or held.
    loaded: usize,
    /// The loaded entries by place, each with the number that were loaded before it. Kept with a
    /// window only, to bound how far the lane reads past its lowest.
    unsettled: VecDeque<(Sequence, u64)>,
    loaded_in_all: u64,
    /// The number of attempts that may be in flight now: 1 after a failure, up to the window again.
    open: usize,
    waits: Waits,
    /// The loaded deliveries that have failed before, and those that had when the last lane ended.
    tried: FxHashMap<Sequence, Tried>,
    /// The setback of the last attempt that ended, if it failed and counts.
    setback: Option<Setback>,
}

impl Lane {
    /// Makes a lane that starts after an emitter's cursor. The seed makes its jitter reproducible.
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

    /// Makes a lane of these settings.
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
            waits: Waits::default(),
            tried: FxHashMap::default(),
            setback: None,
        }
    }

    /// Goes on from an emitter's setbacks, as of this time of day. The first attempt is a probe
    /// then, and no wait is longer than these settings allow.
    #[must_use]
    pub fn recalling(mut self, setbacks: &Setbacks, at: Timestamp, now: Duration) -> Self {
        let (longest, longest_asked) = (self.retry.longest(), self.retry_after_limit);
        self.waits = Waits::recalled(setbacks, at, now, longest, longest_asked);
        let tried = setbacks.tried(at).map(|(sequence, tries, wait)| {
            let wait = wait.min(longest.max(longest_asked));
            (sequence, Tried { tries, due: now.saturating_add(wait) })
        });
        self.tried = tried.collect();
        if self.is_failing() {
            self.open = 1;
        }
        self
    }

    /// Decides what to do now. `now` is measured from any fixed start.
    pub fn next(&mut self, now: Duration) -> Step {
        if self.in_flight.len() >= self.open {
            return Step::Wait { until: None, wakeable: false };
        }
        let not_before = self.not_before().max(self.waits.held_until);
        let due = self.queued.peek().map(|first| first.due.max(not_before));
        if due.is_some_and(|due| due <= now)
            && let Some(first) = self.queued.pop()
        {
            return self.send(first);
        }
        // The queued entries must wait. While the emitter backs off nothing else may go; otherwise
        // a retry that is not due yet holds only its own key.
        let backing_off = now < self.not_before();
        if self.more && self.has_room() && !(backing_off && due.is_some()) {
            if now < self.waits.held_until {
                return Step::Wait { until: Some(self.waits.held_until), wakeable: false };
            }
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

    /// Notes a wake: there may be more to read.
    pub fn woken(&mut self) {
        self.more = true;
    }

    /// Notes that the store does not do its part: nothing is sent or read before this time.
    /// Attempts in flight go on.
    pub fn hold(&mut self, until: Duration) {
        self.waits.held_until = until;
    }

    /// Notes that an entry of [`Step::Send`] is not sent after all: it waits no more, because it
    /// was settled elsewhere. That tells nothing of the receiver.
    pub fn taken(&mut self, sequence: Sequence) {
        let place = self.in_flight.iter().position(|sent| sent.entry.sequence == sequence);
        if let Some(sent) = place.and_then(|place| self.in_flight.swap_remove_front(place)) {
            self.leave(&sent.entry);
        }
    }

    /// Decides what becomes of a delivery after an attempt that ended now.
    pub fn finished(&mut self, sequence: Sequence, outcome: &Outcome, now: Duration) -> Verdict {
        self.setback = None;
        let place = self.in_flight.iter().position(|sent| sent.entry.sequence == sequence);
        let Some(sent) = place.and_then(|place| self.in_flight.swap_remove_front(place)) else {
            // Not in flight: nothing to decide.
            return Verdict::Retry { delay: Duration::ZERO };
        };
        let Some(failure) = &outcome.failure else {
            self.waits.delivered();
            self.open = self.open.saturating_mul(2).min(self.order.window());
            self.leave(&sent.entry);
            return Verdict::Settle;
        };
        let seed = self.seed ^ sequence.0;
        let asked = match failure.advice {
            Advice::GiveUp => {
                self.leave(&sent.entry);
                return Verdict::DeadLetter;
            }
            Advice::Gone if self.gone != Gone::Retry => {
                self.queued.push(Queued { due: now, entry: sent.entry });
                return Verdict::Stop;
            }
            Advice::Uncounted => {
                self.open = 1;
                let delay = self.waits.uncounted(sent.backoff, seed, now);
                self.queued.push(Queued { due: now.saturating_add(delay), entry: sent.entry });
                return Verdict::Retry { delay };
            }
            Advice::RetryAfter(delay) => delay.min(self.retry_after_limit),
            Advice::Gone | Advice::Retry => Duration::ZERO,
        };
        self.open = 1;
        let [before, _] = self.waits.left(now);
        let backoff = self.waits.failed(sent.backoff, &self.retry, seed, asked, now);
        let has_crashed = failure.code == AttemptCode::Crashed;
        let mut tries = self.tried.get(&sequence).map(|tried| tried.tries).unwrap_or_default();
        tries.attempts += 1;
        tries.crashes = if has_crashed { tries.crashes + 1 } else { 0 };
        // With a window the emitter's backoff may be short, thanks to the others' successes: a
        // failing event has its own, longer one then.
        let own = self.retry.delay(tries.attempts, seed);
        let delay = own.max(asked).max(backoff);
        let [backoff, asked] = self.waits.left(now);
        let failures = self.waits.failures;
        self.setback = Some(match has_crashed {
            // When it starts again is for its supervisor to say.
            true => Setback { delay: asked, backoff: before, sequence, tries, failures, asked },
            false => Setback { sequence, tries, delay, failures, backoff, asked },
        });
        if tries.attempts >= self.retry.max_attempts || tries.crashes >= MAX_CRASHES {
            self.leave(&sent.entry);
            return Verdict::DeadLetter;
        }
        let due = now.saturating_add(delay);
        self.tried.insert(sequence, Tried { tries, due });
        self.queued.push(Queued { due, entry: sent.entry });
        Verdict::Retry { delay }
    }

    /// The setback that the last [`Lane::finished`] leaves, for the lane that goes on one day: none
    /// of a delivery, or of an attempt that counts as none.
    pub fn setback(&self) -> Option<&Setback> {
        self.setback.as_ref()
    }

    /// True when the receiver has failed, and has not delivered since all that it failed at.
    pub fn is_failing(&self) -> bool {
        self.waits.failures > 0 || !self.tried.is_empty()
    }

    /// The number of failures in a row that the emitter has seen.
    pub fn failures(&self) -> u32 {
        self.waits.failures
    }

    /// The time before which nothing is sent, past or to come.
    pub fn not_before(&self) -> Duration {
        self.waits.not_before()
    }

    /// The number of attempts in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn send(&mut self, Queued { entry, .. }: Queued) -> Step {
        let tried = self.tried_before(entry.sequence).map_or(0, |tried| tried.tries.attempts);
        self.in_flight.push_back(InFlight { entry: entry.clone(), backoff: self.waits.backoff });
        Step::Send { entry, attempt: tried.saturating_add(1) }
    }

    /// Looks up the tries of an entry. Nearly always there are none.
    fn tried_before(&self, sequence: Sequence) -> Option<&Tried> {
        if self.tried.is_empty() { None } else { self.tried.get(&sequence) }
    }

    fn queue(&mut self, entry: Entry) {
        let due = self.tried_before(entry.sequence).map_or(Duration::ZERO, |tried| tried.due);
        self.queued.push(Queued { due, entry });
    }

    /// Takes an entry out of the lane, and lets the next of its line go.
    fn leave(&mut self, entry: &Entry) {
        self.loaded -= 1;
        if !self.tried.is_empty() {
            self.tried.remove(&entry.sequence);
        }
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
