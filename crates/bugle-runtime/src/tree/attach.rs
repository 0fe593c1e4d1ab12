//! The ways into the tree: an emitter is attached, gets another subscription than it had, or comes
//! from an earlier process.

use std::sync::Arc;

use bugle_core::{Answer, EmitterId, EmitterSpec, JournalError, Reader};

use crate::emitter::spec::Spec;
use crate::emitter::target::Target;
use crate::tree::caller::Caller;
use crate::tree::caller::{NewEmitter, Reply};
use crate::tree::effects::shown;
use crate::tree::life::{Input, Refusal};
use crate::tree::message::{Restored, SupervisorMessage};
use crate::tree::{Child, Tree};
use crate::words::error::AttachError;
use crate::words::event::RuntimeEvent;

/// The store answers this when it is asked for an emitter's place.
type Opened = Result<Arc<dyn Reader>, JournalError>;

impl Tree {
    /// Opens the place that a caller wants: at once where nothing has to be waited for. The handler
    /// awaits no I/O: the place is opened beside it, and comes back.
    pub(crate) fn open(&self, child: &mut Child, caller: Caller) -> Option<Input<Caller>> {
        let Caller::Bringing(new, reply) = caller else { return None };
        let opening = self.journal.reader(&new.id, &new.subscription);
        let keeping = match &child.spec {
            // Behind the place: what is restored one day has one.
            None => self.kept.as_ref().map(|kept| match &new.target {
                Target::Http(config) => {
                    let (id, subscription) = (new.id.clone(), new.subscription.clone());
                    kept.put(EmitterSpec::new(id, subscription, Arc::clone(config)))
                }
                Target::Handler(..) => kept.remove(&new.id),
            }),
            Some(spec) => {
                spec.resubscribe(new.subscription.clone());
                spec.retarget(&mut spec.state.lock(), new.target.clone());
                self.hand_over(spec)
            }
        };
        match (opening, keeping) {
            (Answer::Now(Some(opened)), None) => {
                let opened = opened.map(|reader| self.take_place(child, *new, reader));
                return Some(Input::Opened(Caller::Attaching(reply), opened));
            }
            (opening, keeping) => {
                let root = self.root.clone();
                tokio::spawn(async move {
                    let mut opened = opening.await;
                    if let Some(keeping) = keeping
                        && let Err(error) = keeping.await
                    {
                        opened = opened.and(Err(error));
                    }
                    let _ = root.send_message(SupervisorMessage::Opened(new, opened, reply));
                });
            }
        }
        None
    }

    /// The place that was being opened is open, or can't be.
    pub(crate) async fn opened(
        &mut self,
        new: NewEmitter,
        opened: Opened,
        reply: Reply<Result<(), AttachError>>,
    ) {
        let id = new.id.clone();
        let opened = opened.map(|reader| {
            // None when it was shut down meanwhile.
            if let Some(mut child) = self.children.remove(&id) {
                self.take_place(&mut child, new, reader);
                self.children.insert(id.clone(), child);
            }
        });
        self.go_on(&id, Input::Opened(Caller::Attaching(reply), opened)).await;
    }

    /// An emitter has its place: from now on it can be seen.
    fn take_place(&self, child: &mut Child, new: NewEmitter, reader: Arc<dyn Reader>) {
        match &child.spec {
            Some(spec) => {
                spec.opened(reader);
                spec.settlements.tell();
            }
            None => {
                let NewEmitter { id, subscription, target } = new;
                let shown = child.lives.as_ref().map(shown);
                let shown = shown.unwrap_or_default();
                let spec = Arc::new(Spec::new(id.clone(), subscription, target, reader, shown));
                self.specs.write().insert(id, Arc::clone(&spec));
                child.spec = Some(spec);
            }
        }
    }

    /// An emitter that was not attached after all is not restored either.
    pub(crate) fn withdraw(&self, id: &EmitterId) {
        if let Some(kept) = &self.kept {
            // It is handed over, and nobody waits for it.
            drop(kept.remove(id));
        }
    }

    /// Has an emitter deliver as this caller wants, and answers once the store keeps that.
    pub(crate) fn retarget(&self, spec: &Spec, caller: Caller) {
        let (caller, changed) = match caller {
            Caller::Bringing(new, reply) => {
                let changed = spec.retarget(&mut spec.state.lock(), new.target);
                (Caller::Attaching(reply), changed)
            }
            caller => (caller, false),
        };
        match changed {
            true => self.keep(spec, Some(caller)),
            false => caller.answer(&spec.id, Ok(())),
        }
    }

    /// Has the store keep an emitter's spec as it is now, and answers a call then.
    pub(crate) fn keep(&self, spec: &Spec, caller: Option<Caller>) {
        let Some(keeping) = self.hand_over(spec) else {
            if let Some(caller) = caller {
                caller.answer(&spec.id, Ok(()));
            }
            return;
        };
        let (id, teller) = (spec.id.clone(), self.tools.teller.clone());
        tokio::spawn(async move {
            let kept = keeping.await;
            if let Err(error) = &kept {
                teller.tell(|| RuntimeEvent::StoreUnavailable {
                    emitter: id.clone(),
                    message: format!("its spec is not kept yet: {error}"),
                });
            }
            if let Some(caller) = caller {
                caller.answer(&id, kept.map_err(Refusal::Store));
            }
        });
    }

    fn hand_over(&self, spec: &Spec) -> Option<Answer<'static, Result<(), JournalError>>> {
        self.kept.as_deref().map(|kept| spec.hand_over(&spec.state.lock(), kept))
    }

    /// Takes emitters of an earlier process into the tree, as they were.
    pub(crate) async fn restore(&mut self, all: Vec<Restored>) {
        for Restored { new, reader, paused } in all {
            let (id, mut child) = (new.id.clone(), Box::<Child>::default());
            self.take_place(&mut child, new, reader);
            self.children.insert(id.clone(), child);
            self.go_on(&id, Input::Restored(paused)).await;
        }
    }
}
