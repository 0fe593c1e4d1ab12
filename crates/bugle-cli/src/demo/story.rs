//! The story: what happens when, and what is said about it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bugle::{Backlog, EmitterDescription, RuntimeEvent, Watch};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::scene::{FLAKY, HANGING, PANICKING, STEADY, Scene};
use crate::ui::count;

/// Tells the story of a scene.
pub(super) struct Story<'a> {
    scene: &'a Scene,
    start: Instant,
    length: Duration,
    say: UnboundedSender<String>,
}

impl<'a> Story<'a> {
    pub(super) fn new(scene: &'a Scene, length: Duration, say: UnboundedSender<String>) -> Self {
        Self { scene, start: Instant::now(), length, say }
    }

    /// Tells it all, in the time that it was given. The error says what did not come true.
    pub(super) async fn tell(&self) -> Result<(), String> {
        let mut watch = self.scene.runtime.watch();
        self.say("Four emitters get the same orders, 100 a second, each at its own pace.");
        self.say(format!(
            "\"{FLAKY}\"'s receiver fails a third of the time, \"{HANGING}\"'s never answers."
        ));
        self.poison(0.12, &mut watch).await?;
        self.pause_and_restart(0.3, 0.45).await?;
        self.poison(0.52, &mut watch).await?;
        self.storm(0.68, 0.85, &mut watch).await?;
        self.last_orders(0.93, &mut watch).await
    }

    async fn poison(&self, at: f64, watch: &mut Watch) -> Result<(), String> {
        self.until(at).await;
        self.say(format!("A poison event: the handler of \"{PANICKING}\" panics on it …"));
        self.scene.emit_poison().await.map_err(|error| error.to_string())?;
        self.see(watch, "the poison event was dead-lettered", |event| {
            matches!(event, RuntimeEvent::DeadLettered { emitter, .. } if *emitter == PANICKING)
        })
        .await?;
        self.say("… three times; it was dead-lettered, and what waited behind it goes on.");
        Ok(())
    }

    async fn pause_and_restart(&self, pause: f64, restart: f64) -> Result<(), String> {
        let runtime = &self.scene.runtime;
        self.until(pause).await;
        let paused = runtime.pause_with(FLAKY, Backlog::Keep).await;
        paused.map_err(|error| error.to_string())?;
        self.say(format!("\"{FLAKY}\" is paused: its actor is gone, its cursor and backlog stay."));
        self.until(restart).await;
        let waiting = runtime.describe(FLAKY).map_or(0, |emitter| emitter.depth);
        runtime.restart(FLAKY).await.map_err(|error| error.to_string())?;
        let waiting = count(waiting);
        self.say(format!("\"{FLAKY}\" is restarted, and catches up with {waiting} events."));
        Ok(())
    }

    async fn storm(&self, begin: f64, end: f64, watch: &mut Watch) -> Result<(), String> {
        self.until(begin).await;
        self.scene.storm.store(true, Ordering::SeqCst);
        self.say(format!("A storm: the handler of \"{PANICKING}\" panics on every event."));
        self.see(
            watch,
            "the emitter failed",
            |event| matches!(event, RuntimeEvent::Failed { emitter, .. } if *emitter == PANICKING),
        )
        .await?;
        let budget = self.scene.budget;
        self.say(format!(
            "More than {} restarts in {:.1} s: \"{PANICKING}\" has failed, alone.",
            budget.restarts,
            budget.within.as_secs_f64()
        ));
        self.until(end).await;
        self.scene.storm.store(false, Ordering::SeqCst);
        let restarted = self.scene.runtime.restart(PANICKING).await;
        restarted.map_err(|error| error.to_string())?;
        self.say(format!("The storm is over; \"{PANICKING}\" is restarted by hand."));
        Ok(())
    }

    /// Stops emitting, and waits until all but the hanging emitter have caught up.
    async fn last_orders(&self, at: f64, watch: &mut Watch) -> Result<(), String> {
        self.until(at).await;
        self.scene.stop_emitting();
        self.say("No more orders. All but the hanging one finish what they have.");
        let busy = |emitter: &EmitterDescription| emitter.depth > 0 && emitter.id != HANGING;
        let caught_up = async {
            while self.scene.runtime.emitters().iter().any(busy) {
                if watch.next().await.is_none() {
                    return;
                }
            }
        };
        let deadline = self.start + self.length;
        if tokio::time::timeout_at(deadline, caught_up).await.is_err()
            && self.scene.runtime.describe(STEADY).is_none_or(|emitter| emitter.depth > 0)
        {
            return Err(format!("\"{STEADY}\" did not catch up in time"));
        }
        tokio::time::sleep_until(deadline).await;
        Ok(())
    }

    /// Waits until this part of the story's length has passed.
    async fn until(&self, part: f64) {
        tokio::time::sleep_until(self.start + self.length.mul_f64(part)).await;
    }

    /// Waits for something to happen, for as long as a story can.
    async fn see(
        &self,
        watch: &mut Watch,
        what: &str,
        fits: impl FnMut(&RuntimeEvent) -> bool,
    ) -> Result<(), String> {
        let deadline = self.start + self.length;
        match tokio::time::timeout_at(deadline, watch.wait_for(fits)).await {
            Ok(Some(_)) => Ok(()),
            _ => Err(format!("it was not seen that {what}")),
        }
    }

    fn say(&self, line: impl Into<String>) {
        let at = self.start.elapsed().as_secs_f64();
        // Nobody listens any more only when the demo was stopped.
        let _ = self.say.send(format!("{at:>5.1} s  {}", line.into()));
    }
}
