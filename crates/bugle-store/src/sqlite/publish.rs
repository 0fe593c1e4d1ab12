//! What follows a transaction: what it wrote can be read, and who waited is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bugle_core::{AppendError, Event, JournalError, Sequence, SourcePosition};

use super::answered::Answered;
use super::answers::Answers;
use super::error::Trouble;
use super::queue::{Append, Queue, Work};
use super::replays::Redelivery;
use crate::backlog::{Backlog, State};
use crate::fault::{Point, pass};

/// Has what was written be read, and tells who waited; transaction by transaction, in their order.
#[derive(Clone)]
pub(super) struct Publisher {
    pub(super) backlog: Arc<Backlog>,
    pub(super) queue: Arc<Queue>,
    pub(super) answered: Arc<Answered>,
}

impl Publisher {
    /// All is written, and synced if it has to be. `discarded` says of each discard how many dead
    /// letters it has deleted.
    pub(super) fn publish(&self, mut work: Work, discarded: &[u64]) {
        pass(Point::AppendSynced, !work.appends.is_empty());
        let (first, last, replayed) = self.backlog.with(|state| {
            let first = Sequence(state.last().0 + 1);
            for append in &work.appends {
                // Of what nobody waits for any more nobody was told, and nobody reads it.
                match append.answer.is_gone() {
                    true => self.pass_over(state, append),
                    false => publish(state, append),
                }
            }
            let replayed: Vec<_> = work.replays.iter().map(|it| it.publish(state)).collect();
            (first, state.last(), replayed)
        });
        pass(Point::AppendPublished, last >= first);
        let told = !work.appends.is_empty() || !work.replays.is_empty();
        self.answered.advance(told.then_some(last), work.confirmed);
        pass(Point::AppendMarked, told);
        let mut answers = Answers::default();
        let waiting = work.take_waiting();
        let mut next = first;
        for append in work.appends {
            let first = next;
            next.0 += append.events.len() as u64;
            answers.appended(append, first);
        }
        for (Redelivery { answer, .. }, sequences) in work.replays.into_iter().zip(replayed) {
            answer.tell(Ok(sequences));
        }
        for (discard, count) in work.discards.into_iter().zip(discarded) {
            discard.answer.tell(Ok(*count));
        }
        for waiter in work.written.into_iter().chain(waiting) {
            answers.done(waiter, &Ok(()));
        }
        answers.tell();
    }

    /// What is asked for could not be written: its callers are told, and nothing of it is left.
    pub(super) fn refuse(&self, work: &mut Work, trouble: &Trouble) {
        let appends = std::mem::take(&mut work.appends);
        self.backlog.with(|state| {
            let reserved = appends.iter().flat_map(|append| &append.reserved);
            reserved.for_each(|reserved| state.withdraw(reserved));
            work.replays.iter().for_each(|replay| replay.withdraw(state));
        });
        let failed = JournalError::new(&trouble.message);
        for append in appends {
            append.answer.tell(Err(failed.clone().into()));
        }
        for replay in std::mem::take(&mut work.replays) {
            replay.answer.tell(Err(failed.clone().into()));
        }
        for discard in std::mem::take(&mut work.discards) {
            discard.answer.tell(Err(failed.clone()));
        }
    }

    /// Events are written, and could not be synced: their callers are told, nobody reads them, and
    /// the writer takes them back.
    pub(super) fn refuse_unsynced(&self, appends: Vec<Append>, trouble: &Trouble) {
        let failed = JournalError::new(&trouble.message);
        for append in appends {
            self.backlog.with(|state| self.pass_over(state, &append));
            append.answer.tell(Err(AppendError::from(failed.clone())));
        }
    }

    /// Events are written that nobody is to read: the writer deletes them.
    fn pass_over(&self, state: &mut State, append: &Append) {
        let first = state.last().0 + 1;
        append.reserved.iter().for_each(|reserved| state.pass_over(reserved));
        self.queue.put_back(|work| {
            work.retracted.extend((first..).map(Sequence).take(append.events.len()));
            let source = append.position.as_ref().map(|position| position.source.clone());
            work.returned.extend(source);
        });
    }
}

/// What was written can be read.
fn publish(state: &mut State, append: &Append) {
    append.published.store(state.last().0 + 1, Ordering::Relaxed);
    for (event, reserved) in append.events.iter().zip(&append.reserved) {
        state.publish(event, reserved);
    }
    if let Some(position) = &append.position {
        state.positions.advance(position);
    }
}

/// Takes events back, all that one caller appended, because it stopped waiting before it was told.
pub(super) fn retract(
    backlog: &Backlog,
    queue: &Queue,
    first: Sequence,
    events: &[Arc<Event>],
    position: Option<&SourcePosition>,
) {
    backlog.with(|state| {
        let sequences = (first.0..).map(Sequence).take(events.len());
        for (sequence, event) in sequences.clone().zip(events) {
            state.retract(sequence, event);
        }
        if let Some(position) = position {
            state.positions.take_back(position);
        }
        queue.put_back(|work| {
            work.retracted.extend(sequences);
            work.returned.extend(position.map(|position| position.source.clone()));
        });
    });
}
