//! Tells what goes wrong, and when everything is settled.

use std::collections::HashMap;
use std::sync::Arc;

use bugle::{AttemptCode, EmitterId, Runtime, RuntimeEvent, Status, Watch};
use console::style;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::progress::Progress;

/// How many different failures of one emitter are told.
const MOST_TOLD: usize = 10;

/// Follows the runtime's events.
pub(super) struct Watcher {
    /// Told when an emitter may have nothing more to do.
    changed: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Follows from now on, until the runtime has shut down.
    pub(super) fn start(runtime: &Runtime, progress: &Arc<Progress>) -> Self {
        let changed = Arc::new(Notify::new());
        let follow = Follow {
            watch: runtime.watch(),
            changed: Arc::clone(&changed),
            progress: Arc::clone(progress),
            told: HashMap::new(),
        };
        Self { changed, task: tokio::spawn(follow.run()) }
    }

    /// Waits until no emitter has anything to do: all is settled, or it can't go on.
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

    /// Waits until everything was told. The runtime has shut down.
    pub(super) async fn finish(self) {
        // It can only have ended.
        let _ = self.task.await;
    }
}

struct Follow {
    watch: Watch,
    changed: Arc<Notify>,
    progress: Arc<Progress>,
    /// What was told of each emitter: a receiver that is down says the same of every event.
    told: HashMap<EmitterId, Vec<String>>,
}

impl Follow {
    async fn run(mut self) {
        while let Some(event) = self.watch.next().await {
            match event {
                RuntimeEvent::AttemptFailed { emitter, code, message, .. } => {
                    self.failed(emitter, code, &message);
                }
                RuntimeEvent::Crashed { emitter, reason, .. } => {
                    self.tell(emitter, format!("crashed and starts again: {reason}"));
                }
                RuntimeEvent::Failed { emitter, reason } => {
                    self.tell(emitter, format!("failed and stays down: {reason}"));
                    self.changed.notify_waiters();
                }
                RuntimeEvent::Drained { .. }
                | RuntimeEvent::Gone { .. }
                | RuntimeEvent::Missed { .. } => self.changed.notify_waiters(),
                RuntimeEvent::ShutDown => return,
                _ => {}
            }
        }
    }

    fn failed(&mut self, emitter: EmitterId, code: AttemptCode, message: &str) {
        self.tell(emitter, in_words(code, message));
    }

    fn tell(&mut self, emitter: EmitterId, message: String) {
        let told = self.told.entry(emitter.clone()).or_default();
        if told.len() < MOST_TOLD && !told.contains(&message) {
            let label = style(format!("{emitter}:")).for_stderr().yellow();
            self.progress.note(format_args!("{label} {message}"));
            told.push(message);
        }
    }
}

/// A failure in words that fit the command line.
pub(super) fn in_words(code: AttemptCode, message: &str) -> String {
    if code != AttemptCode::BlockedDestination {
        return message.to_owned();
    }
    // The library goes on to name its own settings.
    let what = message.split("; ").next().unwrap_or(message);
    format!("{what}; --allow-private allows every destination, --allow-destination CIDR some")
}
