//! The news of a running relay, for a person.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bugle::{Runtime, RuntimeEvent, Status};
use bugle_postgres::{Relay, RelayPhase, RelayStatus};
use console::style;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::deliver::watcher::in_words;
use crate::ui::{self, Above};

/// The time between two drawings of the counts.
const REDRAW: Duration = Duration::from_millis(100);

/// The number of different failures of one emitter that are told.
const MOST_FAILURES: usize = 10;

/// Tells what happens, on standard error.
pub(super) struct Follower {
    bar: ProgressBar,
    tasks: Mutex<JoinSet<()>>,
    runtime: Runtime,
    relayed: Arc<Mutex<HashMap<String, RelayStatus>>>,
    _above: Above,
}

impl Follower {
    pub(super) fn start(runtime: &Runtime, quiet: bool) -> Self {
        let bar = match !quiet && console::user_attended_stderr() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let relayed = Arc::default();
        let _above = Above::bar(&bar);
        let (tasks, runtime) = (Mutex::default(), runtime.clone());
        let follower = Self { bar, tasks, runtime, relayed, _above };
        follower.watch_emitters();
        follower.draw();
        follower
    }

    /// Tells what becomes of a relay.
    pub(super) fn follow(&self, table: &str, mut status: watch::Receiver<RelayStatus>) {
        let (relayed, table) = (Arc::clone(&self.relayed), table.to_owned());
        self.tasks.lock().spawn(async move {
            let mut told = RelayStatus::default();
            while status.changed().await.is_ok() {
                let now = status.borrow_and_update().clone();
                let warned = now.warnings.iter().filter(|warning| !told.warnings.contains(warning));
                let lines = warned.map(|warning| format!("warning: {warning}"));
                for line in lines.chain(news(&told, &now)) {
                    let label = style(format!("{table}:")).for_stderr().cyan();
                    ui::note(format_args!("{label} {line}"));
                }
                told = now.clone();
                relayed.lock().insert(table.clone(), now);
            }
        });
    }

    /// Writes a line above what is drawn.
    pub(super) fn note(&self, line: impl Display) {
        ui::note(line);
    }

    /// Ends the drawing, once the runtime has shut down.
    pub(super) async fn finish(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        self.bar.finish_and_clear();
    }

    fn watch_emitters(&self) {
        let mut watch = self.runtime.watch();
        self.tasks.lock().spawn(async move {
            let mut told: HashMap<String, Vec<String>> = HashMap::new();
            while let Some(event) = watch.next().await {
                let (emitter, line) = match event {
                    RuntimeEvent::AttemptFailed { emitter, code, message, .. } => {
                        (emitter, in_words(code, &message))
                    }
                    RuntimeEvent::DeadLettered { emitter, request_id, attempts, .. } => {
                        let attempts = ui::plural(attempts.into(), "attempt");
                        (emitter, format!("gave up on event {request_id} after {attempts}"))
                    }
                    RuntimeEvent::Shortage { emitter, message }
                    | RuntimeEvent::StoreUnavailable { emitter, message } => {
                        (emitter, format!("{message}; it waits, and no attempt counts"))
                    }
                    RuntimeEvent::Failed { emitter, reason } => {
                        (emitter, format!("failed and stays down: {reason}"))
                    }
                    RuntimeEvent::ShutDown => return,
                    _ => continue,
                };
                let told = told.entry(emitter.to_string()).or_default();
                if told.len() <= MOST_FAILURES && !told.contains(&line) {
                    let line = match told.len() < MOST_FAILURES {
                        true => line,
                        false => "more goes wrong; it is counted only".to_owned(),
                    };
                    told.push(line.clone());
                    let label = style(format!("{emitter}:")).for_stderr().yellow();
                    ui::note(format_args!("{label} {line}"));
                }
            }
        });
    }

    fn draw(&self) {
        if self.bar.is_hidden() {
            return;
        }
        let (bar, relayed, runtime) =
            (self.bar.clone(), Arc::clone(&self.relayed), self.runtime.clone());
        self.tasks.lock().spawn(async move {
            loop {
                tokio::time::sleep(REDRAW).await;
                let taken: u64 = relayed.lock().values().map(|status| status.relayed).sum();
                let emitters = runtime.emitters();
                let delivered: u64 =
                    emitters.iter().map(|emitter| emitter.delivered_since_start).sum();
                let waiting: u64 = emitters.iter().map(|emitter| emitter.depth).sum();
                bar.set_message(format!(
                    "{} taken · {} delivered · {} waiting",
                    ui::count(taken),
                    ui::count(delivered),
                    ui::count(waiting)
                ));
                bar.tick();
            }
        });
    }
}

/// Words a change of the relay's status that is worth a line.
fn news(before: &RelayStatus, now: &RelayStatus) -> Option<String> {
    if now.set_aside > before.set_aside {
        let why = now.last_set_aside.clone().unwrap_or_default();
        return Some(format!("set aside, as it can't be an event: {why}"));
    }
    if now.phase == before.phase && now.last_error == before.last_error {
        return None;
    }
    let error = now.last_error.clone().unwrap_or_default();
    match now.phase {
        RelayPhase::Leading => Some("follows the table".to_owned()),
        RelayPhase::Standby => Some("stands by: another relay follows the table".to_owned()),
        RelayPhase::BackingOff => Some(format!("tries again: {error}")),
        RelayPhase::Failed => Some(format!("failed and stays down: {error}")),
        _ => None,
    }
}

/// Waits until everything that was in the tables when this began is delivered, or given up.
pub(super) async fn delivered(runtime: &Runtime, relays: &[(String, Relay)]) {
    for (_, relay) in relays {
        relay
            .wait_until(|status| {
                let taken = status.drained > 0 && status.marked == status.relayed;
                taken || matches!(status.phase, RelayPhase::Failed | RelayPhase::Stopped)
            })
            .await;
    }
    let mut watch = runtime.watch();
    let busy = || {
        runtime.emitters().iter().any(|emitter| {
            emitter.depth > 0 && matches!(emitter.status, Status::Running | Status::Restarting)
        })
    };
    while busy() && watch.next().await.is_some() {}
}
