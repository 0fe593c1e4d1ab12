//! The pause of an emitter, and its choices.

use std::time::Duration;

use bugle_core::{Backlog, BoxFuture, EmitterId};

use crate::api::runtime::Runtime;
use crate::tree::caller::Caller;
use crate::tree::life::Call;
use crate::tree::message::SupervisorMessage;
use crate::words::error::ControlError;

/// A pause to be made: await it. See [`Runtime::pause_with`].
#[must_use = "a pause is made when it is awaited"]
#[derive(Debug)]
pub struct Pause<'a> {
    runtime: &'a Runtime,
    id: &'a str,
    /// The journal does this with its backlog. `None`: as the store does by default.
    backlog: Option<Backlog>,
    /// The attempts in flight may take this long to finish.
    grace: Duration,
}

impl Pause<'_> {
    /// Lets what is in flight finish first, for at most this long.
    pub fn draining(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl<'a> IntoFuture for Pause<'a> {
    type Output = Result<(), ControlError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { runtime, id, backlog, grace } = self;
            let Ok(id) = EmitterId::new(id) else { return Ok(()) };
            let pause = |reply| {
                let caller = Caller::Controlling(reply);
                SupervisorMessage::Call(id, Call::Pause { caller, backlog, grace })
            };
            runtime.ask(pause).await.unwrap_or(Err(ControlError::ShutDown))
        })
    }
}

impl Runtime {
    /// Stops an emitter's actor and keeps its spec. What is in flight is aborted at once. What
    /// waits is dropped with the memory store, and kept with a durable one. An unknown id is no
    /// error.
    ///
    /// # Errors
    /// [`ControlError`] when the runtime was shut down, or the store can't.
    pub async fn pause(&self, id: &str) -> Result<(), ControlError> {
        Pause { runtime: self, id, backlog: None, grace: Duration::ZERO }.await
    }

    /// Pauses an emitter with its backlog kept or dropped, as chosen; add
    /// [`Pause::draining`] to let what is in flight finish first.
    pub fn pause_with<'a>(&'a self, id: &'a str, backlog: Backlog) -> Pause<'a> {
        Pause { runtime: self, id, backlog: Some(backlog), grace: Duration::ZERO }
    }
}
