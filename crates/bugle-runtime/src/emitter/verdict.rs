//! The verdict on an attempt: it goes to the log, the lane decides, and the journal settles.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bugle_core::{
    Advice, AttemptCode, DeadLetter, Delivery, Entry, Exchange, Failure, NewAttempt, Outcome,
    Settlement, Verdict,
};
use jiff::Timestamp;

use crate::emitter::courier::Courier;
use crate::emitter::hindrance::Asked;
use crate::emitter::message::Exit;
use crate::words::description::LastFailure;
use crate::words::event::RuntimeEvent;

impl Courier {
    /// The attempt goes to the log, the lane decides, and the journal settles: no await before, but
    /// where an event that is to be given up may have been taken meanwhile.
    pub(crate) async fn conclude(
        &mut self,
        delivery: Delivery,
        outcome: Outcome,
        now: Duration,
    ) -> Result<(), Exit> {
        let was_failing = self.lane.is_failing();
        let counts = self.hindrances.attempted(outcome.failure.as_ref());
        let mut verdict = self.lane.finished(delivery.sequence, &outcome, now);
        if verdict == Verdict::DeadLetter
            && self.may_be_taken(delivery.sequence)
            && self.is_settled(delivery.sequence).await?
        {
            // Its event was marked as delivered, or deleted, meanwhile: nobody gives it up.
            verdict = Verdict::Settle;
        }
        self.count(&outcome, verdict, counts);
        self.tell(&delivery, &outcome, verdict, counts);
        self.tell_of_row(was_failing, outcome.failure.as_ref());
        let crash = outcome.failure.as_ref().filter(|f| f.code == AttemptCode::Crashed);
        let crash = crash.map(|failure| failure.message.clone().into_owned());
        let settlement = match verdict {
            Verdict::Settle => Some(Settlement::Delivered),
            Verdict::DeadLetter => Some(self.dead_letter(&delivery, &outcome)),
            Verdict::Retry { .. } | Verdict::Stop => None,
        };
        let sequence = delivery.sequence;
        // Before the event is settled: a kill in between forgets no attempt.
        let setback = self.lane.setback().filter(|_| verdict != Verdict::Settle);
        let remembering =
            setback.map(|setback| self.reader.set_back(setback, self.tools.time_of_day(now)));
        let recorded = match counts {
            true => self.log_successes || !outcome.is_delivered(),
            false => self.hindrances.is_recorded(now),
        };
        if recorded {
            self.tools.attempts.record(NewAttempt::new(delivery, outcome, Timestamp::now()));
        }
        let settling = settlement.map(|settlement| self.reader.settle(sequence, settlement));
        if let Some(settling) = settling {
            self.spec.settlements.tell();
            // The store has it in hand, whatever it answers.
            let settled = settling.await;
            self.answered(Asked::Write, settled)?;
        }
        if let Some(remembering) = remembering {
            let remembered = remembering.await;
            self.answered(Asked::Write, remembered)?;
        }
        if let Some(reason) = crash {
            return Err(Exit::Crashed(reason));
        }
        if verdict == Verdict::Stop { Err(Exit::Gone) } else { Ok(()) }
    }

    /// A damaged event is given up without an attempt, and the lane goes on.
    pub(crate) async fn give_up(&mut self, mut entry: Entry) -> Result<(), Exit> {
        let why = entry.damage.take().unwrap_or_default();
        let failure = Failure::new(AttemptCode::Damaged, why.to_string());
        let failure = failure.advising(Advice::GiveUp);
        let delivery = self.begin(entry, 0);
        self.conclude(delivery, Outcome::failed(failure, Exchange::default()), self.now()).await
    }

    fn count(&self, outcome: &Outcome, verdict: Verdict, counts: bool) {
        let counters = &self.spec.counters;
        counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Some(failure) = &outcome.failure else {
            counters.delivered.fetch_add(1, Ordering::Relaxed);
            counters.failures_in_a_row.store(0, Ordering::Relaxed);
            return;
        };
        counters.failed_attempts.fetch_add(u64::from(counts), Ordering::Relaxed);
        counters.failures_in_a_row.store(self.lane.failures(), Ordering::Relaxed);
        if verdict == Verdict::DeadLetter {
            counters.dead_lettered.fetch_add(1, Ordering::Relaxed);
        }
        let failure = LastFailure::new(failure, Timestamp::now());
        self.spec.state.lock().last_failure = Some(Box::new(failure));
    }

    fn tell(&self, delivery: &Delivery, outcome: &Outcome, verdict: Verdict, counted: bool) {
        let Some(failure) = &outcome.failure else {
            self.tools.teller.tell_watchers(|| RuntimeEvent::Delivered {
                emitter: delivery.emitter.clone(),
                sequence: delivery.sequence,
                name: delivery.event.name.clone(),
                request_id: delivery.event.request_id.clone(),
                attempt: delivery.attempt,
                elapsed: outcome.exchange.elapsed.total,
            });
            return;
        };
        self.tools.teller.tell(|| RuntimeEvent::AttemptFailed {
            emitter: delivery.emitter.clone(),
            sequence: delivery.sequence,
            request_id: delivery.event.request_id.clone(),
            attempt: delivery.attempt,
            code: failure.code,
            message: failure.message.clone().into_owned(),
            retry_in: match verdict {
                Verdict::Retry { delay } => Some(delay),
                _ => None,
            },
            counted,
        });
    }

    /// Tells of the first failure of a row, and of its end.
    fn tell_of_row(&self, was_failing: bool, failure: Option<&Failure>) {
        let emitter = || self.spec.id.clone();
        match (was_failing, self.lane.is_failing(), failure) {
            (false, true, Some(failure)) => self.tools.teller.tell(|| RuntimeEvent::Failing {
                emitter: emitter(),
                code: failure.code,
                message: failure.message.clone().into_owned(),
            }),
            (true, false, None) => {
                self.tools.teller.tell(|| RuntimeEvent::Recovered { emitter: emitter() });
            }
            _ => {}
        }
    }

    fn dead_letter(&self, delivery: &Delivery, outcome: &Outcome) -> Settlement {
        let (code, message) = match &outcome.failure {
            Some(failure) => (failure.code, failure.message.clone().into_owned()),
            None => (AttemptCode::BadConnection, String::new()),
        };
        self.tools.teller.tell(|| RuntimeEvent::DeadLettered {
            emitter: delivery.emitter.clone(),
            sequence: delivery.sequence,
            request_id: delivery.event.request_id.clone(),
            attempts: delivery.attempt,
            name: delivery.event.name.clone(),
            code,
            message: message.clone(),
        });
        let entry = Entry::new(delivery.sequence, Arc::clone(&delivery.event));
        Settlement::DeadLettered(Box::new(DeadLetter::new(
            delivery.emitter.clone(),
            &entry,
            code,
            message,
            delivery.attempt,
            Timestamp::now(),
        )))
    }
}
