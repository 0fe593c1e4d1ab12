//! The courier: the one task that owns an emitter's session and drives its lane.
//!
//! It starts at the first wake and lingers: when drained it parks, and is woken again without a
//! message; after a while idle it gives up the connection, and then itself. Its actor aborts it to
//! pause or stop, and its half-used connection dies with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bugle_core::{
    AttemptLogPolicy, Delivery, Entry, Forgive, JournalError, Lane, Reader, Sequence, Session,
};

use crate::emitter::hindrance::{Asked, Hindrances};
use crate::emitter::limiter::Limiter;
use crate::emitter::message::Exit;
use crate::emitter::spec::Spec;
use crate::emitter::target::Target;
use crate::emitter::tools::Tools;
use crate::words::event::RuntimeEvent;

/// An actor raises it to have its courier end once what is in flight is done.
#[derive(Debug, Default)]
pub(crate) struct FinishFlag(AtomicU8);

impl FinishFlag {
    pub(crate) fn raise(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 1
    }
}

pub(crate) struct Courier {
    pub(crate) spec: Arc<Spec>,
    /// The emitter's place in the journal, which stays the same as long as there is a courier.
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) target: Target,
    /// Which target it is: another one needs another courier.
    retargets: u64,
    finish: Arc<FinishFlag>,
    pub(crate) lane: Lane,
    /// Opened at the first delivery; the connections are its own.
    pub(crate) session: Option<Arc<dyn Session>>,
    pub(crate) limiter: Option<Arc<Limiter>>,
    pub(crate) log_successes: bool,
    /// Set while the doorbell knows that it is about to park.
    pub(crate) listening: bool,
    /// The last place that was read, and the one up to which what was read may have been taken
    /// since, at how many takings.
    read_to: Sequence,
    taken_to: Sequence,
    taken: u64,
    /// The attempt that is awaited where it is made: whom a panic is blamed on.
    pub(crate) current: Option<Delivery>,
    pub(crate) hindrances: Hindrances,
}

impl Courier {
    pub(crate) fn new(spec: Arc<Spec>, tools: Arc<Tools>, finish: Arc<FinishFlag>) -> Self {
        let (target, retargets, has_new_receiver) = {
            let mut state = spec.state.lock();
            let retargets = spec.retargets.load(Ordering::Acquire);
            state.waiting_for = None;
            (state.target.clone(), retargets, std::mem::take(&mut state.has_new_receiver))
        };
        let reader = spec.reader();
        if has_new_receiver {
            // It is in the journal's hands, and nobody waits for it.
            drop(reader.forgive(Forgive::Waits));
        }
        let now = tools.epoch.elapsed();
        let at = tools.time_of_day(now);
        let lane = target.lane(&spec.id, reader.info().cursor);
        let lane = lane.recalling(&reader.setbacks(at), at, now);
        spec.counters.failures_in_a_row.store(lane.failures(), Ordering::Relaxed);
        let limiter = target.rate_limit().map(|limit| Arc::new(Limiter::new(limit)));
        let taken = tools.taken.load(Ordering::Acquire);
        let log_successes = tools.attempts.policy() == AttemptLogPolicy::All;
        Self {
            hindrances: Hindrances::new(Arc::clone(&spec), Arc::clone(&tools)),
            spec,
            reader,
            tools,
            target,
            retargets,
            finish,
            lane,
            session: None,
            limiter,
            log_successes,
            listening: false,
            read_to: Sequence::START,
            taken_to: Sequence::START,
            taken,
            current: None,
        }
    }

    /// Takes an answer of the store. An error that may pass is none of the emitter's business: it
    /// is said, and the lane rests a while. After any other the courier ends.
    pub(crate) fn answered<T>(
        &mut self,
        asked: Asked,
        answer: Result<T, JournalError>,
    ) -> Result<Option<T>, Exit> {
        self.hindrances.answered(asked, answer, &mut self.lane)
    }

    pub(crate) async fn load(&mut self, after: Sequence, limit: usize) -> Result<(), Exit> {
        let entries = self.reader.read(after, limit).await;
        let Some(entries) = self.answered(Asked::Read, entries)? else { return Ok(()) };
        if self.listening && !entries.is_empty() {
            self.listening = false;
            self.spec.doorbell.busy();
        }
        if let Some(last) = entries.last() {
            self.read_to = self.read_to.max(last.sequence);
        }
        self.lane.loaded(entries);
        Ok(())
    }

    /// Says whether an entry that was read may wait no more, because its event was marked as
    /// delivered, deleted, or too old. Nearly always that is known without a question.
    pub(crate) fn is_in_doubt(&mut self, sequence: Sequence, attempt: u32) -> bool {
        self.may_be_taken(sequence) || attempt > 1
    }

    /// Says whether an entry that was read may have been taken since.
    pub(crate) fn may_be_taken(&mut self, sequence: Sequence) -> bool {
        let taken = self.tools.taken.load(Ordering::Acquire);
        if taken != self.taken {
            self.taken = taken;
            self.taken_to = self.read_to;
        }
        sequence <= self.taken_to
    }

    /// Asks the store whether an entry waits no more. If it can't say, the entry waits.
    pub(crate) async fn is_settled(&mut self, sequence: Sequence) -> Result<bool, Exit> {
        let fate = self.reader.fate(sequence).await;
        let fate = self.answered(Asked::Read, fate)?;
        Ok(fate.flatten().is_some())
    }

    pub(crate) fn begin(&self, entry: Entry, attempt: u32) -> Delivery {
        self.spec.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Delivery::new(self.spec.id.clone(), entry.sequence, entry.event, attempt)
            .capturing(self.log_successes)
    }

    pub(crate) fn session(&mut self) -> Result<Arc<dyn Session>, Exit> {
        if let Some(session) = &self.session {
            return Ok(Arc::clone(session));
        }
        let opened = self.target.open(self.tools.transport.as_ref());
        let session: Arc<dyn Session> = opened.map_err(|e| Exit::Crashed(e.to_string()))?.into();
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Listens to the bell, and has the lane look once more: something may have been appended
    /// before the bell was listened to.
    pub(crate) fn listen(&mut self) {
        self.listening = true;
        self.spec.doorbell.listen();
        self.lane.woken();
    }

    /// Waits for the time, or for a ring.
    pub(crate) async fn wait(&mut self, until: Option<Duration>) {
        match until {
            Some(until) => {
                let until = self.tools.epoch + until;
                tokio::select! {
                    () = self.spec.doorbell.heard() => self.heard(),
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            None => {
                self.spec.doorbell.heard().await;
                self.heard();
            }
        }
    }

    fn heard(&mut self) {
        if self.listening {
            self.listening = false;
            self.spec.doorbell.busy();
            self.lane.woken();
        }
    }

    /// Everything is settled: listens, looks once more, and parks.
    pub(crate) async fn park(&mut self) -> Option<Exit> {
        if !self.listening {
            self.listen();
            return None;
        }
        self.hindrances.asks_no_more();
        let emitter = || self.spec.id.clone();
        self.tools.teller.tell_watchers(|| RuntimeEvent::Drained { emitter: emitter() });
        let heard = self.spec.doorbell.heard();
        if tokio::time::timeout(self.target.idle_timeout(), heard).await.is_ok() {
            self.heard();
            return None;
        }
        if self.spec.doorbell.leave() {
            self.tools.teller.tell_watchers(|| RuntimeEvent::Idle { emitter: emitter() });
            return Some(Exit::Idle);
        }
        self.heard();
        None
    }

    pub(crate) fn is_finishing(&self) -> bool {
        self.finish.is_raised() || self.spec.retargets.load(Ordering::Acquire) != self.retargets
    }

    pub(crate) fn now(&self) -> Duration {
        self.tools.epoch.elapsed()
    }
}
