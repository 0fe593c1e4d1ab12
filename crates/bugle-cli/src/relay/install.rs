//! `bugle relay install` and `bugle relay uninstall`.

use std::process::ExitCode;

use bugle_postgres::{Connection, InstallError, Plan};

use super::args::{InstallArgs, UninstallArgs};
use crate::error::CliError;
use crate::ui;

pub(super) async fn install(args: &InstallArgs) -> Result<ExitCode, CliError> {
    let connection = args.database.database()?.connect().await.map_err(CliError::failed)?;
    let mut plans = Vec::new();
    if let Some(audit) = args.source.audit()? {
        let plan = audit.plan_install(&connection, args.source.audited()).await;
        plans.push((plan.map_err(unfit)?, format!("{} audits", audit.name())));
    }
    if let Some(outbox) = args.source.outbox()? {
        let plan = outbox.plan_install(&connection).await;
        plans.push((plan.map_err(unfit)?, format!("the outbox {} is there", outbox.name())));
    }
    let audited = args.source.audited().join(", ");
    for (plan, done) in plans {
        carry_out(&connection, &plan, args.dry_run).await?;
        if !args.dry_run {
            let what = if done.ends_with("audits") { format!("{done} {audited}") } else { done };
            ui::result(format_args!("installed: {what}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn uninstall(args: &UninstallArgs) -> Result<ExitCode, CliError> {
    let connection = args.database.database()?.connect().await.map_err(CliError::failed)?;
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
        false => plan.run(connection).await.map_err(CliError::failed),
    }
}

fn unfit(error: InstallError) -> CliError {
    match error {
        InstallError::Database(error) => CliError::failed(error),
        other => CliError::usage(format!("--audit: {other}")),
    }
}
