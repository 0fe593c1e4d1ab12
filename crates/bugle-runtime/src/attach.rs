//! How an emitter comes into the tree: attached, or with another subscription than it had.

use std::sync::Arc;

use bugle_core::{
    Answer, Backlog, Desired, EmitterId, EmitterSpec, JournalError, Reader, RestartLog,
};

use crate::control::may_attach;
use crate::description::Status;
use crate::error::AttachError;
use crate::message::{NewEmitter, Reply, Restored, SupervisorMessage, answer, refuse};
use crate::spec::Spec;
use crate::target::Target;
use crate::tree::{Child, Then, Tree};
use crate::watch::RuntimeEvent;

/// What the store says of an emitter's place.
type Opened = Result<Arc<dyn Reader>, JournalError>;

impl Tree {
    pub(crate) async fn attach(&mut self, new: NewEmitter, reply: Reply<Result<(), AttachError>>) {
        if let Err(error) = may_attach(&new.id, self.status(&new.id)) {
            // Fails only when the caller has stopped waiting, as below.
            let _ = reply.send(Err(error));
            return;
        }
        let opening = self.journal.reader(&new.id, &new.subscription);
        // Behind the place: what is restored one day has one.
        let keeping = self.kept.as_ref().map(|kept| match &new.target {
            Target::Http(config) => {
                let (id, subscription) = (new.id.clone(), new.subscription.clone());
                kept.put(EmitterSpec::new(id, subscription, Arc::clone(config)))
            }
            Target::Handler(..) => kept.remove(&new.id),
        });
        self.open(new, opening, keeping, reply).await;
    }

    /// Attaches it if there is none of this id; else has it be like this from now on.
    pub(crate) async fn ensure(&mut self, new: NewEmitter, reply: Reply<Result<(), AttachError>>) {
        let Some(child) = self.children.get(&new.id) else {
            return self.attach(new, reply).await;
        };
        let spec = Arc::clone(&child.spec);
        if spec.with_subscription(|wanted| *wanted == new.subscription) {
            let changed = spec.retarget(&mut spec.state.lock(), new.target);
            if changed {
                self.keep(&spec, Some(reply));
            } else {
                answer(Some(reply), Ok(()));
            }
            return;
        }
        // What is in flight is settled at the old place.
        let grace = {
            let mut state = spec.state.lock();
            if state.status == Status::Restarting {
                // It starts with its new place, and not when its delay is over.
                state.status = Status::Running;
            }
            state.target.timeout()
        };
        self.stop(&new.id.clone(), grace, Then::Resubscribe(new, reply)).await;
    }

    /// Opens the place of an emitter anew, for another subscription. Nothing is in flight.
    pub(crate) async fn reopen(
        &mut self,
        spec: &Spec,
        new: NewEmitter,
        reply: Reply<Result<(), AttachError>>,
    ) {
        let opening = self.journal.reader(&new.id, &new.subscription);
        spec.resubscribe(new.subscription.clone());
        spec.retarget(&mut spec.state.lock(), new.target.clone());
        let keeping = self.hand_over(spec);
        self.open(new, opening, keeping, reply).await;
    }

    /// Goes on once the place is open and the spec kept: at once where nothing has to be waited
    /// for. The handler awaits no I/O: the place is opened beside it, and comes back.
    async fn open(
        &mut self,
        new: NewEmitter,
        opening: Answer<'static, Opened>,
        keeping: Option<Answer<'static, Result<(), JournalError>>>,
        reply: Reply<Result<(), AttachError>>,
    ) {
        match (opening, keeping) {
            (Answer::Now(Some(reader)), None) => self.install_or_answer(new, reader, reply).await,
            (opening, keeping) => {
                self.opening.insert(new.id.clone(), Vec::new());
                let root = self.root.clone();
                tokio::spawn(async move {
                    let mut reader = opening.await;
                    if let Some(keeping) = keeping
                        && let Err(error) = keeping.await
                    {
                        reader = reader.and(Err(error));
                    }
                    let _ = root.send_message(SupervisorMessage::Opened(new, reader, reply));
                });
            }
        }
    }

    /// The place that was being opened is open, or can't be.
    pub(crate) async fn opened(
        &mut self,
        new: NewEmitter,
        reader: Opened,
        reply: Reply<Result<(), AttachError>>,
    ) {
        let Some(waiting) = self.opening.remove(&new.id) else {
            // It was shut down meanwhile.
            let _ = reply.send(Err(AttachError::ShutDown));
            return;
        };
        self.install_or_answer(new, reader, reply).await;
        for message in waiting {
            Box::pin(self.dispatch(message)).await;
        }
    }

    async fn install_or_answer(
        &mut self,
        new: NewEmitter,
        reader: Opened,
        reply: Reply<Result<(), AttachError>>,
    ) {
        let known = self.children.get(&new.id).map(|child| Arc::clone(&child.spec));
        match (reader, known) {
            (Ok(reader), None) => {
                let id = new.id.clone();
                self.install(new, reader);
                self.start(&id).await;
                let _ = reply.send(Ok(()));
            }
            (Ok(reader), Some(spec)) => {
                spec.opened(reader);
                self.go_on(&spec).await;
                let _ = reply.send(Ok(()));
            }
            (Err(error), known) => {
                match known {
                    // What waits is kept, for when it is attached or ensured again.
                    Some(spec) => self.lose(&spec, &error),
                    None => self.withdraw(&new.id),
                }
                let _ = reply.send(Err(error.into()));
            }
        }
    }

    /// Takes an emitter with an open place into the tree.
    pub(crate) fn install(&mut self, new: NewEmitter, reader: Arc<dyn Reader>) {
        let NewEmitter { id, subscription, target } = new;
        let spec = Arc::new(Spec::new(id.clone(), subscription, target, reader));
        self.specs.write().insert(id.clone(), Arc::clone(&spec));
        let child = Child {
            spec,
            actor: None,
            crashes: RestartLog::default(),
            stopping: None,
            restart_timer: None,
            waiting: Vec::new(),
        };
        self.children.insert(id.clone(), child);
        self.tools.teller.tell(|| RuntimeEvent::Attached { emitter: id });
    }

    /// An emitter with a new place goes on as it was: it runs, or is paused or failed.
    async fn go_on(&mut self, spec: &Spec) {
        let (status, backlog) = {
            let state = spec.state.lock();
            (state.status, state.backlog)
        };
        match status {
            Status::Running | Status::Restarting => self.start(&spec.id).await,
            Status::Paused => spec.reader().pause(backlog),
            Status::Failed => spec.reader().pause(Backlog::Keep),
        }
        spec.settled.tell();
    }

    /// The store could not open an emitter's new place, and its old one is gone.
    fn lose(&mut self, spec: &Spec, error: &JournalError) {
        self.children.remove(&spec.id);
        self.specs.write().remove(&spec.id);
        spec.state.lock().detached = true;
        spec.settled.tell();
        let reason = format!("it lost its place: {error}");
        self.tools.teller.tell(|| RuntimeEvent::Failed { emitter: spec.id.clone(), reason });
    }

    /// An emitter that was not attached after all is not restored either.
    fn withdraw(&self, id: &EmitterId) {
        if let Some(kept) = &self.kept {
            // It is handed over, and nobody waits for it.
            drop(kept.remove(id));
        }
    }

    /// At shutdown: calls for emitters whose place is being opened come to nothing.
    pub(crate) fn refuse_opening(&mut self) {
        for (id, waiting) in std::mem::take(&mut self.opening) {
            waiting.into_iter().for_each(refuse);
            if !self.children.contains_key(&id) {
                self.withdraw(&id);
            }
        }
    }

    /// Has the store keep an emitter's spec as it is now, and answers a call then.
    pub(crate) fn keep<E>(&self, spec: &Spec, reply: Option<Reply<Result<(), E>>>)
    where
        E: From<JournalError> + Send + 'static,
    {
        match self.hand_over(spec) {
            None => answer(reply, Ok(())),
            Some(keeping) => {
                let (id, teller) = (spec.id.clone(), self.tools.teller.clone());
                tokio::spawn(async move {
                    let kept = keeping.await;
                    if let Err(error) = &kept {
                        teller.tell(|| RuntimeEvent::StoreUnavailable {
                            emitter: id,
                            message: format!("its spec is not kept yet: {error}"),
                        });
                    }
                    answer(reply, kept.map_err(Into::into));
                });
            }
        }
    }

    fn hand_over(&self, spec: &Spec) -> Option<Answer<'static, Result<(), JournalError>>> {
        self.kept.as_deref().map(|kept| spec.hand_over(&spec.state.lock(), kept))
    }

    /// Takes emitters of an earlier process into the tree, as they were.
    pub(crate) async fn restore(&mut self, all: Vec<Restored>) {
        for restored in all {
            let id = restored.new.id.clone();
            self.install(restored.new, restored.reader);
            if restored.desired != Desired::Paused {
                self.start(&id).await;
            } else if let Some(child) = self.children.get(&id) {
                child.spec.reader().pause(restored.backlog);
                let mut state = child.spec.state.lock();
                state.desired = Desired::Paused;
                state.status = Status::Paused;
                state.backlog = restored.backlog;
            }
        }
    }
}
