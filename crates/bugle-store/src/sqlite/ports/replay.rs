//! Handing over events that are to be delivered again.

use std::sync::Arc;

use bugle_core::{AppendError, EmitterId, Replay, ReplayError, Replayed, Sequence};
use futures_channel::oneshot;

use crate::backlog::{NoRoom, State};
use crate::sqlite::tables::dead_letters::DeadIndex;
use crate::sqlite::write::answers::Asker;
use crate::sqlite::write::append_queue::{AppendQueue, Redelivery};

/// The answer to those that were handed over: their places.
type PlacesToCome = oneshot::Receiver<Result<Vec<Sequence>, AppendError>>;

/// What became of each event that was not handed over, nothing of each that was, and their answer.
type ReplaysHandedOver = (Vec<Option<Replayed>>, Option<PlacesToCome>);

/// Hands events over to be delivered again, as many as there is room for.
pub(crate) fn hand_over(
    state: &mut State,
    queue: &AppendQueue,
    dead: &DeadIndex,
    emitter: &EmitterId,
    replays: &[Replay],
) -> Result<Result<ReplaysHandedOver, ReplayError>, NoRoom> {
    let at = match state.replays_to(emitter) {
        Ok(at) => at,
        Err(error) => return Ok(Err(error)),
    };
    let is_dead = |origin| dead.contains(emitter, origin);
    let mut replayed = Vec::new();
    let mut events = Vec::new();
    for replay in replays {
        match state.reserve_replay(&at, replay, is_dead) {
            Ok(Ok(reserved)) => {
                events.push((Arc::clone(&replay.event), reserved));
                replayed.push(None);
            }
            Ok(Err(why)) => replayed.push(Some(why)),
            Err(limit) if replayed.is_empty() => return Err(limit.into()),
            Err(_) => break,
        }
    }
    if events.is_empty() {
        return Ok(Ok((replayed, None)));
    }
    let (answer, answered) = Asker::here();
    let redelivery = Redelivery { emitter: emitter.clone(), at, events, answer };
    queue.put(|group| group.replays.push(redelivery));
    Ok(Ok((replayed, Some(answered))))
}
