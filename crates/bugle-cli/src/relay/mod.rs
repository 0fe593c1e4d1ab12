//! `bugle relay`: relays a database's changes, or its outbox, to webhooks.
//!
//! One relay follows each table; the runtime delivers. The relays are stopped first, then the
//! runtime.

mod args;
mod follow;
mod install;
mod summary;

use std::process::ExitCode;

use bugle::{MemoryOptions, Runtime, SqliteOptions, Store};
use bugle_postgres::{Connection, Relay};

pub(crate) use args::RelayArgs;
use args::{RelayCommand, RunArgs};
use follow::{Follower, delivered};
use summary::RelaySummary;

use crate::deliver::store::receivers;
use crate::deliver::target::Targets;
use crate::error::{CliError, NOT_DONE};
use crate::signals::Signals;
use crate::{store, ui};

/// The number of dead letters and attempts that a runtime without a store keeps.
const KEPT: usize = 1_000;

/// Runs the command.
pub(crate) async fn run(args: RelayArgs) -> Result<ExitCode, CliError> {
    match args.command {
        Some(RelayCommand::Install(args)) => install::install(&args).await,
        Some(RelayCommand::Uninstall(args)) => install::uninstall(&args).await,
        None => relay(args.run).await,
    }
}

async fn relay(args: RunArgs) -> Result<ExitCode, CliError> {
    let named = args.configs()?;
    let database = args.database.database()?;
    let mut builders = Vec::new();
    if let Some(audit) = args.source.audit()? {
        let connection = database.connect().await.map_err(CliError::database)?;
        check_audited(&args, &audit, &connection).await?;
        builders.push((audit.name().to_string(), Relay::builder(database.clone(), audit)));
    }
    if let Some(outbox) = args.outbox()? {
        builders.push((outbox.name().to_string(), Relay::builder(database.clone(), outbox)));
    }
    for (_, builder) in &builders {
        builder.check().await.map_err(CliError::database)?;
    }
    let mut signals = Signals::listen()?;
    let store = match &args.store {
        Some(directory) => store::open(directory, SqliteOptions::new())?,
        None => Store::memory_with(MemoryOptions::new().dead_letters(KEPT).attempts(KEPT)),
    };
    let targets = Targets::new(named, &receivers(&store).await?)?;
    let runtime = Runtime::builder()
        .store(store)
        .restore_emitters(false)
        .start()
        .await
        .map_err(CliError::store)?;
    targets.ensure(&runtime).await?;
    let follower = Follower::start(&runtime, args.quiet);
    for target in targets.others() {
        follower.note(format_args!(
            "{}, from an earlier run, gets what waits for it and nothing new",
            target.url
        ));
    }
    let relays = builders.into_iter().map(|(table, builder)| {
        let relay = builder.batch(args.batch).poll_interval(args.poll).start(&runtime);
        follower.follow(&table, relay.subscribe());
        (table, relay)
    });
    let relays: Vec<(String, Relay)> = relays.collect();

    let finished = async {
        match args.once {
            true => delivered(&runtime, &relays).await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        () = finished => {}
        () = signals.next() => follower.note(format_args!(
            "stopping: what is in flight may finish within {:?}; once more stops at once",
            args.grace
        )),
    }
    let stopping = async {
        for (_, relay) in &relays {
            relay.shutdown(args.grace).await;
        }
        runtime.shutdown(args.grace).await
    };
    tokio::select! {
        _ = stopping => {}
        () = signals.next() => {
            runtime.shutdown(std::time::Duration::ZERO).await;
        }
    }
    follower.finish().await;
    let summary = RelaySummary::new(&runtime, &targets.all, &relays, args.store.is_some());
    ui::outcome(args.json, &summary)?;
    Ok(ExitCode::from(if summary.is_done() { 0 } else { NOT_DONE }))
}

/// Refuses a table that nobody audits: it would be followed in vain.
async fn check_audited(
    args: &RunArgs,
    audit: &bugle_postgres::AuditTable,
    connection: &Connection,
) -> Result<(), CliError> {
    let audited = audit.audited(connection).await.map_err(CliError::database)?;
    if audited.is_empty() {
        // Somebody else's audit table, or none: the relay's own check tells them apart.
        return Ok(());
    }
    let missing = args.source.audit.iter().find(|table| {
        audited.iter().all(|other| {
            other.name() != table.name()
                || table.schema().is_some_and(|schema| other.schema() != Some(schema))
        })
    });
    match missing {
        Some(table) => Err(CliError::not_found(format!(
            "table {table} is not audited: run `bugle relay install --audit {table}` first"
        ))),
        None => Ok(()),
    }
}
