//! The store of the events until they are delivered: in memory, or in a directory.

use bugle::{AttemptLogPolicy, EmitterSpec, MemoryOptions, SqliteOptions, Store};

use super::args::DeliverArgs;
use crate::error::CliError;
use crate::store;

/// The number of dead letters and attempts that are kept in memory: the summary needs none.
const KEPT: usize = 16;

/// Opens the store.
pub(super) fn open(args: &DeliverArgs) -> Result<Store, CliError> {
    let Some(directory) = &args.durable.store else {
        let options = MemoryOptions::new().dead_letters(KEPT).attempts(KEPT);
        return Ok(Store::memory_with(options));
    };
    let policy = match args.durable.record_all {
        true => AttemptLogPolicy::All,
        false => AttemptLogPolicy::Failures,
    };
    let options = SqliteOptions::new().attempt_policy(policy);
    match args.to.is_empty() {
        true => store::open_existing(directory, options),
        false => store::open(directory, options),
    }
}

/// The receivers that the store knows from an earlier run.
pub(crate) async fn receivers(store: &Store) -> Result<Vec<EmitterSpec>, CliError> {
    match store.specs() {
        Some(specs) => specs.all().await.map_err(CliError::store),
        None => Ok(Vec::new()),
    }
}
