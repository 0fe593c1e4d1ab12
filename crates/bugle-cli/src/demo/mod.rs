//! `bugle demo`: the whole story on one screen, without a network.

mod scene;
mod story;
mod summary;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::error::{CliError, NOT_DONE};
use crate::signals::Signals;
use crate::ui::{self, Above};
use scene::Scene;
use story::Story;
use summary::DemoSummary;
use view::View;

const EXAMPLES: &str = "\
Examples:
  bugle demo
  bugle demo --seconds 60
  bugle demo --seconds 6 --json | jq '.emitters[] | {id, status, restarts}'

Exit codes: 0 the story went as told, and no emitter's trouble was another's; 1 it did not.";

/// The time that deliveries in flight get to finish at the end.
const GRACE: Duration = Duration::from_millis(200);

/// Shows a supervision tree at work: four emitters get the same events. One is healthy; the
/// receiver of another fails a third of the time; a third one's hangs; the fourth has a handler in
/// the process that panics. Everything stays on this machine's loopback.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// The length of the story
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(2..=3600)
    )]
    seconds: u32,
    /// Print one JSON object at the end; the story goes to standard error
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode, CliError> {
    hush_the_handlers_panics();
    let mut signals = Signals::listen()?;
    let length = Duration::from_secs(args.seconds.into());
    let scene = Scene::set(length).await?;
    let mut view = View::new(args.json, length);
    let result = tokio::select! {
        played = play(&scene, &mut view, length) => played.map(Some),
        () = signals.next() => Ok(None),
    };
    view.close();
    let summary = DemoSummary::new(&scene);
    scene.strike(GRACE).await;
    let held = result?;
    match args.json {
        true => ui::json(&summary)?,
        false => ui::result(&summary)?,
    }
    let problem = match held {
        Some(told) => told.err().or_else(|| summary.problem()),
        // Cut short, what can be said is that the healthy one was left alone.
        None => summary.disturbance(),
    };
    Ok(match problem {
        None => ExitCode::SUCCESS,
        Some(problem) => {
            ui::note(format_args!("the story did not hold: {problem}"));
            ExitCode::from(NOT_DONE)
        }
    })
}

/// Tells the story and draws it. The inner result is the story's own.
async fn play(
    scene: &Scene,
    view: &mut View,
    length: Duration,
) -> Result<Result<(), String>, CliError> {
    let (say, mut said) = mpsc::unbounded_channel();
    // The log must not stand in the picture.
    let lines = say.clone();
    let _above = view.is_live().then(|| {
        Above::by(move |line| {
            let _ = lines.send(line.to_owned());
        })
    });
    let story = Story::new(scene, length, say);
    let mut told = std::pin::pin!(story.tell());
    let mut ticks = tokio::time::interval_at(Instant::now(), view.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(line) = said.recv() => view.narrate(&line)?,
            outcome = &mut told => break outcome,
            _ = ticks.tick() => view.draw(scene)?,
        }
    };
    while let Ok(line) = said.try_recv() {
        view.narrate(&line)?;
    }
    view.draw(scene)?;
    Ok(outcome)
}

/// Hushes the handler's panics: they are part of the story, and told there.
fn hush_the_handlers_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let staged = panic
            .payload()
            .downcast_ref::<&str>()
            .is_some_and(|text| [scene::POISONED, scene::IN_THE_STORM].contains(text));
        if !staged {
            usual(panic);
        }
    }));
}
