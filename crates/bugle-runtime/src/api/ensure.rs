//! The calls that boot code wants: emitters are as they are written there, whatever was before.

use std::sync::Arc;

use bugle_core::{EmitterConfig, EventNames};

use crate::api::runtime::Runtime;
use crate::emitter::target::Target;
use crate::tree::caller::NewEmitter;
use crate::tree::life::Call;
use crate::words::error::AttachError;
use crate::words::handler::{Handler, HandlerConfig};

impl Runtime {
    /// Has an emitter be like this: attaches it if there is none of this id, else changes its
    /// subscription and its configuration in place. Its cursor and its backlog stay, and so does
    /// what it is meant to do: a paused emitter stays paused, a failed one failed.
    ///
    /// With another subscription, what waits already is still delivered, and what is emitted from
    /// now on is matched anew. What is in flight is finished first, within its deadline.
    ///
    /// With the same configuration nothing is changed: neither backoff nor connection begin anew.
    ///
    /// ```
    /// # async fn boot(runtime: bugle_runtime::Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// use bugle_core::EmitterConfig;
    ///
    /// let config = EmitterConfig::new("https://example.com/hooks")?.max_attempts(5);
    /// runtime.ensure("billing", ["invoice.paid", "invoice.sent"], config).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AttachError`]. [`AttachError::Store`] says that the store could not keep it: an emitter
    /// whose subscription was to be changed is not there any more then, and its backlog is kept
    /// until it is attached or ensured again.
    pub async fn ensure(
        &self,
        id: impl AsRef<str>,
        events: impl EventNames,
        config: impl Into<Arc<EmitterConfig>>,
    ) -> Result<(), AttachError> {
        let config = config.into();
        self.check_given(&config)?;
        self.ensure_target(id.as_ref(), events, Target::Http(config)).await
    }

    /// Has an in-process handler be there, as [`Runtime::ensure`] does for a webhook's emitter. The
    /// handler itself is always the new one.
    ///
    /// ```
    /// # async fn boot(runtime: bugle_runtime::Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use bugle_core::Event;
    /// use bugle_runtime::HandlerConfig;
    ///
    /// let print = |event: Arc<Event>| async move { println!("{}", event.name) };
    /// runtime.ensure_handler("audit", ">", print, HandlerConfig::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Runtime::ensure`].
    pub async fn ensure_handler(
        &self,
        id: impl AsRef<str>,
        events: impl EventNames,
        handler: impl Handler,
        config: HandlerConfig,
    ) -> Result<(), AttachError> {
        config.validate()?;
        let target = Target::Handler(Arc::new(handler), Arc::new(config));
        self.ensure_target(id.as_ref(), events, target).await
    }

    async fn ensure_target(
        &self,
        id: &str,
        events: impl EventNames,
        target: Target,
    ) -> Result<(), AttachError> {
        let new = NewEmitter::new(id, events, target)?;
        self.bring(new, |caller| Call::Ensure { caller, anew: None }).await
    }
}
