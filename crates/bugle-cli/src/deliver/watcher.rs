//! Tells what goes wrong, and when everything is settled.

use std::collections::HashMap;
use std::sync::Arc;

use bugle::{AttemptCode, EmitterId, RequestId, Runtime, RuntimeEvent, Sequence, Status, Watch};
use console::style;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::origin::Origins;
use super::progress::Progress;
use crate::ui::plural;

/// The number of different failures of one emitter that are told.
const MOST_FAILURES: usize = 10;

/// The number of events that one emitter gave up on and that are told one by one.
const MOST_GIVEN_UP: usize = 20;

/// Follows the runtime's events.
pub(super) struct Watcher {
    /// Notified when an emitter may have nothing more to do.
    changed: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Follows the runtime's events from now on, until it has shut down.
    pub(super) fn start(
        runtime: &Runtime,
        origins: &Arc<Origins>,
        progress: &Arc<Progress>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let follow = Follow {
            watch: runtime.watch(),
            changed: Arc::clone(&changed),
            origins: Arc::clone(origins),
            progress: Arc::clone(progress),
            told: HashMap::new(),
        };
        Self { changed, task: tokio::spawn(follow.run()) }
    }

    /// Waits until no emitter has anything to do: all is settled, or can't go on.
    pub(super) async fn all_settled(&self, runtime: &Runtime) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Enlisted before the look, so that nothing falls between look and wait.
            changed.as_mut().enable();
            let busy = runtime.emitters().iter().any(|emitter| {
                emitter.depth > 0 && matches!(emitter.status, Status::Running | Status::Restarting)
            });
            if !busy {
                return;
            }
            changed.await;
        }
    }

    /// Waits until everything was told, once the runtime has shut down.
    pub(super) async fn finish(self) {
        // It can only have ended.
        let _ = self.task.await;
    }
}

struct Follow {
    watch: Watch,
    changed: Arc<Notify>,
    origins: Arc<Origins>,
    progress: Arc<Progress>,
    told: HashMap<EmitterId, Told>,
}

/// The failures of an emitter that were told.
#[derive(Default)]
struct Told {
    /// Each failure once: a receiver that is down says the same of every event.
    failures: Vec<String>,
    given_up: usize,
    /// True once it was said that no event reaches this emitter's receiver.
    blocked: bool,
}

impl Follow {
    async fn run(mut self) {
        while let Some(event) = self.watch.next().await {
            match event {
                RuntimeEvent::AttemptFailed { emitter, code, message, .. } => {
                    self.failed(&emitter, code, &message);
                }
                RuntimeEvent::DeadLettered { emitter, sequence, request_id, attempts, .. } => {
                    self.given_up(&emitter, sequence, &request_id, attempts);
                }
                RuntimeEvent::Crashed { emitter, reason, .. } => {
                    self.tell(&emitter, format!("crashed and starts again: {reason}"));
                }
                RuntimeEvent::Failed { emitter, reason } => {
                    self.tell(&emitter, format!("failed and stays down: {reason}"));
                    self.changed.notify_waiters();
                }
                RuntimeEvent::Shortage { emitter, message }
                | RuntimeEvent::StoreUnavailable { emitter, message } => {
                    self.tell(&emitter, format!("{message}; it waits, and no attempt counts"));
                }
                RuntimeEvent::Expired { emitter, .. } => {
                    let what = "events waited longer than the store lets them, and were dropped";
                    self.tell(&emitter, what.to_owned());
                    self.changed.notify_waiters();
                }
                RuntimeEvent::Gone { emitter } => {
                    self.tell(&emitter, "answered 410 (gone), and gets nothing more".to_owned());
                    self.changed.notify_waiters();
                }
                RuntimeEvent::Drained { .. } | RuntimeEvent::Missed { .. } => {
                    self.changed.notify_waiters()
                }
                RuntimeEvent::ShutDown => return,
                _ => {}
            }
        }
    }

    fn failed(&mut self, emitter: &EmitterId, code: AttemptCode, message: &str) {
        self.told(emitter).blocked |= code == AttemptCode::BlockedDestination;
        self.tell(emitter, in_words(code, message));
    }

    fn given_up(
        &mut self,
        emitter: &EmitterId,
        event: Sequence,
        request_id: &RequestId,
        attempts: u32,
    ) {
        let told = self.told(emitter);
        if told.blocked || told.given_up > MOST_GIVEN_UP {
            return;
        }
        told.given_up += 1;
        if told.given_up > MOST_GIVEN_UP {
            self.note(emitter, "gave up on more; they are counted only");
            return;
        }
        let line = self.origins.line(event).map(|line| format!("line {line}"));
        let line = line.unwrap_or_else(|| "an event".to_owned());
        let attempts = plural(attempts.into(), "attempt");
        self.note(emitter, &format!("gave up on {line} (id {request_id}) after {attempts}"));
    }

    fn tell(&mut self, emitter: &EmitterId, failure: String) {
        let told = self.told(emitter);
        if told.failures.len() < MOST_FAILURES && !told.failures.contains(&failure) {
            told.failures.push(failure.clone());
            self.note(emitter, &failure);
        }
    }

    fn note(&self, emitter: &EmitterId, text: &str) {
        let label = style(format!("{emitter}:")).for_stderr().yellow();
        self.progress.note(format_args!("{label} {text}"));
    }

    fn told(&mut self, emitter: &EmitterId) -> &mut Told {
        self.told.entry(emitter.clone()).or_default()
    }
}

/// Words a failure for the command line.
pub(crate) fn in_words(code: AttemptCode, message: &str) -> String {
    if code != AttemptCode::BlockedDestination {
        return message.to_owned();
    }
    // The library goes on to name its own settings.
    let (what, settings) = message.split_once("; ").unwrap_or((message, ""));
    let network = settings.split('"').nth(1).unwrap_or("CIDR");
    format!("{what}; --allow-destination {network} allows it, --allow-private every destination")
}
