//! From a batch of rows to events in the journal.

use bugle::{AppendError, EmitError, RuntimeHandle};
use futures_util::future::join_all;

use super::entry::{Content, Entry, Place, verbatim};
use super::error::RelayError;
use super::status::RelayStatus;
use super::supervisor::Shared;

/// What stopped a batch on its way.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The runtime is shut down.
    RuntimeShutDown,
    /// The journal does not take it now.
    Journal(RelayError),
}

/// What became of one row.
enum Fate {
    /// Its event is in the journal.
    Emitted,
    /// It can't be an event.
    Invalid(String),
    /// It was not taken; everything behind it is.
    Stopped(Stopped),
}

/// Emits the events of a batch, in order, and waits until they are safe. Those that are, are in
/// `shared.unmarked` when this returns or is dropped. Answers the rows that can't be events.
pub(super) async fn emit(
    runtime: &RuntimeHandle,
    shared: &Shared,
    batch: Vec<Entry>,
) -> Result<Vec<(Place, String)>, Stopped> {
    // What is to be sent to the database goes first.
    tokio::task::yield_now().await;
    let fates = join_all(batch.iter().map(async |entry| {
        let fate = emit_one(runtime, entry).await;
        if matches!(fate, Fate::Emitted) {
            shared.memory.lock().unmarked.push(entry.place.clone());
        }
        fate
    }));
    let fates = fates.await;
    let mut invalid = Vec::new();
    let mut stopped = None;
    let mut emitted = 0;
    for (entry, fate) in batch.into_iter().zip(fates) {
        match fate {
            Fate::Emitted => emitted += 1,
            Fate::Invalid(reason) => invalid.push((entry.place, reason)),
            Fate::Stopped(why) => stopped = stopped.or(Some(why)),
        }
    }
    shared.tell(|status: &mut RelayStatus| status.relayed += emitted);
    match stopped {
        Some(why) => Err(why),
        None => Ok(invalid),
    }
}

async fn emit_one(runtime: &RuntimeHandle, entry: &Entry) -> Fate {
    let (name, content, options) = match &entry.event {
        Ok(event) => event,
        Err(reason) => return Fate::Invalid(reason.clone()),
    };
    let emitted = match content {
        Content::Change(changed) => match changed.event(name) {
            Ok(change) => runtime.emit_with(name, &change, options.clone()).await,
            Err(reason) => return Fate::Invalid(reason),
        },
        Content::Payload(json) => match verbatim(json) {
            Ok(payload) => runtime.emit_with(name, payload, options.clone()).await,
            Err(reason) => return Fate::Invalid(reason),
        },
    };
    match emitted {
        Ok(_) => Fate::Emitted,
        Err(EmitError::ShutDown) => Fate::Stopped(Stopped::RuntimeShutDown),
        Err(error @ (EmitError::Id(_) | EmitError::Payload(_) | EmitError::TooLarge { .. })) => {
            Fate::Invalid(error.to_string())
        }
        Err(EmitError::Append(error @ AppendError::TooLarge { .. })) => {
            Fate::Invalid(error.to_string())
        }
        Err(error) => Fate::Stopped(Stopped::Journal(RelayError::Journal(error.to_string()))),
    }
}
