//! Where the events are kept until they are delivered: in memory, or in a directory.

use bugle::{AttemptLogPolicy, EmitterSpec, MemoryOptions, SqliteOptions, Store};

use super::args::DeliverArgs;
use crate::error::CliError;

/// The dead letters and attempts that are kept in memory: the summary needs none of them.
const KEPT: usize = 16;

/// Opens the store.
pub(super) fn open(args: &DeliverArgs) -> Result<Store, CliError> {
    let Some(directory) = &args.durable.store else {
        let options = MemoryOptions::new().dead_letters(KEPT).attempts(KEPT);
        return Ok(Store::memory_with(options));
    };
    if args.to.is_empty() && !directory.is_dir() {
        let directory = directory.display();
        return Err(CliError::usage(format!(
            "there is no store in {directory} yet: name a receiver with --to URL"
        )));
    }
    let policy = match args.durable.record_all {
        true => AttemptLogPolicy::All,
        false => AttemptLogPolicy::Failures,
    };
    let options = SqliteOptions::new().attempt_policy(policy);
    Store::open_with(directory, options).map_err(CliError::failed)
}

/// The receivers that the store knows from an earlier run.
pub(crate) async fn receivers(store: &Store) -> Result<Vec<EmitterSpec>, CliError> {
    match store.specs() {
        Some(specs) => specs.all().await.map_err(CliError::failed),
        None => Ok(Vec::new()),
    }
}
