//! The record of the attempts through a scripted transport.

use std::collections::HashMap;
use std::sync::Arc;

use bugle_core::{AttemptCode, Delivery, EmitterId, Event, Outcome, Sequence};
use tokio::time::Instant;
use url::Url;

/// One attempt through a [`ScriptedTransport`](crate::ScriptedTransport).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attempted {
    /// The emitter.
    pub emitter: EmitterId,
    /// The URL of the receiver.
    pub url: Url,
    /// The event's sequence number in the journal.
    pub sequence: Sequence,
    /// The event.
    pub event: Arc<Event>,
    /// The number of the attempt in its delivery; the first is 1.
    pub attempt: u32,
    /// The time of its start, by the clock of the test.
    pub started: Instant,
    /// The time of its end. `None` while it is in flight.
    pub ended: Option<Instant>,
    /// The way in which it ended.
    pub ending: Ending,
    /// The number of its emitter's attempts in flight when it had started, itself included.
    pub concurrent: usize,
}

impl Attempted {
    pub(super) fn new(delivery: &Delivery, url: Url) -> Self {
        Self {
            emitter: delivery.emitter.clone(),
            url,
            sequence: delivery.sequence,
            event: Arc::clone(&delivery.event),
            attempt: delivery.attempt,
            started: Instant::now(),
            ended: None,
            ending: Ending::InFlight,
            concurrent: 0,
        }
    }

    /// The event's request id.
    pub fn request_id(&self) -> &str {
        self.event.request_id.as_str()
    }

    /// True when the receiver has the event.
    pub fn is_delivered(&self) -> bool {
        self.ending == Ending::Delivered
    }
}

/// The way in which an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// It has not ended yet.
    InFlight,
    /// The receiver has the event.
    Delivered,
    /// It failed with this code.
    Failed(AttemptCode),
    /// It was dropped before its end: by a pause, a detach or a shutdown.
    Aborted,
    /// It panicked, as the script demanded.
    Panicked,
}

/// All attempts, and the numbers in flight.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    pub(super) list: Vec<Attempted>,
    pub(super) in_flight: usize,
    pub(super) most_in_flight: usize,
    pub(super) by_emitter: HashMap<EmitterId, usize>,
    pub(super) sessions_opened: u64,
    pub(super) sessions_open: u64,
}

impl Attempts {
    /// Records a start, and returns its index in the list.
    pub(super) fn start(&mut self, mut attempted: Attempted) -> usize {
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        let concurrent = self.by_emitter.entry(attempted.emitter.clone()).or_default();
        *concurrent += 1;
        attempted.concurrent = *concurrent;
        self.list.push(attempted);
        self.list.len() - 1
    }

    /// Records an end.
    pub(super) fn end(&mut self, index: usize, outcome: Option<&Outcome>) {
        let Some(attempted) = self.list.get_mut(index) else { return };
        attempted.ended = Some(Instant::now());
        attempted.ending = match outcome.map(|outcome| &outcome.failure) {
            Some(None) => Ending::Delivered,
            Some(Some(failure)) => Ending::Failed(failure.code),
            None if std::thread::panicking() => Ending::Panicked,
            None => Ending::Aborted,
        };
        self.in_flight -= 1;
        if let Some(concurrent) = self.by_emitter.get_mut(&attempted.emitter) {
            *concurrent -= 1;
        }
    }

    pub(super) fn summary(&self) -> String {
        let count =
            |ending| self.list.iter().filter(|attempted| attempted.ending == ending).count();
        format!(
            "{} attempts ({} delivered, {} aborted, {} panicked, {} in flight)",
            self.list.len(),
            count(Ending::Delivered),
            count(Ending::Aborted),
            count(Ending::Panicked),
            self.in_flight,
        )
    }
}
