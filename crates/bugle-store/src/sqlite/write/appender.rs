//! The thread that writes the log.
//!
//! It takes all that waits, writes it as one, syncs it once, has it be read, and tells who waits.
//! While it does, the next ones gather: the more callers there are, the more share a write and its
//! sync, and a lone caller waits for nobody else.

use std::sync::Arc;

use bugle_core::{Event, FramedEvent, JournalError, ReplayOf, Sequence, SourcePosition};

use super::answered::Answered;
use super::answers::Answers;
use super::append_queue::{Append, AppendQueue, Group, Redelivery};
use super::poison::Poison;
use super::queue::Queue;
use crate::backlog::{Backlog, State};
use crate::fault::{Point, pass};
use crate::log::{FrameAddress, LogWriter, SegmentError};
use crate::sqlite::behind::{Behind, LoggedFrame};
use crate::sqlite::error::Trouble;
use crate::sqlite::tables::dead_letters::DeadIndex;

/// About so many bytes of payload are in a frame, and so many events at the most.
const FRAME_BYTES: usize = 256 << 10;
const FRAME_EVENTS: usize = 1_024;

/// Appends to the log.
pub(crate) struct Appender {
    pub(crate) log: LogWriter,
    pub(crate) queue: Arc<AppendQueue>,
    /// Where it goes on: the index, and what follows from an append.
    pub(crate) database: Arc<Queue>,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) behind: Arc<Behind>,
    pub(crate) dead: Arc<DeadIndex>,
    pub(crate) answered: Arc<Answered>,
    pub(crate) poison: Poison,
    /// Tells whether events are synced before anybody is told.
    pub(crate) syncs: bool,
}

impl Appender {
    /// Appends until the store is closed.
    pub(crate) fn run(mut self) {
        let mut group = Group::default();
        while self.queue.take(&mut group) {
            self.withdraw_cancelled(&mut group);
            let flushes = std::mem::take(&mut group.flushes);
            self.append(&mut group);
            self.end_segment(group.ended.take());
            if !flushes.is_empty() {
                self.database.put(|work| work.synced.extend(flushes));
            }
        }
        if self.poison.why().is_none() {
            // Without a sync before, it is made good now; nobody waits for it.
            let _ = self.log.sync();
        }
    }

    /// Has what comes be in another segment than this one.
    fn end_segment(&mut self, segment: Option<Sequence>) {
        let is_current = |it: &Sequence| self.log.segment() == Some(*it);
        if segment.filter(is_current).is_some() && self.poison.why().is_none() {
            // Where it can't be now it is asked again.
            let _ = self.log.roll().inspect_err(|error| self.poison.unsynced(error));
        }
    }

    /// Appends of which nobody waits any more are not made.
    fn withdraw_cancelled(&self, group: &mut Group) {
        for cancelled in group.replays.extract_if(.., |replay| replay.answer.is_gone()) {
            self.backlog.with(|state| cancelled.withdraw(state));
        }
        if group.appends.iter().any(|append| append.caller.is_gone()) {
            let cancelled = group.appends.extract_if(.., |append| append.caller.is_gone());
            let cancelled: Vec<Append> = cancelled.collect();
            self.backlog.with(|state| withdraw(state, &cancelled));
        }
    }

    /// Appends a group, or as much of it as can be.
    fn append(&mut self, group: &mut Group) {
        if group.appends.is_empty() && group.replays.is_empty() {
            return;
        }
        match self.write(group) {
            Ok(frames) => self.publish(group, frames),
            Err(trouble) if trouble.is_full() && group.appends.len() + group.replays.len() > 1 => {
                // Some may need less space than there is.
                self.append_each(group);
            }
            Err(trouble) => self.refuse(group, &trouble),
        }
    }

    fn append_each(&mut self, group: &mut Group) {
        let (appends, replays) =
            (std::mem::take(&mut group.appends), std::mem::take(&mut group.replays));
        for append in appends {
            self.append(&mut Group { appends: vec![append], ..Group::default() });
        }
        for replay in replays {
            self.append(&mut Group { replays: vec![replay], ..Group::default() });
        }
    }

    /// Has a group in the log, and on the disk if it has to be. Nothing of it is there on an error.
    fn write(&mut self, group: &Group) -> Result<Vec<LoggedFrame>, Trouble> {
        if let Some(trouble) = self.poison.why() {
            return Err(trouble.clone());
        }
        if let Some(trouble) = self.behind.refusal() {
            return Err(trouble);
        }
        let mut frames = frames(self.log.next(), group);
        let written = self.write_frames(&mut frames);
        let synced = written.and_then(|()| {
            pass(Point::AppendWritten, true);
            if self.syncs {
                self.log.sync().inspect_err(|error| self.poison.unsynced(error))
            } else {
                Ok(())
            }
        });
        match (synced, self.poison.why()) {
            (Ok(()), _) => Ok(frames),
            (Err(_), Some(trouble)) => Err(trouble.clone()),
            (Err(error), None) => Err(Trouble::log(&error)),
        }
    }

    fn write_frames(&mut self, frames: &mut [LoggedFrame]) -> Result<(), SegmentError> {
        self.log.begin();
        for frame in frames.iter() {
            let events = frame.events.iter().map(|it| (&*it.event, it.replay.as_ref()));
            self.log.frame(frame.first, frame.position.as_ref(), events)?;
        }
        let addresses = self.log.write()?;
        for (frame, address) in frames.iter_mut().zip(addresses) {
            frame.address = *address;
        }
        Ok(())
    }

    /// It is in the log: it is found, it can be read, and who waits is told.
    fn publish(&mut self, group: &mut Group, frames: Vec<LoggedFrame>) {
        pass(Point::AppendSynced, true);
        let Some(first) = frames.first().map(|frame| frame.first) else { return };
        let replays = group.replays.iter().map(|replay| replay.events.len()).sum();
        self.dead.handed_over(replays);
        let mut hurry = false;
        for frame in frames {
            hurry |= self.behind.push(Arc::new(frame));
        }
        let mut answers = Answers::default();
        let (last, replayed) = self.backlog.with(|state| {
            let mut next = first;
            for append in &group.appends {
                state.go_on_at(next);
                // Of what nobody waits for any more nobody was told, and nobody reads it.
                match append.caller.is_gone() {
                    true => self.pass_over(state, append),
                    false => publish(state, append),
                }
                next.0 += append.numbers();
            }
            state.go_on_at(next);
            let replayed: Vec<_> =
                group.replays.iter().map(|it| self.redeliver(state, it)).collect();
            (state.last(), replayed)
        });
        self.database.index_soon(hurry);
        pass(Point::AppendPublished, true);
        self.answered.advance(Some(last), None);
        pass(Point::AppendMarked, true);
        let mut next = first;
        for append in group.appends.drain(..) {
            let numbers = append.numbers();
            answers.appended(append, next);
            next.0 += numbers;
        }
        for (Redelivery { answer, .. }, sequences) in group.replays.drain(..).zip(replayed) {
            answer.tell(Ok(sequences));
        }
        answers.tell();
    }

    /// Has replays wait: what their emitter gave up on is no dead letter any more.
    fn redeliver(&self, state: &mut State, replay: &Redelivery) -> Vec<Sequence> {
        let sequences = replay.publish(state);
        for ((_, reserved), at) in replay.events.iter().zip(&sequences) {
            self.dead.replayed(&replay.emitter, reserved.origin, *at);
        }
        sequences
    }

    /// What is asked for could not be written: its callers are told, and nothing of it is left.
    fn refuse(&self, group: &mut Group, trouble: &Trouble) {
        self.backlog.with(|state| {
            withdraw(state, &group.appends);
            group.replays.iter().for_each(|replay| replay.withdraw(state));
        });
        let failed = JournalError::from(trouble.clone());
        for append in group.appends.drain(..) {
            append.caller.tell(Err(failed.clone().into()));
        }
        for replay in group.replays.drain(..) {
            replay.answer.tell(Err(failed.clone().into()));
        }
    }

    /// Events are in the log that nobody is to read: that is written down.
    fn pass_over(&self, state: &mut State, append: &Append) {
        let first = state.last().0 + 1;
        append.reserved.iter().for_each(|reserved| state.pass_over(reserved));
        self.database.put_back(|work| {
            work.retracted.extend((first..).map(Sequence).take(append.events.len()));
            let source = append.position.as_ref().map(|position| position.source.clone());
            work.returned.extend(source);
        });
    }
}

fn withdraw(state: &mut State, appends: &[Append]) {
    let reserved = appends.iter().flat_map(|append| &append.reserved);
    reserved.for_each(|reserved| state.withdraw(reserved));
}

/// What was written can be read.
fn publish(state: &mut State, append: &Append) {
    append.caller.publish(Sequence(state.last().0 + 1));
    for (event, reserved) in append.events.iter().zip(&append.reserved) {
        state.publish(event, reserved);
    }
    if let Some(position) = &append.position {
        state.positions.advance(position);
    }
}

/// Takes events back, all that one caller appended, because it stopped waiting before it was told.
pub(crate) fn retract(
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

/// The frames of a group, from a number on. One caller's events are in as many as they need, and
/// share a frame with others' only where no position goes with them.
fn frames(first: Sequence, group: &Group) -> Vec<LoggedFrame> {
    let mut frames = FramePlan { all: Vec::with_capacity(1), open: false, bytes: 0, next: first };
    for append in &group.appends {
        let alone = append.position.is_some();
        frames.open &= !alone;
        for event in &append.events {
            frames.push(Arc::clone(event), None);
        }
        if let Some(position) = &append.position {
            frames.position(position);
        }
    }
    for replay in &group.replays {
        for (event, reserved) in &replay.events {
            let of = ReplayOf::new(reserved.origin, replay.emitter.clone());
            frames.push(Arc::clone(event), Some(of));
        }
    }
    frames.all
}

struct FramePlan {
    all: Vec<LoggedFrame>,
    /// Tells whether the last one takes more.
    open: bool,
    bytes: usize,
    next: Sequence,
}

impl FramePlan {
    fn push(&mut self, event: Arc<Event>, replay: Option<ReplayOf>) {
        let bytes = event.payload.len();
        let is_full = self.bytes + bytes > FRAME_BYTES
            || self.all.last().is_some_and(|frame| frame.events.len() == FRAME_EVENTS);
        if !self.open || is_full {
            self.begin();
        }
        self.bytes += bytes;
        self.next.0 += 1;
        if let Some(frame) = self.all.last_mut() {
            frame.events.push(FramedEvent::new(event).replay(replay));
        }
    }

    fn begin(&mut self) {
        let address = FrameAddress { segment: Sequence::START, offset: 0, length: 0 };
        let events = Vec::new();
        self.all.push(LoggedFrame { first: self.next, address, events, position: None });
        (self.open, self.bytes) = (true, 0);
    }

    /// Ends the last one with a position; a position alone takes up a number.
    fn position(&mut self, position: &SourcePosition) {
        if !self.open {
            self.begin();
            self.next.0 += 1;
        }
        if let Some(frame) = self.all.last_mut() {
            frame.position = Some(position.clone());
        }
        self.open = false;
    }
}
