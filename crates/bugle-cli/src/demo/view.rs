//! The supervision tree on the screen: redrawn in place on a terminal, now and then elsewhere.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use bugle::{EmitterDescription, EmitterId, Status};
use console::{StyledObject, Term, style, truncate_str};

use super::scene::Scene;
use crate::error::CliError;
use crate::table::Table;
use crate::ui::count;

/// The time between two pictures on a terminal.
const REDRAW: Duration = Duration::from_millis(125);

/// The time over which a rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The width of a terminal that has room for wide columns.
const ROOMY: u16 = 110;

/// Draws the narration above and the tree below.
pub(super) struct View {
    term: Term,
    live: bool,
    length: Duration,
    /// The number of lines of the tree on the screen.
    drawn: usize,
    tree: String,
    rates: Rates,
}

impl View {
    /// Makes a view. A machine reads standard output; then a person is shown the story on standard
    /// error.
    pub(super) fn new(for_a_machine: bool, length: Duration) -> Self {
        let term = if for_a_machine {
            console::set_colors_enabled(console::colors_enabled_stderr());
            Term::stderr()
        } else {
            Term::stdout()
        };
        let live = term.is_term();
        if live {
            // A cursor that can't be hidden does no harm.
            let _ = term.hide_cursor();
        }
        Self { term, live, length, drawn: 0, tree: String::new(), rates: Rates::default() }
    }

    /// True when the tree is redrawn in place.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// The time between two pictures.
    pub(super) fn interval(&self) -> Duration {
        let seldom = (self.length / 6).clamp(Duration::from_secs(1), Duration::from_secs(5));
        if self.live { REDRAW } else { seldom }
    }

    /// Adds a line to the story.
    pub(super) fn narrate(&mut self, line: &str) -> Result<(), CliError> {
        let mut frame = self.erased();
        frame.push_str(line);
        frame.push('\n');
        if self.live {
            self.drawn = push_lines(&mut frame, &self.tree, &self.term);
        }
        self.write(&frame)
    }

    /// Draws the tree as it is now.
    pub(super) fn draw(&mut self, scene: &Scene) -> Result<(), CliError> {
        let emitters = scene.runtime.emitters();
        self.rates.measure(&emitters);
        self.tree = self.tree_of(scene, &emitters);
        let mut frame = self.erased();
        self.drawn = push_lines(&mut frame, &self.tree, &self.term);
        self.write(&frame)
    }

    /// Leaves the last picture, and gives the cursor back.
    pub(super) fn close(&self) {
        if self.live {
            let _ = self.term.show_cursor();
        }
    }

    fn tree_of(&self, scene: &Scene, emitters: &[EmitterDescription]) -> String {
        let elapsed = scene.started.elapsed().min(self.length).as_secs_f64();
        let roomy = self.term.size_checked().is_none_or(|(_, width)| width >= ROOMY);
        let mut table = Table::new(&[
            "emitter",
            "status",
            "#waiting",
            "#in flight",
            "#per s",
            "#delivered",
            "#failed",
            "#dead",
            "#restarts",
            "last failure",
        ])
        .gap(if roomy { 2 } else { 1 })
        .whole();
        for (at, emitter) in emitters.iter().enumerate() {
            let branch = if at + 1 == emitters.len() { "└──" } else { "├──" };
            let last = emitter.last_failure.as_ref();
            table.row([
                format!("{branch} {}", style(&emitter.id).bold()),
                status(emitter.status).to_string(),
                count(emitter.depth),
                count(emitter.in_flight.into()),
                count(self.rates.of(&emitter.id)),
                count(emitter.delivered_since_start),
                count(emitter.failed_attempts_since_start),
                count(emitter.dead_lettered_since_start),
                count(emitter.restarts_since_start),
                style(last.map_or("", |last| &last.message)).dim().to_string(),
            ]);
        }
        let seconds = self.length.as_secs();
        let table = table.to_string();
        let (head, emitters) = table.split_once('\n').unwrap_or((&table, ""));
        format!(
            "\n{head}\nroot supervisor\n{emitters}\n{}\n",
            style(format!("{elapsed:.1} of {seconds} s, {} orders", count(scene.emitted()))).dim()
        )
    }

    /// The sequence that takes the tree off the screen, so that something can be written in its
    /// place.
    fn erased(&mut self) -> String {
        let lines = std::mem::take(&mut self.drawn);
        // Up by so many lines, to the first column, and clear to the end of the screen.
        if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r\x1b[J") }
    }

    fn write(&self, frame: &str) -> Result<(), CliError> {
        let written = self.term.write_str(frame).and_then(|()| self.term.flush());
        written.map_err(|error: io::Error| CliError::Output(error))
    }
}

/// Adds the tree, cut to the terminal's width so that no line breaks. Answers its number of lines.
fn push_lines(frame: &mut String, tree: &str, term: &Term) -> usize {
    if !term.is_term() {
        frame.push_str(tree);
        return 0;
    }
    let width = usize::from(term.size().1);
    let mut lines = 0;
    for line in tree.lines() {
        // Writing to a string can't fail.
        let _ = writeln!(frame, "{}", truncate_str(line, width, "…"));
        lines += 1;
    }
    lines
}

fn status(status: Status) -> StyledObject<String> {
    let text = style(format!("● {status}"));
    match status {
        Status::Running => text.green(),
        Status::Paused => text.cyan(),
        Status::Restarting => text.yellow(),
        _ => text.red(),
    }
}

/// The number of events that each emitter delivers in a second.
#[derive(Default)]
struct Rates {
    /// The counts of deliveries at some moments, the oldest first.
    counts: VecDeque<(Instant, HashMap<EmitterId, u64>)>,
}

impl Rates {
    fn measure(&mut self, emitters: &[EmitterDescription]) {
        let now = Instant::now();
        let counts =
            emitters.iter().map(|emitter| (emitter.id.clone(), emitter.delivered_since_start));
        self.counts.push_back((now, counts.collect()));
        // The one before the window's start is where it is measured from.
        while self.counts.get(1).is_some_and(|(at, _)| now - *at >= RATE_WINDOW) {
            self.counts.pop_front();
        }
    }

    fn of(&self, id: &EmitterId) -> u64 {
        let (Some((start, then)), Some((end, now))) = (self.counts.front(), self.counts.back())
        else {
            return 0;
        };
        let delivered = |counts: &HashMap<EmitterId, u64>| counts.get(id).copied().unwrap_or(0);
        let seconds = (*end - *start).as_secs_f64();
        let more = delivered(now).saturating_sub(delivered(then));
        if seconds > 0.0 { (more as f64 / seconds).round() as u64 } else { 0 }
    }
}
