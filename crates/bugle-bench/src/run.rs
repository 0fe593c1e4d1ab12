//! The whole benchmark: one case after another, then the results.

use std::io::Write;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::{Builder, Runtime};

use crate::args::{Args, Sides};
use crate::backlog::Waiting;
use crate::bare_hyper::BareHyper;
use crate::bare_lean::BareLean;
use crate::case::Case;
use crate::ceiling::Ceiling;
use crate::fanout::Fanout;
use crate::footprint::Footprint;
use crate::instructions::Counter;
use crate::lanes::{Keeping, Lanes, Shape};
use crate::receiver::Receiver;
use crate::report::{Row, tables, write_json};
use crate::stats::{float, median};
use crate::throughput::{self, Rounds};
use crate::{child, deliver, latency, plot};

/// Measures the selected cases, and shows the results.
pub(crate) fn all(args: &Args) -> Result<()> {
    let cases = Case::select(&args.cases)?;
    let mut output = std::io::stdout();
    if args.list {
        for case in cases {
            writeln!(output, "{case}")?;
        }
        return Ok(());
    }
    let progress = ProgressBar::new(cases.len() as u64).with_style(ProgressStyle::with_template(
        "{pos}/{len} {elapsed_precise} {wide_bar} {msg}",
    )?);
    let bench = Bench { args, runtime: runtime(args.threads)?, receiver: Receiver::start()? };
    let mut rows = Vec::with_capacity(cases.len());
    for case in cases {
        progress.set_message(case.to_string());
        progress.tick();
        rows.push(bench.measure(case).with_context(|| case.to_string())?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    writeln!(output, "{}", tables(&rows))?;
    if let Some(path) = &args.json {
        write_json(path, &rows)?;
    }
    plot::all(&args.plots, &rows)
}

fn runtime(threads: u16) -> Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(usize::from(threads));
    }
    Ok(builder.enable_all().build()?)
}

/// The things that all cases are measured with.
pub(crate) struct Bench<'a> {
    pub(crate) args: &'a Args,
    /// The runtime that all sides send from.
    runtime: Runtime,
    pub(crate) receiver: Receiver,
}

impl Bench<'_> {
    fn measure(&self, case: Case) -> Result<Row> {
        match case {
            Case::Memory { emitters, tls, signed } => {
                let producers = usize::from(self.args.threads).min(emitters);
                let depth = self.args.depth.map_or_else(|| depth(emitters), |it| it as usize);
                let shape = Shape { emitters, tls, signed, depth, producers };
                self.runtime.block_on(self.throughput(case, shape))
            }
            Case::Durable { emitters } => {
                self.runtime.block_on(self.durable(case, self.crowded(emitters)))
            }
            Case::Accept { callers } => self.runtime.block_on(self.accept(case, callers)),
            Case::Instructions { emitters } => self.instructions(case, emitters),
            Case::Deliver => self.deliver(case),
            Case::Recovery => self.runtime.block_on(self.recovery(case)),
            Case::Restore { emitters } => self.runtime.block_on(self.restore(case, emitters)),
            Case::History => self.runtime.block_on(self.history(case, self.crowded(64))),
            Case::Page => self.runtime.block_on(self.page(case)),
            Case::Idle { emitters } => idle(case, emitters),
            Case::Attach { emitters } => self.attach(case, emitters),
            Case::Fanout { emitters } => fanout(case, emitters),
            Case::Backlog { emitters } => backlog(case, emitters),
        }
    }

    /// The shape of emitters over plain HTTP, each with a caller of `emit` of its own.
    fn crowded(&self, emitters: usize) -> Shape {
        let depth = self.args.depth.map_or_else(|| depth(emitters), |it| it as usize);
        Shape { emitters, tls: false, signed: false, depth, producers: emitters }
    }

    async fn throughput(&self, case: Case, shape: Shape) -> Result<Row> {
        let to = &self.receiver.addresses;
        let slice = self.args.slice();
        let lanes = shape.emitters as u64;
        let rounds = Rounds { count: self.args.rounds, slice, warm_up: slice / 10, lanes };
        let mut ceiling = Ceiling::<BareHyper>::connect(to, shape.emitters, shape.tls).await?;
        let mut lean = Ceiling::<BareLean>::connect(to, shape.emitters, shape.tls).await?;
        let mut lanes = Lanes::attach(to, shape, Keeping::InMemory).await?;
        if let Some(side) = self.args.only {
            let turn = match side {
                Sides::Ceiling => throughput::alone(&mut ceiling, rounds).await?,
                Sides::Lean => throughput::alone(&mut lean, rounds).await?,
                Sides::Bugle => throughput::alone(&mut lanes, rounds).await?,
            };
            let (rps, cpu) = (Some(turn.rps), Some(turn.cpu_us));
            let row = Row::new(case, rounds.count);
            return Ok(match side {
                Sides::Ceiling => Row { ceiling_rps: rps, ceiling_cpu_us: cpu, ..row },
                Sides::Lean => Row { lean_rps: rps, lean_cpu_us: cpu, ..row },
                Sides::Bugle => Row { rps, cpu_us: cpu, ..row },
            });
        }
        let found = throughput::compare(&mut ceiling, &mut lanes, &mut lean, rounds).await?;
        let latency = latency::measure(&lanes, &self.receiver, 2 * slice).await?;
        lanes.shutdown().await;
        let row = Row {
            rps: Some(found.bugle.rps),
            ceiling_rps: Some(found.ceiling.rps),
            ratio: Some(found.ratio),
            cpu_us: Some(found.bugle.cpu_us),
            ceiling_cpu_us: Some(found.ceiling.cpu_us),
            cpu_ratio: Some(found.cpu_ratio),
            lean_rps: Some(found.lean.rps),
            lean_cpu_us: Some(found.lean.cpu_us),
            lean_ratio: Some(found.lean_ratio),
            allocations: Some(found.bugle.allocations),
            allocated_bytes: Some(found.bugle.allocated_bytes),
            ceiling_allocations: Some(found.ceiling.allocations),
            ceiling_allocated_bytes: Some(found.ceiling.allocated_bytes),
            lean_allocations: Some(found.lean.allocations),
            lean_allocated_bytes: Some(found.lean.allocated_bytes),
            p50_us: Some(latency.received.p50_us),
            p99_us: Some(latency.received.p99_us),
            emit_p50_us: Some(latency.emit_p50_us),
            emit_p99_us: Some(latency.emit_p99_us),
            ..Row::new(case, rounds.count)
        };
        Ok(row.at_least("ratio", found.ratio, case.wanted()).at_most(
            "cpu_ratio",
            found.cpu_ratio,
            case.wanted_cpu(),
        ))
    }

    /// Counts instructions an event, where there is a counter.
    fn instructions(&self, case: Case, emitters: usize) -> Result<Row> {
        let disk = self.scratch()?;
        let row = Row::new(case, 1);
        let Some(counter) = Counter::find(&disk)? else {
            let note = "not counted here: neither perf stat nor valgrind can";
            return Ok(Row { note: Some(note.to_owned()), ..row });
        };
        let count = |side, signed| {
            let place = (&disk, &self.receiver.addresses);
            counter.count(place, (side, signed, emitters), self.args.quick).map(Some)
        };
        Ok(Row {
            instructions: count(Sides::Bugle, false)?,
            signed_instructions: count(Sides::Bugle, true)?,
            ceiling_instructions: count(Sides::Ceiling, false)?,
            lean_instructions: count(Sides::Lean, false)?,
            note: Some(format!("counted by {}", counter.words())),
            ..row
        })
    }

    /// Measures the delivery of a file by the command line, against the library.
    fn deliver(&self, case: Case) -> Result<Row> {
        let (disk, lines) = (self.scratch()?, self.args.lines());
        let rounds = if self.args.quick { 1 } else { self.args.rounds };
        let file = disk.store("events.ndjson");
        let found = deliver::measure(&file, lines, rounds, &self.receiver.addresses)?;
        let row = Row {
            events: Some(float(lines)),
            command_rps: Some(found.command_rps),
            library_rps: Some(found.library_rps),
            ratio: Some(found.ratio),
            ..Row::new(case, rounds)
        };
        Ok(row.at_least("ratio", found.ratio, case.wanted()))
    }

    /// Measures emitters and empty actors in turns, each time in a fresh process.
    fn attach(&self, case: Case, count: usize) -> Result<Row> {
        let rounds = if self.args.quick { 1 } else { self.args.rounds };
        let mut pairs = Vec::new();
        for _ in 0..rounds {
            let actors: Footprint = child::run("actors", &[count])?;
            let emitters: Footprint = child::run("emitters", &[count])?;
            pairs.push((actors, emitters));
        }
        let of = |value: fn(&(Footprint, Footprint)) -> f64| median(pairs.iter().map(value));
        let ratio = of(|(actors, emitters)| emitters.start_ms / actors.start_ms);
        let row = Row {
            attach_ms: of(|(_, emitters)| emitters.start_ms),
            stop_ms: of(|(_, emitters)| emitters.stop_ms),
            actors_ms: of(|(actors, _)| actors.start_ms),
            ratio,
            ..Row::new(case, rounds)
        };
        Ok(row.at_most("ratio", ratio.unwrap_or(f64::NAN), case.wanted()))
    }
}

/// The number of events that wait at an emitter while it is kept busy: enough that it never runs
/// dry, and not so many that the processor's caches are what is measured.
fn depth(emitters: usize) -> usize {
    (1024 / emitters.max(1)).clamp(4, 64)
}

fn idle(case: Case, count: usize) -> Result<Row> {
    let emitters: Footprint = child::run("emitters", &[count])?;
    let kib = emitters.bytes_each / 1024.0;
    let row = Row {
        kib_per_emitter: Some(kib),
        attach_ms: Some(emitters.start_ms),
        stop_ms: Some(emitters.stop_ms),
        ..Row::new(case, 1)
    };
    Ok(row.at_most("kib_per_emitter", kib, case.wanted()))
}

fn fanout(case: Case, count: usize) -> Result<Row> {
    let events = 21;
    let found: Fanout = child::run("fanout", &[count, events])?;
    let emit = found.emit_cold_us.max(found.emit_warm_us);
    let row = Row {
        cpu_us: Some(found.delivery_us),
        emit_cpu_us: Some(emit),
        emit_cpu_cold_us: Some(found.emit_cold_us),
        emit_cpu_warm_us: Some(found.emit_warm_us),
        delivered_cold_ms: Some(found.cold_ms),
        delivered_warm_ms: Some(found.warm_ms),
        ..Row::new(case, 21)
    };
    Ok(row.at_most("emit_cpu_us", emit, case.wanted()))
}

fn backlog(case: Case, count: usize) -> Result<Row> {
    let found: Waiting = child::run("backlog", &[count, 100, 1 << 20])?;
    let row = Row {
        resident_mib: Some(found.resident_mib),
        added_mib: Some(found.added_mib),
        ..Row::new(case, 1)
    };
    // The emitters' own memory is what `idle` is about.
    Ok(row.at_most("added_mib", found.added_mib, case.wanted()))
}
