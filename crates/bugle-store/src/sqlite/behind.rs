//! What is in the log and not yet in its index: it is found here until it is.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bugle_core::{Event, FramedEvent, Sequence, SourcePosition};
use parking_lot::Mutex;

use super::error::Trouble;
use crate::log::{DIRECTORY, Found, FrameAddress, SegmentError};

/// From how many events on the index is written at once.
const HURRY: usize = 8_192;

/// More events, or bytes of their payloads, are not accepted while the index can't be written.
const MAX_EVENTS: usize = 65_536;
const MAX_BYTES: usize = 64 << 20;

/// A frame that is in the log.
#[derive(Debug)]
pub(crate) struct LoggedFrame {
    /// The number of its first event; of a frame without events, the one that it takes up.
    pub(crate) first: Sequence,
    pub(crate) address: FrameAddress,
    pub(crate) events: Vec<FramedEvent>,
    pub(crate) position: Option<SourcePosition>,
}

impl LoggedFrame {
    /// The last number that it takes up.
    pub(crate) fn last(&self) -> Sequence {
        Sequence(self.first.0 + (self.events.len() as u64).max(1) - 1)
    }

    /// Its events, with their numbers.
    pub(crate) fn numbered(&self) -> impl DoubleEndedIterator<Item = (Sequence, &FramedEvent)> {
        let first = self.first.0;
        let numbered = move |(at, event)| (Sequence(first + at as u64), event);
        self.events.iter().enumerate().map(numbered)
    }
}

impl TryFrom<(&Path, Found)> for LoggedFrame {
    type Error = SegmentError;

    /// A frame that was found in the log of the store in a directory. What is not in the index must
    /// be whole: nobody knows who would wait for an event that can't be read.
    fn try_from((store, found): (&Path, Found)) -> Result<Self, SegmentError> {
        let Found { first, address, frame } = found;
        let damaged = |at: u64| {
            let name = format!("{:020}.log", address.segment.0);
            let reason = format!("the checksum of what it has of event {at} is wrong");
            SegmentError::Damaged { path: store.join(DIRECTORY).join(name), reason }
        };
        let events = frame.events.into_iter().zip(first.0..);
        let events = events.map(|(event, at)| event.map_err(|_| damaged(at)));
        let events = events.collect::<Result<_, _>>()?;
        let position = frame.position.transpose().map_err(|_| damaged(first.0))?;
        Ok(Self { first, address, events, position })
    }
}

/// FramesBehind that are not in the index yet, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    frames: Mutex<FramesBehind>,
}

#[derive(Debug, Default)]
struct FramesBehind {
    waiting: VecDeque<Arc<LoggedFrame>>,
    events: usize,
    bytes: usize,
    /// Why they can't be written there, if that is so.
    trouble: Option<Trouble>,
}

fn bytes(frame: &LoggedFrame) -> usize {
    frame.events.iter().map(|it| it.event.payload.len()).sum()
}

impl Behind {
    /// What was found in the log as it was opened.
    pub(crate) fn new(found: Vec<Arc<LoggedFrame>>) -> Self {
        let behind = Self::default();
        for frame in found {
            behind.push(frame);
        }
        behind
    }

    /// A frame is in the log, behind all others. Tells whether its index should be written at once.
    pub(crate) fn push(&self, frame: Arc<LoggedFrame>) -> bool {
        let mut frames = self.frames.lock();
        frames.events += frame.events.len();
        frames.bytes += bytes(&frame);
        frames.waiting.push_back(frame);
        frames.events >= HURRY
    }

    /// All that is not in the index.
    pub(crate) fn all(&self) -> Vec<Arc<LoggedFrame>> {
        self.frames.lock().waiting.iter().map(Arc::clone).collect()
    }

    /// The index has all up to here.
    pub(crate) fn indexed(&self, through: Sequence) {
        let mut gone = Vec::new();
        let mut frames = self.frames.lock();
        while frames.waiting.front().is_some_and(|frame| frame.last() <= through)
            && let Some(frame) = frames.waiting.pop_front()
        {
            frames.events -= frame.events.len();
            frames.bytes -= bytes(&frame);
            gone.push(frame);
        }
        drop(frames);
    }

    /// The event at a place, if it is not in the index.
    pub(crate) fn find(&self, at: Sequence) -> Option<Arc<Event>> {
        let frames = self.frames.lock();
        let index = frames.waiting.partition_point(|frame| frame.last() < at);
        let frame = frames.waiting.get(index)?;
        let event = usize::try_from(at.0.checked_sub(frame.first.0)?).ok()?;
        frame.events.get(event).map(|it| Arc::clone(&it.event))
    }

    /// Tells whether the index could be written, or why not.
    pub(crate) fn tried(&self, trouble: Option<Trouble>) {
        self.frames.lock().trouble = trouble;
    }

    /// Why nothing more is to come: so much waits for the index, and it can't be written.
    pub(crate) fn refusal(&self) -> Option<Trouble> {
        let frames = self.frames.lock();
        let is_crowded = frames.events > MAX_EVENTS || frames.bytes > MAX_BYTES;
        frames.trouble.clone().filter(|_| is_crowded)
    }
}
