//! Replays as rows: which entries only one emitter reads, and of which event each is a copy.

use std::sync::Arc;

use bugle_core::{AppendError, EmitterId, Event, Replay, ReplayError, Replayed, Sequence};
use futures_channel::oneshot;
use jiff::Timestamp;
use rusqlite::{Connection, Statement};
use rustc_hash::FxHashMap;

use super::answers::Asker;
use super::dead_letters::DeadIndex;
use super::emitters::EmitterKey;
use super::events::{nanoseconds, read_text};
use super::queue::Queue;
use super::seal::{check_seal, seal};
use crate::backlog::{Directed, Kept, NoRoom, Opened, ReservedReplay, State};

/// Events that one emitter is to deliver again.
#[derive(Debug)]
pub(super) struct Redelivery {
    pub(super) emitter: EmitterId,
    pub(super) at: Opened,
    pub(super) events: Vec<(Arc<Event>, ReservedReplay)>,
    pub(super) answer: Asker<Result<Vec<Sequence>, AppendError>>,
}

impl Redelivery {
    /// It is not made after all.
    pub(super) fn withdraw(&self, state: &mut State) {
        self.events.iter().for_each(|(_, reserved)| state.withdraw_replay(&self.at, reserved));
    }

    /// It is written: the events wait again, at these places.
    pub(super) fn publish(&self, state: &mut State) -> Vec<Sequence> {
        let publish = |(event, reserved): &(Arc<Event>, ReservedReplay)| {
            state.publish_replay(&self.at, reserved, Kept::Here(Arc::clone(event)))
        };
        self.events.iter().map(publish).collect()
    }
}

/// The answer to those that were handed over: their places.
type Answered = oneshot::Receiver<Result<Vec<Sequence>, AppendError>>;

/// What became of each event that was not handed over, nothing of each that was, and their answer.
type HandedOver = (Vec<Option<Replayed>>, Option<Answered>);

/// Hands events over to be delivered again, as many as there is room for.
pub(super) fn hand_over(
    state: &mut State,
    queue: &Queue,
    dead: &DeadIndex,
    emitter: &EmitterId,
    replays: &[Replay],
) -> Result<Result<HandedOver, ReplayError>, NoRoom> {
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
    queue.put(|work| work.replays.push(redelivery));
    Ok(Ok((replayed, Some(answered))))
}

/// What is done with the table.
pub(super) struct ReplayTable<'c> {
    insert: Statement<'c>,
}

impl<'c> ReplayTable<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let insert = conn.prepare(
            "INSERT INTO replays (sequence, emitter, origin, queued_at, seal) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        Ok(Self { insert })
    }

    pub(super) fn insert(
        &mut self,
        sequence: Sequence,
        emitter: EmitterKey,
        origin: Sequence,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let [sequence, origin] = [sequence, origin].map(|it| it.0.cast_signed());
        let now = nanoseconds(now);
        let seal = seal(&[sequence.into(), emitter.into(), origin.into(), now.into()]);
        self.insert.execute((sequence, emitter, origin, now, seal))?;
        Ok(())
    }
}

/// The replays behind a place.
pub(super) fn load_replays(
    conn: &Connection,
    from: Sequence,
) -> rusqlite::Result<FxHashMap<Sequence, Directed>> {
    let mut statement = conn.prepare(
        "SELECT sequence, emitters.id, origin, emitter, queued_at, replays.seal FROM replays \
         LEFT JOIN emitters ON key = emitter WHERE sequence > ?1",
    )?;
    let rows = statement.query_map([from.0.cast_signed()], |row| {
        check_seal(row, [0, 3, 2, 4], 5, "a replay")?;
        let [sequence, origin] = [row.get::<_, i64>(0)?, row.get::<_, i64>(2)?];
        let [sequence, origin] = [sequence, origin].map(|it| Sequence(it.cast_unsigned()));
        Ok((sequence, Directed { emitter: read_text(row, 1, EmitterId::new)?, origin }))
    })?;
    rows.collect()
}
