//! The emitter's actor: one per emitter, linked to its supervisor, of which it knows only that it
//! can be told of a receiver that is gone. It holds no event and awaits no I/O: it keeps a courier,
//! and hears from it only why it ended.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::Gone;
use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use tokio::task::AbortHandle;

use crate::emitter::courier::{Courier, FinishFlag};
use crate::emitter::message::{EmitterMessage, EmitterReport, Exit};
use crate::emitter::spec::Spec;
use crate::emitter::tools::Tools;

/// An emitter's actor under a supervisor that takes messages of this type.
pub(crate) struct EmitterActor<S>(PhantomData<fn(S)>);

pub(crate) struct EmitterArguments<S> {
    pub(crate) spec: Arc<Spec>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) supervisor: ActorRef<S>,
}

pub(crate) struct EmitterState<S> {
    spec: Arc<Spec>,
    tools: Arc<Tools>,
    /// Is told that the receiver is gone.
    supervisor: ActorRef<S>,
    /// The courier at work, if any.
    courier: Option<CourierHandle>,
    /// Numbers the couriers: a late word of an earlier one is ignored.
    couriers: u64,
    /// Set while it drains: the timer that ends the grace.
    draining: Option<AbortHandle>,
}

struct CourierHandle {
    number: u64,
    finish: Arc<FinishFlag>,
}

impl<S> Default for EmitterActor<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S: Message + From<EmitterReport>> Actor for EmitterActor<S> {
    type Msg = EmitterMessage;
    type State = EmitterState<S>;
    type Arguments = EmitterArguments<S>;

    async fn pre_start(
        &self,
        _myself: ActorRef<EmitterMessage>,
        arguments: EmitterArguments<S>,
    ) -> Result<EmitterState<S>, ActorProcessingErr> {
        let EmitterArguments { spec, tools, supervisor } = arguments;
        Ok(EmitterState { spec, tools, supervisor, courier: None, couriers: 0, draining: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<EmitterMessage>,
        message: EmitterMessage,
        state: &mut EmitterState<S>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EmitterMessage::Wake => {
                if state.draining.is_none() {
                    state.start_courier(&myself);
                }
            }
            EmitterMessage::CourierEnded { number, exit } => {
                if state.courier.as_ref().is_some_and(|courier| courier.number == number) {
                    state.courier = None;
                    return state.courier_ended(&myself, exit);
                }
            }
            EmitterMessage::Drain(grace) => state.drain(&myself, grace),
            EmitterMessage::DrainOver => myself.stop(None),
            EmitterMessage::Crash(reason) => {
                state.end_courier().await;
                return Err(reason.into());
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<EmitterMessage>,
        state: &mut EmitterState<S>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(timer) = state.draining.take() {
            timer.abort();
        }
        state.end_courier().await;
        Ok(())
    }
}

impl<S: Message + From<EmitterReport>> EmitterState<S> {
    fn start_courier(&mut self, myself: &ActorRef<EmitterMessage>) {
        self.couriers += 1;
        let number = self.couriers;
        let finish = Arc::new(FinishFlag::default());
        self.courier = Some(CourierHandle { number, finish: Arc::clone(&finish) });
        let (spec, tools, actor) =
            (Arc::clone(&self.spec), Arc::clone(&self.tools), myself.clone());
        let mut spec_state = self.spec.state.lock();
        let before = spec_state.courier.take();
        spec_state.courier = Some(tokio::spawn(async move {
            if let Some(before) = before {
                // Its end, however it came, is all that is wanted.
                let _ = before.await;
            }
            let exit = Courier::new(spec, tools, finish).run().await;
            // Fails only when the actor has stopped, and then nobody needs to know.
            let _ = actor.send_message(EmitterMessage::CourierEnded { number, exit });
        }));
    }

    /// Aborts the courier and awaits its end: once the supervisor hears of the actor's, nothing is
    /// in flight.
    async fn end_courier(&self) {
        let courier = self.spec.state.lock().courier.take();
        if let Some(courier) = courier {
            courier.abort();
            // An error says that it was aborted, which is what was asked for.
            let _ = courier.await;
        }
    }

    fn courier_ended(
        &mut self,
        myself: &ActorRef<EmitterMessage>,
        exit: Exit,
    ) -> Result<(), ActorProcessingErr> {
        match exit {
            Exit::Crashed(reason) => return Err(reason.into()),
            // However it ended, nothing is in flight any more.
            _ if self.draining.is_some() => myself.stop(None),
            Exit::Idle => {}
            Exit::Finished => self.go_on(),
            // The target was changed meanwhile, and the new one does not mind.
            Exit::Gone if self.spec.state.lock().target.gone() == Gone::Retry => self.go_on(),
            Exit::Gone => {
                // Fails only when the whole runtime has stopped.
                let _ = self.supervisor.send_message(EmitterReport::Gone(myself.get_id()).into());
            }
            Exit::Lost(words) => {
                let lost = EmitterReport::Lost(myself.get_id(), words);
                let _ = self.supervisor.send_message(lost.into());
            }
        }
        Ok(())
    }

    /// The next wake starts another courier: at once when something waits.
    fn go_on(&self) {
        self.spec.doorbell.nobody();
        self.spec.wake_if_any(&self.tools);
    }

    fn drain(&mut self, myself: &ActorRef<EmitterMessage>, grace: Duration) {
        let Some(courier) = self.courier.as_ref().filter(|_| !grace.is_zero()) else {
            myself.stop(None);
            return;
        };
        courier.finish.raise();
        self.spec.doorbell.nudge();
        let actor = myself.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            let _ = actor.send_message(EmitterMessage::DrainOver);
        });
        if let Some(earlier) = self.draining.replace(timer.abort_handle()) {
            earlier.abort();
        }
    }
}
