//! Emits a batch of rows as events of the journal.

use bugle::{AppendError, EmitBatch, EmitError, EmitOptions, RuntimeHandle, SourcePosition};
use futures_util::future::join_all;

use super::entry::{Content, Entry, Place, verbatim};
use super::error::RelayError;
use super::shared::Shared;

/// The reason why a batch was stopped on its way.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The runtime is shut down.
    RuntimeShutDown,
    /// The journal does not take the batch now.
    Journal(RelayError),
}

/// Emits the events of a batch, in order, and waits until they are safe. Those that are safe are in
/// `shared.memory` when this returns. Dropped before, it has emitted nothing. `position` makes the
/// source position, which the journal stores with the events, of their places. Answers the rows
/// that can't be events.
pub(super) async fn emit(
    runtime: &RuntimeHandle,
    shared: &Shared,
    batch: Vec<Entry>,
    position: impl FnOnce(&[Place]) -> Option<SourcePosition>,
) -> Result<Vec<(Place, String)>, Stopped> {
    // Statements for the database go first.
    tokio::task::yield_now().await;
    let (mut events, mut places, mut invalid) = (EmitBatch::new(), Vec::new(), Vec::new());
    for entry in &batch {
        match push(&mut events, entry) {
            Ok(()) => places.push(entry.place.clone()),
            Err(reason) => invalid.push((entry.place.clone(), reason)),
        }
        tokio::task::coop::consume_budget().await;
    }
    if places.is_empty() {
        return Ok(invalid);
    }
    if let Some(position) = position(&places) {
        events = events.position(position);
    }
    match runtime.emit_batch(events).await {
        Ok(_) => {
            shared.emitted(places);
            Ok(invalid)
        }
        // One of them, or all of them together.
        Err(error) if is_of_the_event(&error) => one_by_one(runtime, shared, batch).await,
        Err(error) => Err(error.into()),
    }
}

impl From<EmitError> for Stopped {
    fn from(error: EmitError) -> Self {
        match error {
            EmitError::ShutDown => Self::RuntimeShutDown,
            error => Self::Journal(RelayError::Journal(error.to_string())),
        }
    }
}

/// True when it is an event's own fault that it was refused, or that of all of them together: they
/// go one by one then, and those that are refused still are set aside.
pub(crate) fn is_of_the_event(error: &EmitError) -> bool {
    matches!(
        error,
        EmitError::Id(_)
            | EmitError::Payload(_)
            | EmitError::Refused(_)
            | EmitError::TooLarge { .. }
            | EmitError::Append(AppendError::TooLarge { .. } | AppendError::BatchTooLarge { .. })
    )
}

fn push(events: &mut EmitBatch, entry: &Entry) -> Result<(), String> {
    let (name, content, options) = entry.event.as_ref().map_err(Clone::clone)?;
    let pushed = match content {
        Content::Change(changed) => events.push(name, &changed.event()?, options.clone()),
        Content::Payload(json) => events.push(name, verbatim(json)?, options.clone()),
    };
    pushed.map_err(|error| error.to_string())
}

/// Emits the events of a batch one by one, where the batch, or an event of it, does not fit the
/// journal.
async fn one_by_one(
    runtime: &RuntimeHandle,
    shared: &Shared,
    batch: Vec<Entry>,
) -> Result<Vec<(Place, String)>, Stopped> {
    let fates = join_all(batch.iter().map(async |entry| {
        let emitted = emit_one(runtime, entry).await;
        if let Ok(Ok(())) = emitted {
            shared.emitted(vec![entry.place.clone()]);
        }
        emitted
    }));
    let mut invalid = Vec::new();
    let fates = fates.await;
    for (entry, fate) in batch.into_iter().zip(fates) {
        match fate {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => invalid.push((entry.place, reason)),
            // The rows behind it were not taken either.
            Err(stopped) => return Err(stopped),
        }
    }
    Ok(invalid)
}

async fn emit_one(runtime: &RuntimeHandle, entry: &Entry) -> Result<Result<(), String>, Stopped> {
    let (name, content, options) = match &entry.event {
        Ok(event) => event,
        Err(reason) => return Ok(Err(reason.clone())),
    };
    let options: EmitOptions = options.clone();
    let emitted = match content {
        Content::Change(changed) => match changed.event() {
            Ok(change) => runtime.emit_with(name, &change, options).await,
            Err(reason) => return Ok(Err(reason)),
        },
        Content::Payload(json) => match verbatim(json) {
            Ok(payload) => runtime.emit_with(name, payload, options).await,
            Err(reason) => return Ok(Err(reason)),
        },
    };
    match emitted {
        Ok(_) => Ok(Ok(())),
        Err(error) if is_of_the_event(&error) => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}
