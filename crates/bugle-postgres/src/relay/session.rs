//! One session with the database: connect, lead, and take rows until something ends it.

use std::sync::Arc;
use std::time::Duration;

use bugle::RuntimeHandle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::emit::{Stopped, emit};
use super::entry::{Entry, Place};
use super::error::RelayError;
use super::ranges::Ranges;
use super::resume::{self, source_id};
use super::shared::Shared;
use super::source::Opened;
use super::status::RelayPhase;
use crate::database::Connection;
use crate::install::channel;

/// Half of the key of the lock that the leader holds; the other half is the table's oid.
const LEADER: i32 = 0x6275_676c;

/// The most rows that can't be events and that a session passes over, where the table has no column
/// to say so. More are an error, as each query names all of them.
const MOST_ASIDE: usize = 1_000;

/// The time between two rounds of upkeep: rows that were taken long ago are deleted, and the table
/// is looked through for warnings.
const CLEAN_INTERVAL: Duration = Duration::from_secs(60);

/// The end of a session without an error: it is not to be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended;

struct Session<'a> {
    shared: &'a Shared,
    runtime: &'a RuntimeHandle,
    connection: Connection,
    opened: Opened,
    /// Notified by the database, and by the end of the connection.
    heard: Arc<Notify>,
    last_clean: Instant,
}

/// Connects, and relays until the relay is stopped. Rows that an earlier session had in the journal
/// and not marked are marked first, leader or not.
pub(super) async fn run(shared: &Shared, runtime: &RuntimeHandle) -> Result<Ended, RelayError> {
    shared.tell(|status| status.phase = RelayPhase::Connecting);
    let heard = Arc::new(Notify::new());
    let settings = &shared.settings;
    let connection = settings.database.connect_and_listen(Arc::clone(&heard)).await?;
    let opened = settings.source.open(&connection).await?;
    let last_clean = Instant::now();
    let mut session = Session { shared, runtime, connection, opened, heard, last_clean };
    session.mark_left().await?;
    shared.tell(|status| status.connections += 1);
    shared.warn(&session.opened.warnings(&session.connection).await?);
    let listen = format!("listen {}", channel(session.opened.oid));
    session.connection.batch_execute(&listen).await?;
    if !session.lead().await? {
        return Ok(Ended);
    }
    session.relay().await
}

impl Session<'_> {
    /// Waits until this node leads. The node that led when the connection was lost goes first: it
    /// knows which rows its journal has. Answers false when the relay is to stop.
    async fn lead(&mut self) -> Result<bool, RelayError> {
        let is_first = self.shared.status().connections == 1;
        let mut may_try = is_first || self.shared.memory.lock().led;
        loop {
            if self.shared.is_stopping() {
                return Ok(false);
            }
            if may_try {
                // The oid's bits as PostgreSQL's other integer type.
                let table = i32::from_ne_bytes(self.opened.oid.to_ne_bytes());
                let row = self
                    .connection
                    .query_one("select pg_try_advisory_lock($1, $2)", &[&LEADER, &table])
                    .await?;
                if row.get(0) {
                    self.shared.memory.lock().led = true;
                    self.shared.tell(|status| status.phase = RelayPhase::Leading);
                    return Ok(true);
                }
                self.shared.memory.lock().led = false;
            }
            self.shared.tell(|status| status.phase = RelayPhase::Standby);
            may_try = true;
            // Not the notifications: they are for the leader.
            tokio::select! {
                () = tokio::time::sleep(self.shared.settings.poll_interval) => {}
                () = self.shared.stopping() => {}
                () = self.runtime.until_shut_down() => return Ok(false),
            }
        }
    }

    /// Takes rows, batch after batch. While the events of one batch go into the journal, the
    /// database marks the one before and gathers the one after.
    async fn relay(&mut self) -> Result<Ended, RelayError> {
        let mut loaded = self.gather(&[], &[]).await?;
        loop {
            let stopping = self.shared.is_stopping();
            if stopping {
                loaded.clear();
            }
            self.shared.crash_if_told();
            let emitted = self.shared.memory.lock().unmarked.clone();
            if loaded.is_empty() && emitted.is_empty() {
                if stopping {
                    return Ok(Ended);
                }
                loaded = self.gather(&[], &[]).await?;
                if loaded.is_empty() {
                    self.shared.tell(|status| status.drained += 1);
                    if !self.wait().await? {
                        return Ok(Ended);
                    }
                    loaded = self.gather(&[], &[]).await?;
                }
                continue;
            }
            loaded = match self.step(loaded, &emitted).await? {
                Some(next) => next,
                None => return Ok(Ended),
            };
        }
    }

    /// Emits the batch that is loaded, and at the same time marks the one before it and gathers the
    /// next. `None` when the runtime takes nothing more.
    async fn step(
        &mut self,
        loaded: Vec<Entry>,
        emitted: &[Place],
    ) -> Result<Option<Vec<Entry>>, RelayError> {
        let places: Vec<Place> = loaded.iter().map(|entry| entry.place.clone()).collect();
        let ahead = self.opened.has_position && !loaded.is_empty() && !self.shared.is_stopping();
        let (shared, runtime) = (self.shared, self.runtime);
        let session = &*self;
        // In this order, so that the database hears of the marks first. What fails ends the rest:
        // an event that is not in the journal by then never will be.
        let done = tokio::try_join!(
            async {
                session.opened.mark(&session.connection, emitted).await.map_err(Failed::Database)
            },
            async {
                match ahead {
                    true => session.gather(emitted, &places).await.map_err(Failed::Relay),
                    false => Ok(Vec::new()),
                }
            },
            async {
                let source = source_id(&session.opened);
                let position =
                    |places: &[Place]| resume::position(source.as_ref()?, emitted, places);
                emit(runtime, shared, loaded, position).await.map_err(Failed::Emit)
            },
        );
        match done {
            Ok(((), next, invalid)) => {
                self.shared.marked(emitted.len());
                for (place, reason) in invalid {
                    self.set_aside(place, reason).await?;
                }
                Ok(Some(next))
            }
            Err(Failed::Database(error)) => Err(error.into()),
            Err(Failed::Relay(error)) => Err(error),
            Err(Failed::Emit(Stopped::Journal(error))) => {
                self.mark_emitted().await?;
                Err(error)
            }
            Err(Failed::Emit(Stopped::RuntimeShutDown)) => {
                self.mark_emitted().await?;
                Ok(None)
            }
        }
    }

    /// Marks rows that earlier sessions, of this process or the one before it, had in the journal
    /// and did not come to mark.
    async fn mark_left(&self) -> Result<(), RelayError> {
        if !self.shared.memory.lock().resumed {
            let left =
                resume::left_by_earlier_process(self.runtime, &self.connection, &self.opened);
            let left = left.await?;
            self.opened.mark(&self.connection, &left).await?;
            self.shared.memory.lock().resumed = true;
        }
        self.mark_emitted().await
    }

    /// Marks all rows that are in the journal.
    async fn mark_emitted(&self) -> Result<(), RelayError> {
        let emitted = self.shared.memory.lock().unmarked.clone();
        self.opened.mark(&self.connection, &emitted).await?;
        self.shared.marked(emitted.len());
        Ok(())
    }

    async fn gather(&self, emitted: &[Place], loaded: &[Place]) -> Result<Vec<Entry>, RelayError> {
        let of = |places: &[Place]| places.iter().filter_map(Place::position).collect::<Ranges>();
        let mut in_flight = of(emitted);
        in_flight.extend(&of(loaded));
        let aside = self.shared.memory.lock().aside.clone();
        let limit = i64::try_from(self.shared.settings.batch).unwrap_or(i64::MAX);
        Ok(self.opened.gather(&self.connection, limit, &in_flight, &aside).await?)
    }

    /// Passes over a row that can't be an event, from now on.
    async fn set_aside(&self, place: Place, reason: String) -> Result<(), RelayError> {
        tracing::warn!(row = place.id(), reason, "a row can't be made into an event");
        let written = self.opened.set_aside(&self.connection, &place, &reason).await?;
        self.shared.tell(|status| {
            status.set_aside += 1;
            status.last_set_aside = Some(format!("row {}: {reason}", place.id()));
        });
        if written {
            return Ok(());
        }
        let aside = &mut self.shared.memory.lock().aside;
        aside.push(place);
        match aside.len() {
            ..=MOST_ASIDE => Ok(()),
            many => Err(RelayError::TooManySetAside(many, reason)),
        }
    }

    /// Waits for news. Answers false when the runtime was shut down.
    async fn wait(&mut self) -> Result<bool, RelayError> {
        if self.last_clean.elapsed() >= CLEAN_INTERVAL {
            self.opened.clean(&self.connection).await?;
            self.shared.warn(&self.opened.warnings(&self.connection).await?);
            self.last_clean = Instant::now();
        }
        tokio::select! {
            () = self.heard.notified() => {}
            () = tokio::time::sleep(self.shared.settings.poll_interval) => {}
            () = self.shared.stopping() => {}
            () = self.shared.told_to_crash() => {}
            () = self.runtime.until_shut_down() => return Ok(false),
        }
        Ok(true)
    }
}

/// The part of a step that failed.
enum Failed {
    Database(crate::error::DatabaseError),
    Relay(RelayError),
    Emit(Stopped),
}
