//! The handle of a relay, and its supervision: a session that fails is followed by another one.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle::{Restart, RestartLog, RuntimeHandle};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::error::RelayError;
use super::session::{self, Ended};
use super::settings::RelayBuilder;
use super::shared::Shared;
use super::source::Source;
use super::status::{RelayPhase, RelayStatus};
use crate::database::Database;

/// The time after which a session counts as a good one: the delays begin at the shortest again.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// A running relay. Dropped, it stops at once, which loses nothing: rows that are not marked are
/// taken again, by the next relay, under the same request ids.
///
/// # Supervision
///
/// A relay is a task of its own with a supervisor of its own. When it panics it is started again,
/// within its restart budget; when the database goes away it connects again, with growing delays,
/// for ever. When its runtime shuts down it ends. To stop both in the right order, shut the relay
/// down first:
///
/// ```no_run
/// # async fn example(relay: bugle_postgres::Relay, runtime: bugle::Runtime) {
/// use std::time::Duration;
///
/// relay.shutdown(Duration::from_secs(5)).await;
/// runtime.shutdown(Duration::from_secs(15)).await;
/// # }
/// ```
pub struct Relay {
    shared: Arc<Shared>,
    /// Holds the supervisor's task; aborts it when dropped.
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl RelayBuilder {
    /// Starts the relay in the current tokio runtime, where it works until it, or the runtime that
    /// it emits to, is shut down. It holds a handle of that runtime.
    pub fn start(self, runtime: &RuntimeHandle) -> Relay {
        Relay::start(self, runtime.clone())
    }
}

impl Relay {
    /// Begins a relay that follows this source in this database: an
    /// [`AuditTable`](crate::AuditTable) or an [`Outbox`](crate::Outbox).
    pub fn builder(database: Database, source: impl Into<Source>) -> RelayBuilder {
        RelayBuilder::new(database, source.into())
    }

    fn start(settings: RelayBuilder, runtime: RuntimeHandle) -> Self {
        let shared = Arc::new(Shared::new(settings));
        let mut tasks = JoinSet::new();
        tasks.spawn(supervise(Arc::clone(&shared), runtime));
        Self { shared, tasks: tokio::sync::Mutex::new(tasks) }
    }

    /// The status at this moment.
    pub fn status(&self) -> RelayStatus {
        self.shared.status()
    }

    /// The status as it changes, for a watcher who follows it also beyond the relay's end.
    pub fn subscribe(&self) -> watch::Receiver<RelayStatus> {
        self.shared.subscribe()
    }

    /// Waits until its status is as wanted, which it may be already, and answers it.
    pub async fn wait_until(&self, wanted: impl FnMut(&RelayStatus) -> bool) -> RelayStatus {
        let mut status = self.shared.subscribe();
        match status.wait_for(wanted).await {
            Ok(status) => status.clone(),
            // The sender is in `self`.
            Err(_) => self.status(),
        }
    }

    /// Stops the relay: it takes no more rows, and marks those whose events are in the journal.
    /// Work that has not ended within the grace time is stopped where it is, which loses nothing.
    /// Answers the last status.
    pub async fn shutdown(&self, grace: Duration) -> RelayStatus {
        self.shared.stop();
        let mut tasks = self.tasks.lock().await;
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tasks.shutdown().await;
        }
        self.shared.tell(|status| status.phase = RelayPhase::Stopped);
        self.status()
    }

    /// Makes the relay crash, for tests. It counts against its restart budget as any other crash.
    pub fn inject_crash(&self, reason: impl Into<String>) {
        self.shared.crash(reason.into());
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Runs sessions, one after the other, until the relay is to stop or crashes too often.
async fn supervise(shared: Arc<Shared>, runtime: RuntimeHandle) {
    let (epoch, mut crashes, mut failures) = (Instant::now(), RestartLog::default(), 0);
    loop {
        let began = Instant::now();
        // A task of its own, so that a panic ends it alone; in a set, so that it ends with this.
        let mut session = JoinSet::new();
        let (of_session, to) = (Arc::clone(&shared), runtime.clone());
        session.spawn(async move { session::run(&of_session, &to).await });
        let ended = session.join_next().await;
        if began.elapsed() >= GOOD_SESSION {
            failures = 0;
        }
        let delay = match ended {
            None | Some(Ok(Ok(Ended))) => break,
            Some(Ok(Err(error))) => {
                failures += 1;
                back_off(&shared, &error, failures)
            }
            Some(Err(crash)) => {
                let reason = reason(crash);
                let budget = &shared.settings.restart_budget;
                let restart = crashes.crashed(budget, epoch.elapsed());
                tracing::error!(reason, ?restart, "the relay crashed");
                shared.tell(|status| {
                    status.crashes += 1;
                    status.last_error = Some(format!("crashed: {reason}"));
                    status.phase = match restart {
                        Restart::After(_) => RelayPhase::BackingOff,
                        Restart::GiveUp => RelayPhase::Failed,
                    };
                });
                match restart {
                    Restart::After(delay) => delay,
                    Restart::GiveUp => return,
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shared.stopping() => break,
            () = runtime.until_shut_down() => break,
        }
    }
    shared.tell(|status| status.phase = RelayPhase::Stopped);
}

fn back_off(shared: &Shared, error: &RelayError, failures: u32) -> Duration {
    let seed = u64::from(failures) ^ u64::from(std::process::id());
    let delay = shared.settings.backoff.delay(failures, seed);
    tracing::warn!(%error, ?delay, "the relay tries again");
    shared.tell(|status| {
        status.phase = RelayPhase::BackingOff;
        status.last_error = Some(error.to_string());
    });
    delay
}

/// The panic message of a task that crashed.
fn reason(crash: JoinError) -> String {
    match crash.try_into_panic() {
        Ok(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"a panic").to_string(),
        },
        Err(error) => error.to_string(),
    }
}
