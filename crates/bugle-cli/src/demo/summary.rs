//! The state of each emitter at the end, and whether the story held.

use std::fmt;

use bugle::{EmitterDescription, Status};
use console::style;
use serde::Serialize;

use super::scene::{FLAKY, HANGING, PANICKING, STEADY, Scene};
use crate::ui::{count, plural};

/// The summary, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct DemoSummary {
    emitters: Vec<DemoEmitter>,
    #[serde(skip)]
    emitted: u64,
}

#[derive(Serialize)]
struct DemoEmitter {
    id: String,
    status: Status,
    delivered: u64,
    failed_attempts: u64,
    dead_lettered: u64,
    restarts: u64,
    #[serde(skip)]
    waiting: u64,
}

impl DemoSummary {
    /// Sums up a scene that still stands.
    pub(super) fn new(scene: &Scene) -> Self {
        let summary = |emitter: EmitterDescription| DemoEmitter {
            id: emitter.id.to_string(),
            status: emitter.status,
            delivered: emitter.delivered_since_start,
            failed_attempts: emitter.failed_attempts_since_start,
            dead_lettered: emitter.dead_lettered_since_start,
            restarts: emitter.restarts_since_start,
            waiting: emitter.depth,
        };
        let emitters = scene.runtime.emitters().into_iter().map(summary).collect();
        Self { emitters, emitted: scene.emitted() }
    }

    /// Says which part of the story did not come true, if one did not.
    pub(super) fn problem(&self) -> Option<String> {
        if let Some(problem) = self.disturbance() {
            return Some(problem);
        }
        let as_expected = |emitter: &DemoEmitter| match emitter.id.as_str() {
            STEADY => emitter.delivered == self.emitted,
            FLAKY => emitter.delivered > 0 && emitter.failed_attempts > 0,
            HANGING => emitter.delivered == 0 && emitter.failed_attempts > 0,
            PANICKING => {
                emitter.status == Status::Running
                    && emitter.restarts >= 3
                    && emitter.dead_lettered >= 1
                    && emitter.delivered > 0
            }
            _ => true,
        };
        let odd = self.emitters.iter().find(|emitter| !as_expected(emitter))?;
        Some(format!("\"{}\" did not fare as it should have", odd.id))
    }

    /// Names an emitter that suffered from another's trouble, if one did.
    pub(super) fn disturbance(&self) -> Option<String> {
        let steady = self.emitter(STEADY)?;
        if steady.failed_attempts > 0 || steady.restarts > 0 || steady.status != Status::Running {
            return Some(format!("\"{STEADY}\" was disturbed"));
        }
        let others = [FLAKY, HANGING].into_iter().filter_map(|id| self.emitter(id));
        let crashed = others.into_iter().find(|emitter| emitter.restarts > 0)?;
        Some(format!("\"{}\" crashed", crashed.id))
    }

    fn emitter(&self, id: &str) -> Option<&DemoEmitter> {
        self.emitters.iter().find(|emitter| emitter.id == id)
    }
}

impl fmt::Display for DemoSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{} were emitted. What became of them:", plural(self.emitted, "order"))?;
        for emitter in &self.emitters {
            let name = style(format!("{:>10}", emitter.id)).bold();
            write!(f, "\n{name}  {} delivered", count(emitter.delivered))?;
            let mut also = |number: u64, what: &str| match number {
                0 => Ok(()),
                number => write!(f, ", {} {what}", count(number)),
            };
            also(emitter.failed_attempts, "failed attempts")?;
            also(emitter.dead_lettered, "dead-lettered")?;
            also(emitter.restarts, "restarts after crashes")?;
            also(emitter.waiting, "still waiting")?;
            if emitter.status != Status::Running {
                write!(f, ", now {}", emitter.status)?;
            }
        }
        if self.disturbance().is_none() {
            write!(
                f,
                "\n\nOne receiver failed, one hung, one handler panicked: nobody else noticed.\n\
                 Now with events of your own: bugle deliver --help"
            )?;
        }
        Ok(())
    }
}
