//! Plots of the results: horizontal bars, one file for each kind of number.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::Row;

const WIDTH: u32 = 960;
const TITLE: i32 = 48;
const BAR: i32 = 26;
/// The pixels at which the bars begin, and at which the longest ends.
const LEFT: i32 = 240;
const RIGHT: i32 = 860;

const BLUE: RGBColor = RGBColor(58, 110, 165);
const TARGET: RGBColor = RGBColor(200, 110, 20);
const GOAL: RGBColor = RGBColor(40, 140, 70);

/// One bar, with its target.
struct Bar {
    label: String,
    value: f64,
    target: Option<f64>,
    goal: Option<f64>,
}

/// Draws a file for each kind of number that was measured.
pub(crate) fn all(directory: &Path, rows: &[Row]) -> Result<()> {
    let context = || format!("plots can't be written to {}", directory.display());
    std::fs::create_dir_all(directory).with_context(context)?;
    let throughput = |field: &'static str, value: fn(&Row) -> Option<f64>| {
        bars(rows.iter().filter(|row| row.rps.is_some()), field, value)
    };
    let every = |field: &'static str, value: fn(&Row) -> Option<f64>| bars(rows, field, value);
    for (file, title, bars) in [
        (
            "throughput.svg",
            "Events a second, as a share of bare hyper's (more is better)",
            throughput("ratio", |row| row.ratio),
        ),
        (
            "cpu.svg",
            "CPU time an event, in multiples of bare hyper's (less is better)",
            throughput("cpu_ratio", |row| row.cpu_ratio),
        ),
        (
            "received_p50.svg",
            "From emit to received, median, microseconds at 2,000 events/s",
            every("p50_us", |row| row.p50_us),
        ),
        (
            "received_p99.svg",
            "From emit to received, 99th percentile, microseconds at 2,000 events/s",
            every("p99_us", |row| row.p99_us),
        ),
        (
            "memory.svg",
            "Resident memory of an idle emitter, KiB (less is better)",
            every("kib_per_emitter", |row| row.kib_per_emitter),
        ),
        (
            "attach.svg",
            "Attaching emitters, in multiples of spawning empty actors (less is better)",
            bars(rows.iter().filter(|row| row.attach_ms.is_some()), "ratio", |row| row.ratio),
        ),
    ] {
        if !bars.is_empty() {
            let path = directory.join(file);
            draw(&path, title, &bars).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn bars<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    field: &'static str,
    value: fn(&Row) -> Option<f64>,
) -> Vec<Bar> {
    let bar = |row: &Row| {
        let check = row.checks.iter().find(|check| check.field == field);
        Some(Bar {
            label: row.case.clone(),
            value: value(row)?,
            target: check.map(|check| check.target),
            goal: check.map(|check| check.goal),
        })
    };
    rows.into_iter().filter_map(bar).collect()
}

fn draw(path: &Path, title: &str, bars: &[Bar]) -> Result<()> {
    let rows = i32::try_from(bars.len())?;
    let height = TITLE + rows * BAR + BAR;
    let area = SVGBackend::new(path, (WIDTH, height.unsigned_abs())).into_drawing_area();
    paint(&area, title, bars).map_err(|error| anyhow!("it can't be drawn: {error}"))
}

fn paint<Backend: DrawingBackend>(
    area: &DrawingArea<Backend, Shift>,
    title: &str,
    bars: &[Bar],
) -> Result<(), DrawingAreaErrorKind<Backend::ErrorType>> {
    area.fill(&WHITE)?;
    let text =
        |size: i32, at: HPos| TextStyle::from(("sans-serif", size)).pos(Pos::new(at, VPos::Center));
    area.draw(&Text::new(title, (16, TITLE / 2), text(18, HPos::Left)))?;
    let marks = bars.iter().flat_map(|bar| [Some(bar.value), bar.target, bar.goal]);
    let longest = marks.flatten().fold(f64::MIN_POSITIVE, f64::max);
    let across = |value: f64| LEFT + scaled(value / longest);
    let mut top = TITLE;
    for bar in bars {
        let (middle, end) = (top + BAR / 2, across(bar.value));
        area.draw(&Text::new(bar.label.as_str(), (LEFT - 10, middle), text(13, HPos::Right)))?;
        let corners = [(LEFT, top + 4), (end, top + BAR - 4)];
        area.draw(&Rectangle::new(corners, BLUE.mix(0.7).filled()))?;
        for (mark, color) in [(bar.target, TARGET), (bar.goal, GOAL)] {
            if let Some(mark) = mark {
                let line = vec![(across(mark), top + 1), (across(mark), top + BAR - 1)];
                area.draw(&PathElement::new(line, color.stroke_width(2)))?;
            }
        }
        let value = number(bar.value);
        area.draw(&Text::new(value, (RIGHT + 10, middle), text(13, HPos::Left)))?;
        top += BAR;
    }
    if bars.iter().any(|bar| bar.target.is_some()) {
        let middle = top + BAR / 2;
        let target = text(12, HPos::Left).color(&TARGET);
        area.draw(&Text::new("| to reach now", (LEFT, middle), target))?;
        let goal = text(12, HPos::Left).color(&GOAL);
        area.draw(&Text::new("| the goal behind it", (LEFT + 120, middle), goal))?;
    }
    area.present()
}

/// A share of the longest bar, in pixels.
fn scaled(share: f64) -> i32 {
    (share.clamp(0.0, 1.0) * f64::from(RIGHT - LEFT)).round() as i32
}

fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;

    #[test]
    fn only_what_was_measured_is_drawn() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let case = Case::Memory { emitters: 64, tls: false, signed: false };
        let row = Row { rps: Some(1.0), ratio: Some(0.5), ..Row::new(case, 5) };
        let row = row.at_least("ratio", 0.5, case.wanted());
        all(directory, &[row]).unwrap();
        let svg = std::fs::read_to_string(directory.join("throughput.svg")).unwrap();
        assert!(svg.contains("memory/64/plain/unsigned") && svg.contains("0.50"), "{svg}");
        assert!(svg.contains("to reach now"), "{svg}");
        assert!(!directory.join("memory.svg").exists());
    }
}
