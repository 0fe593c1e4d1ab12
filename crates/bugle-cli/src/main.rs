//! The command line of Bugle: deliver events to webhooks, receive them in development, see the
//! supervision tree at work, sign and verify by hand.

mod body;
mod cli;
mod deliver;
mod demo;
mod descriptors;
mod duration;
mod error;
mod events;
mod json;
mod keygen;
mod keys;
mod listen;
mod log;
mod moment;
mod output;
mod records;
mod relay;
mod repair;
mod replay;
mod report;
mod sent;
mod server;
mod sign;
mod signals;
mod store;
mod table;
mod ui;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

/// Events are allocated on one thread and freed on another, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    descriptors::raise_limit();
    let as_json = report::is_json_wanted(std::env::args_os());
    match cli::Cli::try_parse() {
        Ok(cli) => cli.run().unwrap_or_else(|error| report::error(&error, as_json)),
        Err(error) => report::misunderstood(&error, as_json),
    }
}
