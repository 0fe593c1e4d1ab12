//! `bugle relay install` and `bugle relay uninstall`.

use std::process::ExitCode;

use bugle_postgres::{Connection, InstallError, Plan};

use super::args::{InstallArgs, UninstallArgs};
use crate::error::CliError;
use crate::ui;

pub(super) async fn install(args: &InstallArgs) -> Result<ExitCode, CliError> {
    let connection = args.database.database()?.connect().await.map_err(CliError::database)?;
    let mut plans = Vec::new();
    if let Some(audit) = args.source.audit()? {
        let plan = audit.plan_install(&connection, args.source.audited()).await;
        let done = match args.source.audited().join(", ") {
            none if none.is_empty() => format!("{} is ready to be followed", audit.name()),
            tables => format!("{} audits {tables}", audit.name()),
        };
        plans.push((plan.map_err(unfit)?, done));
    }
    if let Some(outbox) = args.source.outbox()? {
        let plan = outbox.plan_install(&connection).await;
        plans.push((plan.map_err(unfit)?, format!("the outbox {} is there", outbox.name())));
    }
    for (plan, done) in plans {
        carry_out(&connection, &plan, args.dry_run).await?;
        if !args.dry_run {
            ui::result(format_args!("installed: {done}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn uninstall(args: &UninstallArgs) -> Result<ExitCode, CliError> {
    let connection = args.database.database()?.connect().await.map_err(CliError::database)?;
    if let Some(audit) = args.source.audit()? {
        let plan = audit.plan_uninstall(&connection, args.drop_table).await.map_err(unfit)?;
        carry_out(&connection, &plan, args.dry_run).await?;
    }
    if let Some(outbox) = args.source.outbox()? {
        let plan = outbox.plan_uninstall(&connection, args.drop_table).await.map_err(unfit)?;
        carry_out(&connection, &plan, args.dry_run).await?;
    }
    if !args.dry_run {
        ui::result(match args.drop_table {
            true => "uninstalled, and the table dropped",
            false => "uninstalled; the rows stay (--drop-table drops them)",
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(connection: &Connection, plan: &Plan, dry_run: bool) -> Result<(), CliError> {
    match dry_run {
        true => ui::result(plan),
        false => {
            for note in plan.notes() {
                ui::note(note);
            }
            plan.run(connection).await.map_err(CliError::database)
        }
    }
}

fn unfit(error: InstallError) -> CliError {
    match error {
        InstallError::Database(error) => CliError::database(error),
        other => CliError::usage(format!("--audit: {other}")),
    }
}
