//! The receipt of an `emit`: proof of acceptance, and a way to wait for the event's fate.

use std::sync::{Arc, Weak};

use bugle_core::{
    DeadLetter, DeadLetterQuery, DeadLetters, EmitterId, EventName, Fate, RequestId, Sequence,
};

use tokio::sync::watch;

use crate::api::runtime::Inner;
use crate::emitter::spec::Spec;

/// An accepted event's receipt.
#[derive(Clone)]
pub struct Receipt {
    pub(crate) request_id: RequestId,
    pub(crate) sequence: Sequence,
    pub(crate) name: EventName,
    /// Weak: a receipt that is kept does not keep the runtime's store open.
    pub(crate) runtime: Weak<Inner>,
}

/// An event's fate at one emitter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettledAt {
    /// The emitter.
    pub emitter: EmitterId,
    /// The event's fate there; `None` when the runtime was shut down before that, or another owner
    /// has the emitter.
    pub fate: Option<Fate>,
    /// The dead letter, where the fate is [`Fate::DeadLettered`]: its `code` and `message` say why
    /// the emitter gave up. `None` once it was replayed, discarded or gave way to others, and where
    /// the store can't read it.
    pub dead_letter: Option<Box<DeadLetter>>,
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

    /// Counts the emitters that the event was meant for: those of [`Receipt::settled`], paused and
    /// failed ones too. Zero says that no subscription matched the event's name: it may be
    /// misspelt, here or there.
    ///
    /// ```
    /// # async fn example(runtime: bugle_runtime::Runtime) -> Result<(), bugle_runtime::EmitError> {
    /// # let invoice = std::collections::BTreeMap::from([("id", 7)]);
    /// let receipt = runtime.emit("invoice.payed", &invoice).await?;
    /// if receipt.matched() == 0 {
    ///     eprintln!("nobody wants invoice.payed");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn matched(&self) -> usize {
        self.runtime.upgrade().map_or(0, |inner| {
            let specs = inner.specs.read();
            specs.values().filter(|spec| spec.wanted(self.sequence, &self.name)).count()
        })
    }

    /// Waits until every emitter that the event was meant for has settled it, and returns its fate
    /// at each, in the order of their ids, and why it was given up where it was. Emitters that have
    /// been detached since are left out, and all of them once the runtime's last handle is gone.
    /// Waiting costs nothing to those who don't.
    ///
    /// ```
    /// # async fn example(receipt: bugle_runtime::Receipt) {
    /// for at in receipt.settled().await {
    ///     if let Some(letter) = at.dead_letter {
    ///         println!("{} gave up: {} ({})", at.emitter, letter.message, letter.code);
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn settled(&self) -> Vec<SettledAt> {
        let Some(inner) = self.runtime.upgrade() else { return Vec::new() };
        let mut meant_for: Vec<Arc<Spec>> = inner
            .specs
            .read()
            .values()
            .filter(|spec| spec.wanted(self.sequence, &self.name))
            .cloned()
            .collect();
        let (letters, closing) = (Arc::clone(&inner.letters), Arc::clone(&inner.closed));
        // Who waits keeps no runtime alive.
        drop(inner);
        meant_for.sort_by(|one, other| one.id.cmp(&other.id));
        let mut settled = Vec::with_capacity(meant_for.len());
        for spec in meant_for {
            let mut closed = closing.subscribe();
            let fate = tokio::select! {
                biased;
                fate = spec.settlements.wait(|| spec.fate(self.sequence)) => fate,
                () = until_closed(&mut closed) => spec.fate(self.sequence).await.flatten(),
            };
            let dead_letter = match fate {
                Some(Fate::DeadLettered) => self.dead_letter(&*letters, &spec.id).await,
                _ => None,
            };
            settled.push(SettledAt { emitter: spec.id.clone(), fate, dead_letter });
        }
        settled
    }

    async fn dead_letter(
        &self,
        letters: &dyn DeadLetters,
        at: &EmitterId,
    ) -> Option<Box<DeadLetter>> {
        let query =
            DeadLetterQuery::new().emitter_ids([at.clone()]).event_ids([self.request_id.clone()]);
        let page = letters.page(&query, None).await.ok()?;
        // Another event may have the same request id.
        page.items.into_iter().find(|letter| letter.sequence == self.sequence).map(Box::new)
    }
}

/// Waits until the runtime is shut down, or gone.
pub(crate) async fn until_closed(closed: &mut watch::Receiver<bool>) {
    // Nothing is held that a lock guards: the answer may be awaited behind it.
    let _ = closed.wait_for(|closed| *closed).await;
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt")
            .field("request_id", &self.request_id)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
