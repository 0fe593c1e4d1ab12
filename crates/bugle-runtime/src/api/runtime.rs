//! The handle of a running supervision tree: attach, emit, pause, restart, describe, shut down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bugle_core::{
    AttemptLog, ConfigError, DeadLetters as DeadLettersPort, EmitterConfig, EmitterId,
    EmitterSpecs, EventCheck, EventLog, EventNames, Journal, JournalError, JournalStats, Positions,
    Store,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use ractor::ActorRef;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::attempts::Attempts;
use crate::api::dead_letters::DeadLetters;
use crate::api::events::Events;
use crate::api::size_hint::SizeHint;
use crate::emitter::message::EmitterMessage;
use crate::emitter::target::Target;
use crate::emitter::tools::Tools;
use crate::tree::Specs;
use crate::tree::caller::Caller;
use crate::tree::caller::NewEmitter;
use crate::tree::life::Call;
use crate::tree::message::SupervisorMessage;
use crate::words::description::{EmitterDescription, Status};
use crate::words::error::{AttachError, ControlError, RestartError};
use crate::words::handler::{Handler, HandlerConfig};
use crate::words::report::ShutdownReport;
use crate::words::watch::Watch;

/// A running supervision tree. Clones are handles of the same runtime; when the last one is
/// dropped without a [`Runtime::shutdown`], the tree stops at once.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Where all is kept; what follows are its ports.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) letters: Arc<dyn DeadLettersPort>,
    pub(crate) positions: Arc<dyn Positions>,
    pub(crate) attempts: Arc<dyn AttemptLog>,
    pub(crate) events: Option<Arc<dyn EventLog>>,
    /// Where specs are kept that outlive the process, if anywhere.
    pub(crate) kept: Option<Arc<dyn EmitterSpecs>>,
    pub(crate) specs: Arc<Specs>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) supervisor: ActorRef<SupervisorMessage>,
    /// The root supervisor's task: it holds the store until it has ended.
    pub(crate) ended: Mutex<Option<JoinHandle<()>>>,
    /// Cleared when shutdown begins.
    pub(crate) accepting: AtomicBool,
    /// Told when shutdown has ended, to those who wait for receipts.
    pub(crate) closed: Arc<tokio::sync::watch::Sender<bool>>,
    pub(crate) max_payload_bytes: usize,
    /// Judges events before they are accepted.
    pub(crate) event_check: Option<Arc<dyn EventCheck>>,
    /// Guesses the size of the next payload.
    pub(crate) payload_size: SizeHint,
}

impl Runtime {
    /// Attaches an emitter to its events: to one, by its name; to several, which it delivers in one
    /// order; or to all that a pattern matches. It runs from now on, and gets every such event that
    /// is accepted from now on. A configuration can be shared by many emitters as an `Arc`.
    ///
    /// ```
    /// # async fn boot(runtime: bugle_runtime::Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// use bugle_core::EmitterConfig;
    ///
    /// let config = || EmitterConfig::new("https://example.com/hooks");
    /// runtime.attach("billing", "invoice.paid", config()?).await?;
    /// runtime.attach("crm", ["contact.created", "contact.updated"], config()?).await?;
    /// runtime.attach("audit", "member.*", config()?).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AttachError`]; nothing was changed then.
    pub async fn attach(
        &self,
        id: impl AsRef<str>,
        events: impl EventNames,
        config: impl Into<Arc<EmitterConfig>>,
    ) -> Result<(), AttachError> {
        let config = config.into();
        self.check_given(&config)?;
        self.attach_target(id.as_ref(), events, Target::Http(config)).await
    }

    /// Attaches an emitter to several events: [`Runtime::attach`] under the name that the original
    /// has for it. It takes an iterator as well.
    ///
    /// # Errors
    /// [`AttachError`]; nothing was changed then.
    pub async fn attach_many<I>(
        &self,
        id: impl AsRef<str>,
        events: I,
        config: impl Into<Arc<EmitterConfig>>,
    ) -> Result<(), AttachError>
    where
        I: IntoIterator,
        I::Item: EventNames,
    {
        let events: Vec<I::Item> = events.into_iter().collect();
        self.attach(id, events, config).await
    }

    /// Attaches an in-process handler, with the same lane, retries and supervision as a webhook's
    /// emitter. A panic in it is contained. What may be a handler is told at [`Handler`].
    ///
    /// ```
    /// # async fn boot(runtime: bugle_runtime::Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use bugle_core::Event;
    /// use bugle_runtime::HandlerConfig;
    ///
    /// let print = |event: Arc<Event>| async move { println!("{}", event.name) };
    /// runtime.attach_handler("audit", "member.*", print, HandlerConfig::default()).await?;
    ///
    /// let parse = |event: Arc<Event>| async move {
    ///     let payload: serde_json::Value = serde_json::from_slice(&event.payload)?;
    ///     println!("member {}", payload["id"]);
    ///     Ok::<_, serde_json::Error>(()) // an error is retried, and told in the attempt log
    /// };
    /// let names = ["member.created", "member.updated"];
    /// runtime.attach_handler("members", names, parse, HandlerConfig::new()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AttachError`]; nothing was changed then.
    pub async fn attach_handler(
        &self,
        id: impl AsRef<str>,
        events: impl EventNames,
        handler: impl Handler,
        config: HandlerConfig,
    ) -> Result<(), AttachError> {
        config.validate()?;
        let target = Target::Handler(Arc::new(handler), Arc::new(config));
        self.attach_target(id.as_ref(), events, target).await
    }

    async fn attach_target(
        &self,
        id: &str,
        events: impl EventNames,
        target: Target,
    ) -> Result<(), AttachError> {
        self.bring(NewEmitter::new(id, events, target)?, Call::Attach).await
    }

    /// Has an emitter be there, as this call says.
    pub(crate) async fn bring(
        &self,
        new: NewEmitter,
        call: impl FnOnce(Caller) -> Call<Caller>,
    ) -> Result<(), AttachError> {
        let id = new.id.clone();
        let bring =
            |reply| SupervisorMessage::Call(id, call(Caller::Bringing(Box::new(new), reply)));
        self.ask(bring).await.unwrap_or(Err(AttachError::ShutDown))
    }

    /// Changes an emitter's configuration in place, at once: what is in flight finishes with the
    /// old one, every attempt after that has the new. Cursor, backlog and subscription stay.
    ///
    /// # Errors
    /// [`ControlError`] when there is no such emitter, or the configuration can't work, or the
    /// emitter is an in-process handler.
    pub async fn update(
        &self,
        id: &str,
        config: impl Into<Arc<EmitterConfig>>,
    ) -> Result<(), ControlError> {
        let config = config.into();
        self.check_given(&config)?;
        let spec = self.inner.specs.read().get(id).cloned();
        let spec = spec.ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        let keeping = {
            let mut state = spec.state.lock();
            if state.detached {
                return Err(ControlError::NotFound(id.to_owned()));
            }
            if matches!(state.target, Target::Handler(..)) {
                let message = format!("emitter {id:?} is an in-process handler: it has no URL");
                return Err(ConfigError::new("config", message).into());
            }
            spec.retarget(&mut state, Target::Http(config));
            self.inner.kept.as_deref().map(|kept| spec.hand_over(&state, kept))
        };
        match keeping {
            Some(keeping) => Ok(keeping.await?),
            None => Ok(()),
        }
    }

    /// Starts a paused or failed emitter again.
    ///
    /// # Errors
    /// [`RestartError`] when there is no such emitter, or it runs.
    pub async fn restart(&self, id: &str) -> Result<(), RestartError> {
        let checked = EmitterId::new(id).map_err(|_| RestartError::NotFound(id.to_owned()))?;
        let call = |reply| Call::Restart(Caller::Restarting(reply));
        self.ask(|reply| SupervisorMessage::Call(checked, call(reply)))
            .await
            .unwrap_or(Err(RestartError::ShutDown))
    }

    /// Stops an emitter and removes it, with what waits for it. An unknown id is no error.
    ///
    /// # Errors
    /// [`ControlError`] when the runtime was shut down, or the store can't.
    pub async fn detach(&self, id: &str) -> Result<(), ControlError> {
        let Ok(id) = EmitterId::new(id) else { return Ok(()) };
        let call = |reply| Call::Detach(Caller::Controlling(reply));
        self.ask(|reply| SupervisorMessage::Call(id, call(reply)))
            .await
            .unwrap_or(Err(ControlError::ShutDown))
    }

    /// The ids of the emitters that run, sorted.
    pub fn list_emitters(&self) -> Vec<EmitterId> {
        let specs = self.inner.specs.read();
        let running = specs.values().filter(|spec| spec.status() == Status::Running);
        let mut ids: Vec<EmitterId> = running.map(|spec| spec.id.clone()).collect();
        ids.sort();
        ids
    }

    /// Says whether an emitter runs.
    pub fn is_started(&self, id: &str) -> bool {
        self.inner.specs.read().get(id).is_some_and(|spec| spec.status() == Status::Running)
    }

    /// One emitter as it is now; `None` when there is none of this id.
    pub fn describe(&self, id: &str) -> Option<EmitterDescription> {
        let spec = self.inner.specs.read().get(id).cloned();
        spec.map(|spec| spec.describe(&self.inner.tools))
    }

    /// Every emitter as it is now, running or not, sorted by id.
    pub fn emitters(&self) -> Vec<EmitterDescription> {
        let mut specs: Vec<_> = self.inner.specs.read().values().cloned().collect();
        specs.sort_by(|one, other| one.id.cmp(&other.id));
        specs.iter().map(|spec| spec.describe(&self.inner.tools)).collect()
    }

    /// The stream of all that happens from now on, as typed events.
    ///
    /// ```
    /// # async fn look_on(runtime: bugle_runtime::Runtime) {
    /// use bugle_runtime::RuntimeEvent;
    ///
    /// let mut watch = runtime.watch();
    /// while let Some(event) = watch.next().await {
    ///     match event {
    ///         RuntimeEvent::DeadLettered { emitter, request_id, attempts, .. } => {
    ///             println!("{emitter} gave up on {request_id} after {attempts} attempts");
    ///         }
    ///         RuntimeEvent::Missed { events } => println!("looked away for {events} events"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn watch(&self) -> Watch {
        self.inner.tools.teller.watch()
    }

    /// The record of attempts.
    pub fn attempts(&self) -> Attempts {
        Attempts::new(Arc::clone(&self.inner.attempts))
    }

    /// The record of events.
    pub fn events(&self) -> Events {
        let inner = &self.inner;
        let taken = Arc::clone(&inner.tools.taken);
        Events::new(inner.events.clone(), Arc::downgrade(&inner.specs), taken)
    }

    /// The events that emitters gave up on.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(Arc::clone(&self.inner.letters))
    }

    /// The journal's counters: the events that it holds, and its work so far.
    pub fn journal_stats(&self) -> JournalStats {
        self.inner.store.stats()
    }

    /// Why the store accepts nothing any more, if that is so: a sync failed, or its files were
    /// deleted under the running service. Deliveries of what is known go on. It is for a health
    /// check: the service has to be started again, once that is seen to.
    pub fn store_trouble(&self) -> Option<JournalError> {
        self.inner.store.trouble()
    }

    /// Makes an emitter's actor crash, for tests of what happens then. It counts against the
    /// emitter's restart budget as any other crash.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when no emitter of this id runs.
    pub fn inject_crash(&self, id: &str, reason: impl Into<String>) -> Result<(), ControlError> {
        let spec = self.inner.specs.read().get(id).cloned();
        let actor = spec.and_then(|spec| spec.state.lock().actor.clone());
        let actor = actor.ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        actor
            .send_message(EmitterMessage::Crash(reason.into()))
            .map_err(|_| ControlError::NotFound(id.to_owned()))
    }

    /// Shuts down: accepts nothing more, lets what is in flight finish within the grace time,
    /// settles, flushes, and reports what was left. Called again, also while it is under way, it
    /// shortens the grace: zero stops at once. A store on disk can be opened again once the last
    /// handle of the runtime is dropped too.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.inner.accepting.store(false, Ordering::Release);
        let report = self.ask(|reply| SupervisorMessage::Shutdown(grace, reply)).await;
        self.inner.closed.send_replace(true);
        let ended = self.inner.ended.lock().take();
        if let Some(ended) = ended {
            // Its end, however it came, is all that is wanted.
            let _ = ended.await;
        }
        report.unwrap_or_default()
    }

    /// Waits until the runtime has shut down, for services that work beside it and end with it.
    pub async fn until_shut_down(&self) {
        // The sender is in `self`.
        let _ = self.inner.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// A configuration that is given now has a key that signs, or none at all.
    pub(crate) fn check_given(&self, config: &Arc<EmitterConfig>) -> Result<(), ConfigError> {
        if config.is_out_of_keys(Timestamp::now) {
            return Err(ConfigError::new(
                "secrets",
                "every key has expired, so nothing would be signed: add a new one, or leave them \
                 out where requests are to be unsigned",
            ));
        }
        self.check_config(config)
    }

    pub(crate) fn check_config(&self, config: &Arc<EmitterConfig>) -> Result<(), ConfigError> {
        config.validate()?;
        // What only the transport can judge, a certificate say, is refused here too.
        self.inner.tools.transport.check(config)
    }

    /// Asks the supervisor; `None` when it has stopped.
    pub(crate) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> SupervisorMessage,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inner.supervisor.send_message(message(reply)).ok()?;
        answer.await.ok()
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("emitters", &self.inner.specs.read().len())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.send_replace(true);
        let (reply, _) = oneshot::channel();
        // Fails only when it was shut down already.
        let _ = self.supervisor.send_message(SupervisorMessage::Shutdown(Duration::ZERO, reply));
    }
}
