//! The log of a runtime: the only place that decides on its words and levels.
//!
//! It is written from the [`RuntimeEvent`]s that watchers get. Nobody is told of each event that is
//! delivered; a row of failures is one line, and its end another. What comes of this machine or of
//! the store, and so from all emitters at once, is said once a minute and kind. No line has a URL,
//! whose path or query may be a token. Where nobody listens nothing is even put together.

use std::collections::hash_map::Entry;
use std::time::Duration;

use bugle_core::{AttemptCode, Delivery};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, error, info, warn};

use crate::words::event::RuntimeEvent;

/// A kind of shortage is not spoken of again for this long.
const QUIET: Duration = Duration::from_secs(60);

/// So many kinds of shortages are told apart; what comes beyond counts as one kind.
const MOST_KINDS: usize = 32;

/// Says whether anybody listens to anything. Costs an atomic load.
pub(crate) fn is_on() -> bool {
    LevelFilter::current() != LevelFilter::OFF
}

/// The span of one attempt, if anybody listens to it. It belongs to the trace of its event.
pub(crate) fn attempt_span(delivery: &Delivery) -> Option<Span> {
    if LevelFilter::current() < LevelFilter::INFO {
        return None;
    }
    let event = &delivery.event;
    let span = tracing::info_span!(
        parent: None,
        "attempt",
        emitter = %delivery.emitter,
        event = %event.name,
        request_id = %event.request_id,
        attempt = delivery.attempt,
        traceparent = tracing::field::Empty,
    );
    if span.is_disabled() {
        return None;
    }
    if let Some(trace) = &event.trace {
        span.record("traceparent", trace.traceparent.as_str());
        crate::words::trace::join(&span, trace);
    }
    Some(span)
}

/// The span of an `emit`, if anybody listens to it.
pub(crate) fn emit_span(event: &str) -> Option<Span> {
    if LevelFilter::current() < LevelFilter::INFO {
        return None;
    }
    let span = tracing::info_span!("emit", event, request_id = tracing::field::Empty);
    (!span.is_disabled()).then_some(span)
}

/// The log's memory of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The kinds of shortages that were spoken of: when, and whether they last.
    shortages: Mutex<FxHashMap<String, Spoken>>,
}

#[derive(Debug)]
struct Spoken {
    at: Instant,
    lasts: bool,
}

/// The kind of trouble with the store, among those of shortages.
const STORE: &str = "the store";

impl Log {
    /// Says what an event has to say.
    pub(crate) fn write(&self, event: &RuntimeEvent) {
        match event {
            RuntimeEvent::Attached { emitter } => info!(%emitter, "emitter attached"),
            RuntimeEvent::Paused { emitter } => info!(%emitter, "emitter paused"),
            RuntimeEvent::Restarted { emitter } => info!(%emitter, "emitter restarted"),
            RuntimeEvent::Detached { emitter } => info!(%emitter, "emitter detached"),
            RuntimeEvent::ShutDown => info!("runtime shut down"),
            RuntimeEvent::Gone { emitter } => {
                warn!(%emitter, "the receiver answered 410: it wants no more");
            }
            RuntimeEvent::Crashed { emitter, incarnation, reason, restart_in } => {
                error!(%emitter, %incarnation, %reason, ?restart_in, "emitter crashed");
            }
            RuntimeEvent::Failed { emitter, reason } => {
                error!(%emitter, %reason, "emitter failed: it stays down until it is restarted");
            }
            RuntimeEvent::OwnedElsewhere { emitter, reason } => {
                warn!(%emitter, %reason, "another owner has the emitter");
            }
            RuntimeEvent::Failing { emitter, code, message } => {
                warn!(%emitter, %code, %message, "emitter failing");
            }
            RuntimeEvent::Recovered { emitter } => info!(%emitter, "emitter recovered"),
            RuntimeEvent::Expired { emitter, name, request_id, .. } => {
                warn!(%emitter, event = %name, %request_id, "dropped: it waited too long");
            }
            RuntimeEvent::Started { emitter, incarnation } => {
                debug!(%emitter, %incarnation, "emitter started");
            }
            RuntimeEvent::AttemptFailed { .. } => failed_attempt(event),
            RuntimeEvent::DeadLettered { .. } => dead_letter(event),
            RuntimeEvent::Shortage { emitter, message } => {
                // What follows differs from emitter to emitter.
                let kind = message.split_once(':').map_or(message.as_str(), |(kind, _)| kind);
                match self.begins(kind) {
                    true => warn!(%emitter, %message, "shortage: no attempt counts meanwhile"),
                    false => debug!(%emitter, %message, "shortage"),
                }
            }
            RuntimeEvent::ShortageOver { emitter, message } => {
                let kind = message.split_once(':').map_or(message.as_str(), |(kind, _)| kind);
                if self.ends(kind) {
                    info!(%emitter, %message, "shortage over");
                }
            }
            RuntimeEvent::StoreUnavailable { emitter, message } => match self.begins(STORE) {
                true => warn!(%emitter, %message, "store unavailable: it is tried again"),
                false => debug!(%emitter, %message, "store unavailable"),
            },
            RuntimeEvent::StoreAvailable { emitter } => {
                if self.ends(STORE) {
                    info!(%emitter, "store available");
                }
            }
            RuntimeEvent::Replaying { .. }
            | RuntimeEvent::Delivered { .. }
            | RuntimeEvent::Drained { .. }
            | RuntimeEvent::Idle { .. }
            | RuntimeEvent::Missed { .. } => {}
        }
    }

    /// An emitter has a shortage of this kind. Answers whether that is worth a line.
    fn begins(&self, kind: &str) -> bool {
        let mut shortages = self.shortages.lock();
        let is_full = shortages.len() >= MOST_KINDS && !shortages.contains_key(kind);
        let kind = if is_full { "" } else { kind };
        let now = Instant::now();
        match shortages.entry(kind.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(Spoken { at: now, lasts: true });
                true
            }
            Entry::Occupied(mut entry) => {
                let spoken = entry.get_mut();
                let again = now.duration_since(spoken.at) >= QUIET;
                if again {
                    *spoken = Spoken { at: now, lasts: true };
                }
                again
            }
        }
    }

    /// It is over at an emitter, the first one since the line about it. Answers whether that is
    /// worth a line.
    fn ends(&self, kind: &str) -> bool {
        let mut shortages = self.shortages.lock();
        let spoken = shortages.get_mut(kind).filter(|spoken| spoken.lasts);
        spoken.map(|spoken| spoken.lasts = false).is_some()
    }
}

fn failed_attempt(event: &RuntimeEvent) {
    let RuntimeEvent::AttemptFailed {
        emitter,
        request_id,
        attempt,
        code,
        message,
        retry_in,
        counted,
        ..
    } = event
    else {
        return;
    };
    debug!(%emitter, %request_id, attempt, %code, %message, ?retry_in, counted, "attempt failed");
}

fn dead_letter(event: &RuntimeEvent) {
    let RuntimeEvent::DeadLettered { emitter, request_id, attempts, name, code, message, .. } =
        event
    else {
        return;
    };
    let (event, code_text) = (name, code);
    match code {
        AttemptCode::BlockedDestination => warn!(
            %emitter, %event, %request_id, attempts, code = %code_text, %message,
            "dead letter: its destination is blocked"
        ),
        _ => warn!(
            %emitter, %event, %request_id, attempts, code = %code_text, %message, "dead letter"
        ),
    }
}
