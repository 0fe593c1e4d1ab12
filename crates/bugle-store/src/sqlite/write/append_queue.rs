//! The appends that wait for the log.

use std::sync::Arc;

use bugle_core::{AppendError, EmitterId, Event, Sequence, SourcePosition};
use parking_lot::{Condvar, Mutex};
use smallvec::SmallVec;

use super::answers::{Asker, Waiter};
use super::ticket::Caller;
use crate::backlog::{Kept, Opened, Reserved, ReservedReplay, State};

/// About so many bytes are written at once.
const MAX_BYTES: usize = 64 << 20;

/// All that one caller wants to be appended: one event, or a batch.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) events: SmallVec<[Arc<Event>; 1]>,
    /// The room that is kept for each of them.
    pub(crate) reserved: SmallVec<[Reserved; 1]>,
    pub(crate) position: Option<SourcePosition>,
    /// Told the first event's place; the others follow it.
    pub(crate) caller: Caller,
}

impl Append {
    /// Says how many numbers it takes: a position alone takes one, so that it can be answered for.
    pub(crate) fn numbers(&self) -> u64 {
        self.events.len().max(1) as u64
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.payload.len()).sum()
    }
}

/// Events that one emitter is to deliver again.
#[derive(Debug)]
pub(crate) struct Redelivery {
    pub(crate) emitter: EmitterId,
    pub(crate) at: Opened,
    pub(crate) events: Vec<(Arc<Event>, ReservedReplay)>,
    pub(crate) answer: Asker<Result<Vec<Sequence>, AppendError>>,
}

impl Redelivery {
    /// It is not made after all.
    pub(crate) fn withdraw(&self, state: &mut State) {
        self.events.iter().for_each(|(_, reserved)| state.withdraw_replay(&self.at, reserved));
    }

    /// It is written: the events wait again, at these places.
    pub(crate) fn publish(&self, state: &mut State) -> Vec<Sequence> {
        let publish = |(event, reserved): &(Arc<Event>, ReservedReplay)| {
            state.publish_replay(&self.emitter, &self.at, reserved, Kept::Here(Arc::clone(event)))
        };
        self.events.iter().map(publish).collect()
    }
}

/// All that is appended together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// In the order of their sequence numbers.
    pub(crate) appends: Vec<Append>,
    /// Events that are delivered again, behind those above.
    pub(crate) replays: Vec<Redelivery>,
    /// The segment that is to end, if it is still the one that is written.
    pub(crate) ended: Option<Sequence>,
    /// Those who wait until everything that was handed over before is as safe as an accepted event.
    pub(crate) flushes: Vec<Waiter>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.appends.is_empty()
            && self.replays.is_empty()
            && self.flushes.is_empty()
            && self.ended.is_none()
    }

    /// Moves what may be written at once to an empty group, and keeps the rest.
    fn move_to(&mut self, other: &mut Self) {
        let mut bytes = 0;
        let too_much = |append: &Append| {
            let before = bytes;
            bytes += append.bytes();
            before > 0 && bytes > MAX_BYTES
        };
        match self.appends.iter().position(too_much) {
            Some(end) => other.appends.extend(self.appends.drain(..end)),
            // What the other has of memory is for what comes.
            None => std::mem::swap(self, other),
        }
    }
}

#[derive(Debug, Default)]
struct WaitingGroup {
    group: Group,
    closed: bool,
}

/// All that waits for the log. Its lock is taken under the backlog's, where both are.
#[derive(Debug, Default)]
pub(crate) struct AppendQueue {
    waiting: Mutex<WaitingGroup>,
    bell: Condvar,
}

impl AppendQueue {
    /// Puts something in. At the end it is dropped instead, and so who waits for it is told.
    pub(crate) fn put(&self, put: impl FnOnce(&mut Group)) {
        let mut waiting = self.waiting.lock();
        if !waiting.closed {
            put(&mut waiting.group);
            drop(waiting);
            self.bell.notify_one();
        }
    }

    /// Waits for something, and moves all of it, or as much as is written at once, to an empty
    /// group. `false` at the end.
    pub(crate) fn take(&self, group: &mut Group) -> bool {
        let mut waiting = self.waiting.lock();
        while waiting.group.is_empty() {
            if waiting.closed {
                return false;
            }
            self.bell.wait(&mut waiting);
        }
        waiting.group.move_to(group);
        true
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
        let left = std::mem::take(&mut waiting.group);
        drop(waiting);
        drop(left);
    }
}
