//! Bringing back the emitters of an earlier process.

use std::sync::Arc;

use bugle_core::{Desired, EmitterId, ErrorKind};

use crate::api::runtime::Runtime;
use crate::emitter::target::Target;
use crate::tree::caller::NewEmitter;
use crate::tree::message::{Restored, SupervisorMessage};
use crate::words::error::StartError;

impl Runtime {
    /// Attaches every emitter whose spec is kept, as it was. Nothing is changed before all of them
    /// are known to work.
    pub(crate) async fn restore(&self) -> Result<(), StartError> {
        let Some(kept) = &self.inner.kept else { return Ok(()) };
        let specs = kept.all().await?;
        let mut checked = None;
        for spec in &specs {
            // Where many share one configuration, they follow one another.
            if checked.is_some_and(|checked| Arc::ptr_eq(checked, &spec.config)) {
                continue;
            }
            self.check_config(&spec.config).map_err(|error| cannot(&spec.id, error))?;
            checked = Some(&spec.config);
        }
        // All are on their way before the first is awaited: they share a sync.
        let journal = &self.inner.journal;
        let opening: Vec<_> =
            specs.iter().map(|spec| journal.reader(&spec.id, &spec.subscription)).collect();
        let mut restored = Vec::with_capacity(specs.len());
        for (spec, opening) in specs.into_iter().zip(opening) {
            let reader = match opening.await {
                Err(error) if error.kind != ErrorKind::Fenced => {
                    return Err(cannot(&spec.id, error));
                }
                // One that another owner has is there too.
                opened => opened,
            };
            let (id, subscription) = (spec.id, spec.subscription);
            let new = NewEmitter { id, subscription, target: Target::Http(spec.config) };
            let paused = (spec.desired == Desired::Paused).then_some(spec.backlog);
            restored.push(Restored { new, reader, paused });
        }
        let done = self.ask(|reply| SupervisorMessage::Restore(restored, reply)).await;
        done.ok_or_else(|| StartError::Supervisor("it ended at once".to_owned()))
    }
}

fn cannot(emitter: &EmitterId, reason: impl ToString) -> StartError {
    StartError::Emitter { emitter: emitter.clone(), reason: reason.to_string() }
}
