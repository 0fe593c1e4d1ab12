//! Shutting down, and the report of what was left.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{EmitterId, JournalError};
use ractor::ActorRef;

use crate::emitter::EmitterMessage;
use crate::lifecycle::Then;
use crate::supervisor::{Reply, SupervisorMessage, SupervisorState, refuse};
use crate::watch::RuntimeEvent;

/// What was left when a runtime had shut down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Each emitter, in the order of ids.
    pub emitters: Vec<EmitterLeft>,
    /// Set when the store could not make everything safe at the end.
    pub flush_error: Option<JournalError>,
}

/// What one emitter left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmitterLeft {
    /// The emitter.
    pub id: EmitterId,
    /// How many events it had not settled. A durable store keeps them for the next start; with the
    /// memory store they are lost.
    pub pending: u64,
    /// How many attempts were aborted because they did not finish within the grace time. Their
    /// events are among the pending ones.
    pub aborted: u32,
}

impl ShutdownReport {
    pub(crate) fn new(emitters: Vec<EmitterLeft>) -> Self {
        Self { emitters, flush_error: None }
    }

    /// How many events were not settled, over all emitters.
    pub fn pending(&self) -> u64 {
        self.emitters.iter().map(|left| left.pending).sum()
    }

    /// How many attempts were aborted, over all emitters.
    pub fn aborted(&self) -> u64 {
        self.emitters.iter().map(|left| u64::from(left.aborted)).sum()
    }

    /// Whether everything was settled and is safe.
    pub fn is_clean(&self) -> bool {
        self.pending() == 0 && self.aborted() == 0 && self.flush_error.is_none()
    }
}

impl EmitterLeft {
    pub(crate) fn new(id: EmitterId, pending: u64, aborted: u32) -> Self {
        Self { id, pending, aborted }
    }
}

/// Who waits for the report, and what is in it so far.
pub(crate) struct ShuttingDown {
    pub(crate) replies: Vec<Reply<ShutdownReport>>,
    pub(crate) left: Vec<EmitterLeft>,
}

impl SupervisorState {
    pub(crate) fn shut_down(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        grace: Duration,
        reply: Reply<ShutdownReport>,
    ) {
        let shutting_down = self
            .shutting_down
            .get_or_insert_with(|| ShuttingDown { replies: Vec::new(), left: Vec::new() });
        shutting_down.replies.push(reply);
        let ids: Vec<EmitterId> = self.children.keys().cloned().collect();
        for id in ids {
            let Some(child) = self.children.get_mut(&id) else { continue };
            for message in child.waiting.drain(..) {
                refuse(message);
            }
            if child.stopping.is_some() {
                // Already ending; a second call may shorten its grace.
                if let Some(actor) = &child.spec.state.lock().actor {
                    let _ = actor.send_message(EmitterMessage::Drain(grace));
                }
            } else {
                self.stop(&id, grace, Then::ShutDown);
            }
        }
        self.report_if_done(myself);
    }

    pub(crate) fn report_if_done(&mut self, myself: &ActorRef<SupervisorMessage>) {
        if self.shutting_down.is_none() || !self.by_actor.is_empty() {
            return;
        }
        let Some(mut shutting_down) = self.shutting_down.take() else { return };
        shutting_down.left.sort_by(|one, other| one.id.cmp(&other.id));
        let report = ShutdownReport::new(shutting_down.left);
        let (journal, teller, myself) =
            (Arc::clone(&self.journal), self.tools.teller.clone(), myself.clone());
        // Refuses what comes between now and the end.
        self.shutting_down = Some(ShuttingDown { replies: Vec::new(), left: Vec::new() });
        tokio::spawn(async move {
            let mut report = report;
            report.flush_error = journal.flush().await.err();
            teller.tell(|| RuntimeEvent::ShutDown);
            for reply in shutting_down.replies {
                let _ = reply.send(report.clone());
            }
            myself.stop(None);
        });
    }
}
