//! The root supervisor: it starts one actor per emitter, and keeps what outlives them. What happens
//! to an emitter it hands to that emitter's life, and does what follows. One emitter's trouble ends
//! here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bugle_core::{Backlog, EmitterId, EmitterSpecs, Journal, RestartBudget};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rustc_hash::FxHashMap;

use crate::emitter::tools::Tools;
use crate::tree::caller::Caller;
use crate::tree::life::{Call, Input, Refusal};
use crate::tree::listener::Ears;
use crate::tree::message::SupervisorMessage;
use crate::tree::router::Router;
use crate::tree::{Specs, Tree};

pub(crate) struct SupervisorArguments {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) kept: Option<Arc<dyn EmitterSpecs>>,
    /// The treatment of a paused emitter's backlog where its caller does not say.
    pub(crate) backlog: Backlog,
    pub(crate) tools: Arc<Tools>,
    pub(crate) specs: Arc<Specs>,
    pub(crate) budget: RestartBudget,
}

pub(crate) struct Supervisor;

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = Tree;
    type Arguments = SupervisorArguments;

    async fn pre_start(
        &self,
        root: ActorRef<SupervisorMessage>,
        arguments: SupervisorArguments,
    ) -> Result<Tree, ActorProcessingErr> {
        let SupervisorArguments { journal, kept, backlog, tools, specs, budget } = arguments;
        let router = Arc::new(Router::default());
        let ears = Ears {
            router: Arc::clone(&router),
            specs: Arc::clone(&specs),
            tools: Arc::clone(&tools),
            root: root.clone(),
        };
        let listener = Some(ears.listen(journal.appended()));
        Ok(Tree {
            root,
            journal,
            kept,
            backlog,
            listener,
            tools,
            router,
            specs,
            budget,
            children: FxHashMap::default(),
            by_actor: FxHashMap::default(),
            shutting_down: None,
        })
    }

    async fn handle(
        &self,
        _root: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        tree: &mut Tree,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Call(id, call) => tree.called(&id, call).await,
            SupervisorMessage::Restore(all, reply) => {
                tree.restore(all).await;
                let _ = reply.send(());
            }
            SupervisorMessage::Opened(new, reader, reply) => tree.opened(*new, reader, reply).await,
            SupervisorMessage::Gone(actor) => tree.gone(actor).await,
            SupervisorMessage::Lost(actor, why) => tree.lost(actor, why).await,
            SupervisorMessage::Moved(id) => tree.go_on(&id, Input::Moved).await,
            SupervisorMessage::Claimed(id, caller, claimed) => {
                tree.claimed(&id, caller, claimed).await;
            }
            SupervisorMessage::RestartDue { id, incarnation } => {
                tree.go_on(&id, Input::Due(incarnation)).await;
            }
            SupervisorMessage::Shutdown(grace, reply) => tree.shut_down(grace, reply).await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _root: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        tree: &mut Tree,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let why = reason.unwrap_or_else(|| "its actor ended".to_owned());
                tree.ended(cell.get_id(), why).await;
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                tree.ended(cell.get_id(), error.to_string()).await;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Tree {
    async fn called(&mut self, id: &EmitterId, call: Call<Caller>) {
        if self.shutting_down.is_some() {
            call.into_caller().answer(id, Err(Refusal::ShutDown));
            return;
        }
        self.go_on(id, Input::Call(call)).await;
    }

    async fn gone(&mut self, actor: ActorId) {
        let Some(id) = self.by_actor.get(&actor.pid()).cloned() else { return };
        let Some(child) = self.children.get(&id) else { return };
        let (Some(lives), Some(spec)) = (&child.lives, &child.spec) else { return };
        let (incarnation, gone) = (lives.incarnation, spec.state.lock().target.gone());
        self.go_on(&id, Input::Gone(incarnation, gone)).await;
    }

    async fn lost(&mut self, actor: ActorId, why: String) {
        let Some(id) = self.by_actor.get(&actor.pid()).cloned() else { return };
        let lives = self.children.get(&id).and_then(|child| child.lives.as_ref());
        let Some(incarnation) = lives.map(|lives| lives.incarnation) else { return };
        self.go_on(&id, Input::Lost(incarnation, why)).await;
    }

    async fn ended(&mut self, actor: ActorId, why: String) {
        let Some(id) = self.by_actor.remove(&actor.pid()) else { return };
        let lives = self.children.get(&id).and_then(|child| child.lives.as_ref());
        // It has one actor at a time.
        let Some(incarnation) = lives.map(|lives| lives.incarnation) else { return };
        let aborted = self.buried(&id);
        self.go_on(&id, Input::Ended { incarnation, why, aborted }).await;
        self.report_if_done();
    }

    /// An emitter has no actor any more. Answers how many attempts ended with it.
    fn buried(&self, id: &EmitterId) -> u32 {
        let Some(spec) = self.children.get(id).and_then(|child| child.spec.as_ref()) else {
            return 0;
        };
        let mut state = spec.state.lock();
        state.actor = None;
        state.waiting_for = None;
        if let Some(courier) = &state.courier {
            // Its actor has awaited its end, unless it was killed.
            courier.abort();
        }
        spec.counters.in_flight.swap(0, Ordering::Relaxed)
    }
}
