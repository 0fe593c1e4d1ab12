//! The spec of an emitter: it is there whether its actor runs or not.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bugle_core::{
    Answer, Backlog, Desired, EmitterId, EmitterSpec, EmitterSpecs, ErrorKind, EventName, Fate,
    Incarnation, JournalError, Reader, Sequence, Subscription,
};
use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;
use tokio::task::JoinHandle;

use crate::emitter::doorbell::Doorbell;
use crate::emitter::message::EmitterMessage;
use crate::emitter::settlements::Settlements;
use crate::emitter::target::Target;
use crate::emitter::tools::Tools;
use crate::words::description::{EmitterDescription, LastFailure, Status, WaitingFor};

/// An emitter's spec: it outlives the actor.
pub(crate) struct Spec {
    pub(crate) id: EmitterId,
    /// Holds its subscription, and where it stands. Another subscription is another place.
    place: RwLock<Place>,
    /// Producers ring it, to wake the emitter without going through its mailbox.
    pub(crate) doorbell: Doorbell,
    /// Counts the changes of the target: the courier compares it before each attempt.
    pub(crate) retargets: AtomicU64,
    /// The courier counts here, for `describe`.
    pub(crate) counters: Counters,
    /// Told after each settling while somebody waits for one.
    pub(crate) settlements: Settlements,
    /// Holds all that changes seldom.
    pub(crate) state: Mutex<SpecState>,
}

/// A place in the journal: the subscription that it is for, and who reads there.
struct Place {
    subscription: Subscription,
    /// Where the journal ended when it got this subscription.
    since: Sequence,
    reader: Arc<dyn Reader>,
    /// The subscription before this one, and since when: for who waits for the fate of an earlier
    /// event.
    before: Option<Box<(Subscription, Sequence)>>,
}

pub(crate) struct SpecState {
    pub(crate) target: Target,
    /// Its life as it is now: only the supervisor writes it.
    pub(crate) shown: Shown,
    pub(crate) last_failure: Option<Box<LastFailure>>,
    /// Its actor, while it runs: whom a producer asks for a courier.
    pub(crate) actor: Option<ActorRef<EmitterMessage>>,
    /// The courier's task. A successor awaits it, so that two never deliver at once.
    pub(crate) courier: Option<JoinHandle<()>>,
    /// Something keeps its courier from its work.
    pub(crate) waiting_for: Option<Box<WaitingFor>>,
    /// It has another receiver: the next courier does not wait for what the old one asked for.
    pub(crate) has_new_receiver: bool,
    /// It was detached: what it has not settled was dropped.
    pub(crate) detached: bool,
}

/// An emitter's life as those see it who look.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: Status,
    /// In the time of lanes.
    pub(crate) since: Duration,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) desired: Desired,
    /// The journal does this with its backlog while it is paused.
    pub(crate) backlog: Backlog,
    pub(crate) incarnation: Incarnation,
    pub(crate) restarts: u64,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            status: Status::Opening,
            since: Duration::ZERO,
            reason: None,
            desired: Desired::Running,
            backlog: Backlog::Keep,
            incarnation: Incarnation(0),
            restarts: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) delivered: AtomicU64,
    pub(crate) failed_attempts: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) in_flight: AtomicU32,
    pub(crate) failures_in_a_row: AtomicU32,
}

impl Spec {
    pub(crate) fn new(
        id: EmitterId,
        subscription: Subscription,
        target: Target,
        reader: Arc<dyn Reader>,
        shown: Shown,
    ) -> Self {
        let since = reader.info().since;
        Self {
            id,
            place: RwLock::new(Place { subscription, since, reader, before: None }),
            doorbell: Doorbell::new(),
            retargets: AtomicU64::new(0),
            counters: Counters::default(),
            settlements: Settlements::default(),
            state: Mutex::new(SpecState {
                target,
                shown,
                last_failure: None,
                actor: None,
                courier: None,
                waiting_for: None,
                has_new_receiver: false,
                detached: false,
            }),
        }
    }

    /// There may be something to deliver.
    pub(crate) fn wake(&self) {
        if self.doorbell.ring() {
            let state = self.state.lock();
            if let Some(actor) = &state.actor {
                // Fails only when the actor has just stopped, and its successor looks by itself.
                let _ = actor.send_message(EmitterMessage::Wake);
            }
        }
    }

    /// Says whether an event of this name and place was meant for it.
    pub(crate) fn wanted(&self, sequence: Sequence, name: &EventName) -> bool {
        let place = self.place.read();
        if sequence > place.since {
            return place.subscription.matches(name);
        }
        let before = place.before.as_deref();
        before.is_some_and(|(wanted, since)| sequence > *since && wanted.matches(name))
    }

    /// The emitter's place in the journal.
    pub(crate) fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.place.read().reader)
    }

    /// Counts the events that wait to be settled, as far as that is known.
    pub(crate) fn depth(&self) -> u64 {
        self.place.read().reader.info().depth
    }

    /// Wakes it if it has something to deliver, or may have.
    pub(crate) fn wake_if_any(&self, tools: &Tools) {
        if !tools.counts_are_exact || self.depth() > 0 {
            self.wake();
        }
    }

    /// Lends what it wants. Only the supervisor changes that, so it may lock more while it looks.
    pub(crate) fn with_subscription<T>(&self, with: impl FnOnce(&Subscription) -> T) -> T {
        with(&self.place.read().subscription)
    }

    /// Wants something else from now on. Until it is [`opened`](Self::opened) anew it does not know
    /// since when that is.
    pub(crate) fn resubscribe(&self, subscription: Subscription) {
        let mut place = self.place.write();
        let before = std::mem::replace(&mut place.subscription, subscription);
        place.before = Some(Box::new((before, place.since)));
        place.since = Sequence(u64::MAX);
    }

    /// Its place was opened anew.
    pub(crate) fn opened(&self, reader: Arc<dyn Reader>) {
        let mut place = self.place.write();
        place.since = reader.info().since;
        place.reader = reader;
    }

    /// Delivers elsewhere, or in another way, from the next attempt on. `false` when that is no
    /// change.
    pub(crate) fn retarget(&self, state: &mut SpecState, target: Target) -> bool {
        if state.target.is_like(&target) {
            return false;
        }
        state.has_new_receiver |= !state.target.is_of_one_receiver(&target);
        state.target = target;
        self.retargets.fetch_add(1, Ordering::Release);
        self.doorbell.nudge();
        true
    }

    /// Has it kept as it is in this state, which is locked: so what is handed over last is as it is
    /// last. A handler can't be kept.
    pub(crate) fn hand_over(
        &self,
        state: &SpecState,
        kept: &dyn EmitterSpecs,
    ) -> Answer<'static, Result<(), JournalError>> {
        match self.kept(state) {
            Some(spec) => kept.put(spec),
            None => kept.remove(&self.id),
        }
    }

    fn kept(&self, state: &SpecState) -> Option<EmitterSpec> {
        let Target::Http(config) = &state.target else { return None };
        let subscription = self.with_subscription(Subscription::clone);
        let spec = EmitterSpec::new(self.id.clone(), subscription, Arc::clone(config));
        Some(match state.shown.desired {
            Desired::Paused => spec.paused(state.shown.backlog),
            _ => spec,
        })
    }

    pub(crate) fn status(&self) -> Status {
        self.state.lock().shown.status
    }

    /// The event's fate here; `None` while it waits. Of an emitter that another owner has it is not
    /// known here: that is `Some(None)`.
    pub(crate) async fn fate(&self, sequence: Sequence) -> Option<Option<Fate>> {
        let reader = self.reader();
        match reader.fate(sequence).await {
            Ok(Some(fate)) => Some(Some(fate)),
            _ if self.state.lock().detached => Some(Some(Fate::Dropped)),
            Ok(None) if self.status() == Status::Elsewhere => Some(None),
            Err(error) if error.kind == ErrorKind::Fenced => Some(None),
            // It is looked for again.
            Ok(None) | Err(_) => None,
        }
    }

    pub(crate) fn describe(&self, tools: &Tools) -> EmitterDescription {
        let counters = &self.counters;
        let state = self.state.lock();
        let place = self.place.read();
        let info = place.reader.info();
        EmitterDescription {
            id: self.id.clone(),
            subscription: place.subscription.clone(),
            url: state.target.shown_url(),
            desired: state.shown.desired,
            status: state.shown.status,
            since: tools.time_of_day(state.shown.since),
            reason: state.shown.reason.as_deref().map(str::to_owned),
            incarnation: state.shown.incarnation,
            restarts_since_start: state.shown.restarts,
            depth: info.depth,
            dead_letters: info.dead_letters,
            in_flight: counters.in_flight.load(Ordering::Relaxed),
            delivered_since_start: counters.delivered.load(Ordering::Relaxed),
            failed_attempts_since_start: counters.failed_attempts.load(Ordering::Relaxed),
            dead_lettered_since_start: counters.dead_lettered.load(Ordering::Relaxed),
            dropped_since_start: info.dropped,
            failures_in_a_row: counters.failures_in_a_row.load(Ordering::Relaxed),
            waiting_for: state.waiting_for.as_deref().cloned(),
            last_failure: state.last_failure.as_deref().cloned(),
            cursor: info.cursor,
        }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec").field("id", &self.id).finish_non_exhaustive()
    }
}
