//! The ways into the tree: an emitter is attached, gets another subscription than it had, or comes
//! from an earlier process.

use std::sync::Arc;

use bugle_core::{Answer, EmitterId, EmitterSpec, ErrorKind, JournalError, Reader};

use crate::emitter::not_here::NotHere;
use crate::emitter::spec::Spec;
use crate::emitter::target::Target;
use crate::tree::caller::Caller;
use crate::tree::caller::{NewEmitter, Reply};
use crate::tree::effects::shown;
use crate::tree::life::{Input, Life, Refusal};
use crate::tree::message::{Restored, SupervisorMessage};
use crate::tree::{Child, Done, Tree};
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
                let opened = self.place(child, *new, opened);
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
        let opened = match self.children.remove(&id) {
            Some(mut child) => {
                let opened = self.place(&mut child, new, opened);
                self.children.insert(id.clone(), child);
                opened
            }
            // It was shut down meanwhile.
            None => opened.map(drop),
        };
        self.go_on(&id, Input::Opened(Caller::Attaching(reply), opened)).await;
    }

    /// An emitter has its place, if that could be opened. One that another owner has, has one too.
    fn place(
        &self,
        child: &mut Child,
        new: NewEmitter,
        opened: Opened,
    ) -> Result<(), JournalError> {
        match opened {
            Ok(reader) => {
                self.take_place(child, new, reader);
                Ok(())
            }
            Err(error) => {
                if error.kind == ErrorKind::Fenced {
                    self.take_place(child, new, Arc::new(NotHere::new(error.clone())));
                }
                Err(error)
            }
        }
    }

    /// Asks the store for an emitter that another owner has.
    pub(crate) fn claim(&self, child: &mut Child, caller: Option<Caller>) -> Option<Input<Caller>> {
        if caller.is_none() && child.is_claimed {
            return None;
        }
        let spec = Arc::clone(child.spec.as_ref()?);
        let claiming = spec.with_subscription(|wanted| match &caller {
            Some(_) => self.journal.reader(&spec.id, wanted),
            None => self.journal.reader_if_free(&spec.id, wanted),
        });
        match claiming {
            Answer::Now(Some(claimed)) => {
                Some(Input::Claimed(caller, claimed.map(|reader| spec.opened(reader))))
            }
            claiming => {
                child.is_claimed = true;
                let (root, id) = (self.root.clone(), spec.id.clone());
                tokio::spawn(async move {
                    let claimed = claiming.await;
                    let _ = root.send_message(SupervisorMessage::Claimed(id, caller, claimed));
                });
                None
            }
        }
    }

    /// The store has answered whether an emitter can be had.
    pub(crate) async fn claimed(
        &mut self,
        id: &EmitterId,
        caller: Option<Caller>,
        claimed: Opened,
    ) {
        let child = self.children.get_mut(id);
        let claimed = claimed.map(|reader| {
            if let Some(child) = &child
                && let (Some(spec), Some(lives)) = (&child.spec, &child.lives)
                && matches!(lives.life, Life::Elsewhere { .. })
            {
                spec.opened(reader);
            }
        });
        if let Some(child) = child {
            child.is_claimed = false;
        }
        self.go_on(id, Input::Claimed(caller, claimed)).await;
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
            true => self.keep(spec, Some(caller), Vec::new()),
            false => caller.answer(&spec.id, Ok(())),
        }
    }

    /// Has the store keep an emitter's spec as it is now, and answers a call then, and once all is
    /// done that was handed over before.
    pub(crate) fn keep(&self, spec: &Spec, caller: Option<Caller>, mut before: Vec<Done>) {
        before.extend(self.hand_over(spec));
        let mut failed = None;
        before.retain_mut(|answer| match answer {
            Answer::Now(answer) => {
                failed = failed.take().or(answer.take().and_then(Result::err));
                false
            }
            Answer::Later(_) => true,
        });
        let (id, teller) = (spec.id.clone(), self.tools.teller.clone());
        let answer = move |failed: Option<JournalError>| {
            if let Some(error) = &failed {
                teller.tell(|| RuntimeEvent::StoreUnavailable {
                    emitter: id.clone(),
                    message: format!("it is not kept as it is yet: {error}"),
                });
            }
            if let Some(caller) = caller {
                caller.answer(&id, failed.map_or(Ok(()), |error| Err(Refusal::Store(error))));
            }
        };
        if before.is_empty() {
            return answer(failed);
        }
        tokio::spawn(async move {
            for done in before {
                failed = failed.or(done.await.err());
            }
            answer(failed);
        });
    }

    fn hand_over(&self, spec: &Spec) -> Option<Done> {
        self.kept.as_deref().map(|kept| spec.hand_over(&spec.state.lock(), kept))
    }

    /// Takes emitters of an earlier process into the tree, as they were.
    pub(crate) async fn restore(&mut self, all: Vec<Restored>) {
        for Restored { new, reader, paused } in all {
            let (id, mut child) = (new.id.clone(), Box::<Child>::default());
            let placed = self.place(&mut child, new, reader);
            self.children.insert(id.clone(), child);
            self.go_on(&id, Input::Restored(paused)).await;
            if let Err(error) = placed
                && let Some(lives) = self.children.get(&id).and_then(|it| it.lives.as_ref())
            {
                let lost = Input::Lost(lives.incarnation, error.message);
                self.go_on(&id, lost).await;
            }
        }
    }
}
