//! The cases of the store on disk, and their rows.

use std::path::PathBuf;

use anyhow::{Context, Result};
use bugle::{Durability, Runtime, SqliteOptions, Store};

use crate::accept::remove;
use crate::bare_hyper::BareHyper;
use crate::case::Case;
use crate::ceiling::Ceiling;
use crate::disk::{Scratch, bytes_in};
use crate::lanes::{Keeping, Lanes, Shape};
use crate::recovery::Recovered;
use crate::report::Row;
use crate::restore::Restored;
use crate::run::Bench;
use crate::stats::{float, median};
use crate::throughput::{Rounds, Turn, turn};
use crate::{accept, child, fill, page, recovery, restore};

impl Bench<'_> {
    /// Measures the ceiling, the memory store and the store on disk, in turns, with as many callers
    /// of `emit` as there are emitters.
    pub(crate) async fn durable(&self, case: Case, shape: Shape) -> Result<Row> {
        let to = &self.receiver.addresses;
        let (disk, rounds) = (self.scratch()?, self.rounds(shape));
        let directory = disk.store("lanes");
        let mut ceiling = Ceiling::<BareHyper>::connect(to, shape.emitters, shape.tls).await?;
        let mut memory = Lanes::attach(to, shape, Keeping::InMemory).await?;
        let keeping = Keeping::OnDisk { directory, history: 0 };
        let mut durable = Lanes::attach(to, shape, keeping).await?;
        let mut all = Vec::new();
        for round in 0..=rounds.count {
            let sync_us = disk.sync_us(rounds.slice / 4)?;
            let bare = turn(&mut ceiling, rounds).await?;
            let memory = turn(&mut memory, rounds).await?;
            let durable = turn(&mut durable, rounds).await?;
            if round > 0 {
                all.push((sync_us, bare, memory, durable));
            }
        }
        memory.shutdown().await;
        durable.shutdown().await;
        let of = |value: fn(&(f64, Turn, Turn, Turn)) -> f64| median(all.iter().map(value));
        let ratio = of(|(_, bare, _, durable)| durable.rps / bare.rps);
        let memory_ratio = of(|(_, _, memory, durable)| durable.rps / memory.rps);
        let row = Row {
            sync_us: of(|it| it.0),
            ceiling_rps: of(|it| it.1.rps),
            ceiling_cpu_us: of(|it| it.1.cpu_us),
            memory_rps: of(|it| it.2.rps),
            rps: of(|it| it.3.rps),
            cpu_us: of(|it| it.3.cpu_us),
            allocations: of(|it| it.3.allocations),
            allocated_bytes: of(|it| it.3.allocated_bytes),
            ceiling_allocations: of(|it| it.1.allocations),
            ceiling_allocated_bytes: of(|it| it.1.allocated_bytes),
            cpu_ratio: of(|(_, bare, _, durable)| durable.cpu_us / bare.cpu_us),
            ratio,
            memory_ratio,
            ..Row::new(case, rounds.count)
        };
        Ok(row.at_least("ratio", ratio.unwrap_or(f64::NAN), case.wanted()).at_least(
            "memory_ratio",
            memory_ratio.unwrap_or(f64::NAN),
            case.wanted_of_memory(),
        ))
    }

    /// Measures one caller of `emit`, and many, against the disk's syncs.
    pub(crate) async fn accept(&self, case: Case, callers: usize) -> Result<Row> {
        let (disk, slice) = (self.scratch()?, self.args.slice());
        let found = accept::measure(&disk, callers, self.args.rounds, slice).await?;
        let row = Row {
            sync_us: Some(found.sync_us),
            lone_us: Some(found.lone_us),
            lone_syncs: Some(found.lone_syncs),
            lone_rps: Some(found.lone_rps),
            accepted_rps: Some(found.rps),
            frames_rps: Some(found.frames_rps),
            frames_ratio: Some(found.frames_ratio),
            ratio: Some(found.ratio),
            cpu_us: Some(found.cpu_us),
            emit_p50_us: Some(found.p50_us),
            emit_p99_us: Some(found.p99_us),
            ..Row::new(case, self.args.rounds)
        };
        let row = row.at_most("lone_syncs", found.lone_syncs, case.wanted_of_one());
        let row = row.at_least("frames_ratio", found.frames_ratio, case.wanted_of_frames());
        Ok(row.at_least("ratio", found.ratio, case.wanted()))
    }

    /// Measures from the opening of a store in which much waits until the first delivery.
    pub(crate) async fn recovery(&self, case: Case) -> Result<Row> {
        let disk = self.scratch()?;
        let (directory, events) = (disk.store("recovery"), self.args.pending());
        recovery::prepare(&directory, events).await?;
        let bytes = bytes_in(&directory)? / float(events);
        let path = directory.to_str().context("the directory's name is not Unicode")?;
        let mut all: Vec<Recovered> = Vec::new();
        for _ in 0..3 {
            all.push(child::run_with("recover", &[path.to_owned()])?);
        }
        let of = |value: fn(&Recovered) -> f64| median(all.iter().map(value));
        let (first, peak) = (of(|it| it.first_ms), of(|it| it.peak_mib));
        let row = Row {
            events: Some(float(events)),
            open_ms: of(|it| it.open_ms),
            first_ms: first,
            resident_mib: peak,
            disk_bytes: Some(bytes),
            ..Row::new(case, 3)
        };
        Ok(row.at_most("first_ms", first.unwrap_or(f64::NAN), case.wanted()).at_most(
            "resident_mib",
            peak.unwrap_or(f64::NAN),
            case.wanted_of_memory(),
        ))
    }

    /// Measures from the opening of a store until all its emitters run again.
    pub(crate) async fn restore(&self, case: Case, emitters: usize) -> Result<Row> {
        let directory = self.scratch()?;
        let store = directory.store("restore");
        restore::prepare(&store, emitters).await?;
        let path = store.to_str().context("the directory's name is not Unicode")?;
        let mut all: Vec<Restored> = Vec::new();
        for _ in 0..3 {
            all.push(child::run_with("restore", &[path.to_owned(), emitters.to_string()])?);
        }
        let of = |value: fn(&Restored) -> f64| median(all.iter().map(value));
        let (open_ms, restored_ms) = (of(|it| it.open_ms), of(|it| it.restored_ms));
        Ok(Row { open_ms, restored_ms, ..Row::new(case, 3) })
    }

    /// Measures a store with a long history against an empty one, in turns.
    pub(crate) async fn history(&self, case: Case, shape: Shape) -> Result<Row> {
        let to = &self.receiver.addresses;
        let (disk, rounds, events) = (self.scratch()?, self.rounds(shape), self.args.history());
        let directory = disk.store("history");
        write_history(directory.clone(), events).await?;
        let bytes = bytes_in(&directory)? / float(events);
        let fresh = Keeping::OnDisk { directory: disk.store("empty"), history: events };
        let mut empty = Lanes::attach(to, shape, fresh).await?;
        let mut full =
            Lanes::attach(to, shape, Keeping::OnDisk { directory, history: events }).await?;
        let mut all = Vec::new();
        for round in 0..=rounds.count {
            let pair = (turn(&mut empty, rounds).await?, turn(&mut full, rounds).await?);
            if round > 0 {
                all.push(pair);
            }
        }
        empty.shutdown().await;
        full.shutdown().await;
        let of = |value: fn(&(Turn, Turn)) -> f64| median(all.iter().map(value));
        let ratio = of(|(empty, full)| full.rps / empty.rps);
        let row = Row {
            events: Some(float(events)),
            empty_rps: of(|it| it.0.rps),
            history_rps: of(|it| it.1.rps),
            cpu_us: of(|it| it.1.cpu_us),
            ratio,
            disk_bytes: Some(bytes),
            ..Row::new(case, rounds.count)
        };
        Ok(row.at_least("ratio", ratio.unwrap_or(f64::NAN), case.wanted()))
    }

    /// Measures a page of one emitter's attempts in a log of few, and in a log of many.
    pub(crate) async fn page(&self, case: Case) -> Result<Row> {
        let (disk, attempts) = (self.scratch()?, self.args.attempts());
        let found = page::measure(&disk.store("few"), &disk.store("many"), attempts).await?;
        let ratio = found.many_us / found.few_us;
        let row = Row {
            attempts: Some(float(attempts)),
            page_few_us: Some(found.few_us),
            page_us: Some(found.many_us),
            page_anywhere_us: Some(found.anywhere_us),
            ratio: Some(ratio),
            ..Row::new(case, 1)
        };
        Ok(row.at_most("ratio", ratio, case.wanted()))
    }

    pub(crate) fn scratch(&self) -> Result<Scratch> {
        Scratch::make(&self.args.directory)
    }

    fn rounds(&self, shape: Shape) -> Rounds {
        let slice = self.args.slice();
        Rounds { count: self.args.rounds, slice, warm_up: slice / 10, lanes: shape.emitters as u64 }
    }
}

/// Makes a store with so many events that nobody waits for.
async fn write_history(directory: PathBuf, events: u64) -> Result<()> {
    remove(&directory);
    let options = SqliteOptions::new().durability(Durability::Os).settled_events(events);
    let runtime = Runtime::builder().store(Store::open_with(directory, options)?).start().await?;
    fill::fill(&runtime, events).await?;
    runtime.shutdown(std::time::Duration::ZERO).await;
    Ok(())
}
