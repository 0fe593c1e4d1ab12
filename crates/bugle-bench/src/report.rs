//! The results: as JSON, and as tables.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::case::{Case, Wanted};

/// One case's numbers; `None`, in JSON null, where the case doesn't have them.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    /// Events delivered a second.
    pub(crate) rps: Option<f64>,
    pub(crate) ceiling_rps: Option<f64>,
    /// The median of the rounds' ratios: of `rps` to `ceiling_rps`, or of `attach_ms` to
    /// `actors_ms`.
    pub(crate) ratio: Option<f64>,
    /// Microseconds of CPU time an event, on the sending side.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) ceiling_cpu_us: Option<f64>,
    pub(crate) cpu_ratio: Option<f64>,
    /// Events delivered a second by the lean loop, and the ratio of `rps` to `lean_rps`.
    pub(crate) lean_rps: Option<f64>,
    pub(crate) lean_cpu_us: Option<f64>,
    pub(crate) lean_ratio: Option<f64>,
    /// Allocations for each event and their bytes, in the sending process: Bugle's, the ceiling's,
    /// the lean loop's.
    pub(crate) allocations: Option<f64>,
    pub(crate) allocated_bytes: Option<f64>,
    pub(crate) ceiling_allocations: Option<f64>,
    pub(crate) ceiling_allocated_bytes: Option<f64>,
    pub(crate) lean_allocations: Option<f64>,
    pub(crate) lean_allocated_bytes: Option<f64>,
    /// Microseconds from the call of `emit` until the receiver has read the request.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Microseconds that the call of `emit` takes.
    pub(crate) emit_p50_us: Option<f64>,
    pub(crate) emit_p99_us: Option<f64>,
    /// Resident memory of an idle emitter.
    pub(crate) kib_per_emitter: Option<f64>,
    pub(crate) attach_ms: Option<f64>,
    pub(crate) stop_ms: Option<f64>,
    /// Milliseconds to spawn as many empty actors.
    pub(crate) actors_ms: Option<f64>,
    /// Microseconds of CPU time of `emit` for each emitter: the worse of the two that follow.
    pub(crate) emit_cpu_us: Option<f64>,
    /// The same for the first event, for which couriers are started.
    pub(crate) emit_cpu_cold_us: Option<f64>,
    /// The same for events that follow.
    pub(crate) emit_cpu_warm_us: Option<f64>,
    /// Milliseconds until the first event was delivered to all.
    pub(crate) delivered_cold_ms: Option<f64>,
    /// Milliseconds until an event that follows was delivered to all.
    pub(crate) delivered_warm_ms: Option<f64>,
    /// Resident memory of the whole process.
    pub(crate) resident_mib: Option<f64>,
    /// The part of it that came with the events that wait.
    pub(crate) added_mib: Option<f64>,
    /// Events delivered a second with the memory store, beside `rps` with the store on disk.
    pub(crate) memory_rps: Option<f64>,
    /// The ratio of `rps` to `memory_rps`.
    pub(crate) memory_ratio: Option<f64>,
    /// Microseconds to have 1 KiB more on the disk.
    pub(crate) sync_us: Option<f64>,
    /// Microseconds of a lone caller's `emit`, and the same in syncs.
    pub(crate) lone_us: Option<f64>,
    pub(crate) lone_syncs: Option<f64>,
    /// Events accepted a second from a lone caller, and from all of them.
    pub(crate) lone_rps: Option<f64>,
    pub(crate) accepted_rps: Option<f64>,
    /// Events a second on the disk by a bare loop of frames, and the ratio of `accepted_rps` to it.
    pub(crate) frames_rps: Option<f64>,
    pub(crate) frames_ratio: Option<f64>,
    /// Instructions an event in user space: Bugle's, Bugle's with a signature, the ceiling's, the
    /// lean loop's.
    pub(crate) instructions: Option<f64>,
    pub(crate) signed_instructions: Option<f64>,
    pub(crate) ceiling_instructions: Option<f64>,
    pub(crate) lean_instructions: Option<f64>,
    /// Events delivered a second by the command line, and by the library.
    pub(crate) command_rps: Option<f64>,
    pub(crate) library_rps: Option<f64>,
    /// Events that wait, or that are kept, or that a file has.
    pub(crate) events: Option<f64>,
    /// Milliseconds until a store was open, and until the first delivery from it.
    pub(crate) open_ms: Option<f64>,
    pub(crate) first_ms: Option<f64>,
    /// Milliseconds until all emitters of an earlier process ran.
    pub(crate) restored_ms: Option<f64>,
    /// Events delivered a second with an empty store, and with a history.
    pub(crate) empty_rps: Option<f64>,
    pub(crate) history_rps: Option<f64>,
    /// Bytes on disk for each event of 1 KiB.
    pub(crate) disk_bytes: Option<f64>,
    /// Attempts in the long log; and the microseconds that a page of it, and of the short one,
    /// takes.
    pub(crate) attempts: Option<f64>,
    pub(crate) page_us: Option<f64>,
    pub(crate) page_few_us: Option<f64>,
    /// Microseconds that a page anywhere in the long log takes.
    pub(crate) page_anywhere_us: Option<f64>,
    /// A remark on the numbers.
    pub(crate) note: Option<String>,
    /// The number of rounds that the medians are of.
    pub(crate) rounds: u32,
    /// The targets of the case.
    pub(crate) checks: Vec<Check>,
}

/// A number with its target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Check {
    /// The number's field.
    pub(crate) field: &'static str,
    pub(crate) value: f64,
    /// True when `target` and `goal` are the most that it may be; false when they are the least.
    pub(crate) at_most: bool,
    /// The value to reach now.
    pub(crate) target: f64,
    /// The goal behind it.
    pub(crate) goal: f64,
    pub(crate) target_met: bool,
    pub(crate) goal_met: bool,
}

impl Row {
    pub(crate) fn new(case: Case, rounds: u32) -> Self {
        Self { case: case.to_string(), rounds, ..Self::default() }
    }

    /// Adds a check: the number is to be this at least.
    pub(crate) fn at_least(mut self, field: &'static str, value: f64, of: Option<Wanted>) -> Self {
        self.checks.extend(of.map(|of| Check::new(field, value, false, of)));
        self
    }

    /// Adds a check: the number is to be this at most.
    pub(crate) fn at_most(mut self, field: &'static str, value: f64, of: Option<Wanted>) -> Self {
        self.checks.extend(of.map(|of| Check::new(field, value, true, of)));
        self
    }
}

impl Check {
    fn new(field: &'static str, value: f64, at_most: bool, of: Wanted) -> Self {
        let met = |limit| if at_most { value <= limit } else { value >= limit };
        let (target_met, goal_met) = (met(of.target), met(of.goal));
        Self { field, value, at_most, target: of.target, goal: of.goal, target_met, goal_met }
    }
}

/// Writes the results as a JSON list.
pub(crate) fn write_json(path: &Path, rows: &[Row]) -> Result<()> {
    let context = || format!("{} can't be written", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(context)?);
    serde_json::to_writer_pretty(&mut file, rows).with_context(context)?;
    writeln!(file).and_then(|()| file.flush()).with_context(context)
}

/// Writes the results as tables in Markdown.
pub(crate) fn tables(rows: &[Row]) -> String {
    let (events, others): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.rps.or(row.ceiling_rps).or(row.lean_rps).is_some());
    let checks: Vec<_> =
        rows.iter().flat_map(|row| row.checks.iter().map(|it| (&row.case, it))).collect();
    let tables = [
        (!events.is_empty()).then(|| throughput(&events)),
        (!events.is_empty()).then(|| costs(&events)),
        (!others.is_empty()).then(|| numbers(&others)),
        (!checks.is_empty()).then(|| targets(&checks)),
    ];
    tables.iter().flatten().map(Table::to_string).collect::<Vec<_>>().join("\n\n")
}

fn throughput(rows: &[&Row]) -> Table {
    let mut table = table([
        "case",
        "events/s",
        "ceiling",
        "ratio",
        "lean loop",
        "ratio",
        "memory",
        "ratio",
        "emit p50",
        "p99 us",
        "received p50",
        "p99 us",
    ]);
    for row in rows {
        table.add_row([
            row.case.clone(),
            text(row.rps, 0),
            text(row.ceiling_rps, 0),
            text(row.ratio, 2),
            text(row.lean_rps, 0),
            text(row.lean_ratio, 2),
            text(row.memory_rps, 0),
            text(row.memory_ratio, 2),
            text(row.emit_p50_us, 1),
            text(row.emit_p99_us, 1),
            text(row.p50_us, 0),
            text(row.p99_us, 0),
        ]);
    }
    table
}

/// Tabulates the costs of an event in the sending process.
fn costs(rows: &[&Row]) -> Table {
    let mut table = table([
        "an event costs",
        "CPU us",
        "ceiling",
        "ratio",
        "lean loop",
        "allocations",
        "ceiling",
        "lean loop",
        "bytes",
        "ceiling",
        "lean loop",
    ]);
    for row in rows {
        table.add_row([
            row.case.clone(),
            text(row.cpu_us, 2),
            text(row.ceiling_cpu_us, 2),
            text(row.cpu_ratio, 2),
            text(row.lean_cpu_us, 2),
            text(row.allocations, 1),
            text(row.ceiling_allocations, 1),
            text(row.lean_allocations, 1),
            text(row.allocated_bytes, 0),
            text(row.ceiling_allocated_bytes, 0),
            text(row.lean_allocated_bytes, 0),
        ]);
    }
    table
}

fn numbers(rows: &[&Row]) -> Table {
    let mut table = table(["case", "what", "value"]);
    for row in rows {
        let all = [
            ("resident memory, KiB an emitter", row.kib_per_emitter),
            ("attaching, ms", row.attach_ms),
            ("stopping, ms", row.stop_ms),
            ("spawning empty actors, ms", row.actors_ms),
            ("sync of 1 KiB, us", row.sync_us),
            ("emit, one caller, us", row.lone_us),
            ("emit, one caller, syncs", row.lone_syncs),
            ("accepted from one caller, events/s", row.lone_rps),
            ("accepted from all callers, events/s", row.accepted_rps),
            ("emit, all callers, p50 us", row.emit_p50_us),
            ("emit, all callers, p99 us", row.emit_p99_us),
            ("written as frames of 32 by a bare loop, events/s", row.frames_rps),
            ("accepted from all callers, of that", row.frames_ratio),
            ("instructions an event", row.instructions),
            ("instructions an event, signed", row.signed_instructions),
            ("instructions an event, bare hyper", row.ceiling_instructions),
            ("instructions an event, bare lean loop", row.lean_instructions),
            ("events", row.events),
            ("bugle deliver, events/s", row.command_rps),
            ("the library, events/s", row.library_rps),
            ("open, ms", row.open_ms),
            ("first delivery, ms", row.first_ms),
            ("all emitters restored, ms", row.restored_ms),
            ("delivered with an empty store, events/s", row.empty_rps),
            ("delivered with a history, events/s", row.history_rps),
            ("on disk, bytes an event", row.disk_bytes),
            ("attempts", row.attempts),
            ("a page of few attempts, us", row.page_few_us),
            ("a page of all attempts, us", row.page_us),
            ("one far behind the newest, us", row.page_anywhere_us),
            ("ratio", row.ratio),
            ("emit, first event, CPU us an emitter", row.emit_cpu_cold_us),
            ("emit, later events, CPU us an emitter", row.emit_cpu_warm_us),
            ("everything, CPU us an event", row.cpu_us),
            ("first event delivered to all, ms", row.delivered_cold_ms),
            ("later events delivered to all, ms", row.delivered_warm_ms),
            ("resident memory, MiB", row.resident_mib),
            ("of it with the events, MiB", row.added_mib),
        ];
        for (what, value) in all {
            if value.is_some() {
                table.add_row([row.case.clone(), what.to_owned(), text(value, 2)]);
            }
        }
        if let Some(note) = &row.note {
            table.add_row([row.case.clone(), note.clone(), String::new()]);
        }
    }
    table
}

/// Tabulates the comparison of two commits: of each line the case, the number, both values and
/// their ratio.
pub(crate) fn comparison(commit: &str, lines: &[[String; 5]]) -> Table {
    let mut table = table(["case", "number", commit, "HEAD", "ratio"]);
    for line in lines {
        table.add_row(line.clone());
    }
    table
}

/// Writes a number with about four digits.
pub(crate) fn rounded(value: f64) -> String {
    let decimals = if value.abs() >= 1000.0 { 0 } else { 3 };
    text(Some(value), decimals)
}

fn targets(checks: &[(&String, &Check)]) -> Table {
    let mut table = table(["case", "number", "value", "target", "goal", "reached"]);
    for (case, check) in checks {
        let than = if check.at_most { "<=" } else { ">=" };
        let reached = match (check.target_met, check.goal_met) {
            (_, true) => "the goal",
            (true, false) => "the target",
            (false, false) => "no",
        };
        table.add_row([
            (*case).clone(),
            check.field.to_owned(),
            text(Some(check.value), 2),
            format!("{than} {}", check.target),
            format!("{than} {}", check.goal),
            reached.to_owned(),
        ]);
    }
    table
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn text(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let case = Case::Memory { emitters: 64, tls: false, signed: false };
        let row = Row { rps: Some(80_000.0), ratio: Some(0.97), ..Row::new(case, 5) };
        row.at_least("ratio", 0.97, case.wanted()).at_most("cpu_ratio", 1.6, case.wanted_cpu())
    }

    #[test]
    fn the_json_is_a_list_of_objects_with_all_fields() {
        let json = serde_json::to_value([row()]).unwrap();
        let object = json[0].as_object().unwrap();
        assert_eq!(object["case"], "memory/64/plain/unsigned");
        assert_eq!(object["ratio"], 0.97);
        for field in ["ceiling_rps", "cpu_us", "ceiling_cpu_us", "cpu_ratio", "p50_us", "p99_us"] {
            assert!(object[field].is_null(), "{field}");
        }
        assert_eq!(object["checks"][0]["target_met"], true);
        assert_eq!(object["checks"][0]["goal_met"], false);
        assert_eq!(object["checks"][1]["target_met"], false);
    }

    #[test]
    fn the_tables_have_every_case_and_target() {
        let idle = Row::new(Case::Idle { emitters: 10_000 }, 1);
        let tables = tables(&[row(), Row { kib_per_emitter: Some(9.5), ..idle }]);
        assert!(tables.contains("| idle/10000 |") && tables.contains(" 9.50 |"), "{tables}");
        assert!(tables.contains("| memory/64/plain/unsigned |"), "{tables}");
        assert!(tables.contains("the target |") && tables.contains(" no |"), "{tables}");
    }
}
