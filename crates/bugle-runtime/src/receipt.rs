//! What `emit` gives back: proof of acceptance, and a way to wait for the event's fate.

use std::sync::{Arc, Weak};

use bugle_core::{EmitterId, EventName, Fate, RequestId, Sequence};

use crate::spec::Spec;
use crate::tree::Specs;

/// An accepted event's receipt.
#[derive(Clone)]
pub struct Receipt {
    pub(crate) request_id: RequestId,
    pub(crate) sequence: Sequence,
    pub(crate) name: EventName,
    /// Weak: a receipt that is kept does not keep the runtime's store open.
    pub(crate) specs: Weak<Specs>,
    /// Told when the runtime has shut down.
    pub(crate) closed: Arc<tokio::sync::watch::Sender<bool>>,
}

/// An event's fate at one emitter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettledAt {
    /// The emitter.
    pub emitter: EmitterId,
    /// What became of the event there; `None` when the runtime was shut down before that.
    pub fate: Option<Fate>,
}

impl Receipt {
    /// The id that every emitter delivers the event under.
    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// The event's place in the journal.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Waits until every emitter that the event was meant for has settled it, and returns its fate
    /// at each, in the order of their ids. Emitters that have been detached since are left out, and
    /// all of them once the runtime's last handle is gone.
    /// Waiting costs nothing to those who don't.
    pub async fn settled(&self) -> Vec<SettledAt> {
        let Some(specs) = self.specs.upgrade() else { return Vec::new() };
        let mut meant_for: Vec<Arc<Spec>> = specs
            .read()
            .values()
            .filter(|spec| spec.wanted(self.sequence, &self.name))
            .cloned()
            .collect();
        drop(specs);
        meant_for.sort_by(|one, other| one.id.cmp(&other.id));
        let mut settled = Vec::with_capacity(meant_for.len());
        for spec in meant_for {
            let mut closed = self.closed.subscribe();
            let fate = tokio::select! {
                biased;
                fate = spec.settled.wait(|| spec.fate(self.sequence)) => Some(fate),
                _ = closed.wait_for(|closed| *closed) => spec.fate(self.sequence),
            };
            settled.push(SettledAt { emitter: spec.id.clone(), fate });
        }
        settled
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt")
            .field("request_id", &self.request_id)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
