//! The benchmark of Bugle, which measures it and its ceiling in one run.
//!
//! The ceiling is bare hyper: one kept-alive connection for each lane, and nothing around it; a
//! second one is the bare lean loop, the least that an exchange can be. All send to a receiver in a
//! process of its own, in turns, so that whatever else the machine does meets all. Trust the
//! ratios; the absolute numbers are the machine's.
//!
//! Read it in this order: [`case`] (the cases), [`throughput`] (the turns), [`ceiling`] with
//! [`bare_hyper`] and [`bare_lean`], and [`lanes`] (the sides), [`allocations`], [`instructions`],
//! [`latency`], [`deliver`], [`against`], then [`footprint`], [`fanout`] and [`backlog`], which run
//! in fresh processes because they measure memory; [`durable`] has the cases of the store on disk,
//! which are [`accept`], [`recovery`], [`restore`], [`page`], and turns again; [`report`] and
//! [`plot`] show the results.

mod accept;
mod against;
mod allocations;
mod args;
mod backlog;
mod bare_hyper;
mod bare_lean;
mod case;
mod ceiling;
mod child;
mod deliver;
mod disk;
mod durable;
mod fanout;
mod fill;
mod footprint;
mod frames;
mod instructions;
mod lanes;
mod latency;
mod page;
mod payload;
mod plot;
mod receiver;
mod recovery;
mod report;
mod restore;
mod run;
mod server;
mod stats;
mod throughput;

use anyhow::Result;
use clap::Parser;

use crate::args::{Args, Part};

// As the README advises services: the libraries set no allocator, binaries may. What is asked of it
// is counted.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<mimalloc::MiMalloc> =
    alloc_tracker::Allocator::new(mimalloc::MiMalloc);

fn main() -> Result<()> {
    let args = Args::parse();
    stats::raise_open_files();
    match args.part {
        None => match &args.against {
            Some(commit) => against::run(&args, commit),
            None => run::all(&args),
        },
        Some(Part::Receiver) => server::run(),
        Some(Part::Emitters { emitters }) => child::answer(footprint::emitters(emitters)?),
        Some(Part::Actors { actors }) => child::answer(footprint::actors(actors)?),
        Some(Part::Fanout { emitters, events }) => child::answer(fanout::part(emitters, events)?),
        Some(Part::Backlog { emitters, events, bytes }) => {
            child::answer(backlog::part(emitters, events, bytes)?)
        }
        Some(Part::Recover { directory }) => child::answer(recovery::part(directory)?),
        Some(Part::Restore { directory, emitters }) => {
            child::answer(restore::part(directory, emitters)?)
        }
        Some(Part::Count { side, signed, emitters, events, to }) => {
            child::answer(instructions::part((side, signed), emitters, events, &to)?)
        }
        Some(Part::Library { events, to }) => child::answer(deliver::library(events, &to)?),
    }
}
