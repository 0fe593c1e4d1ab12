//! `bugle relay install` and `bugle relay uninstall`.

use std::process::ExitCode;

use bugle_postgres::{Connection, InstallError, Plan};
use serde::Serialize;

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
        plans.push((plan.map_err(unfit)?, format!("installed: {done}")));
    }
    if let Some(outbox) = args.source.outbox()? {
        let plan = outbox.plan_install(&connection).await;
        let done = format!("installed: the outbox {} is there", outbox.name());
        plans.push((plan.map_err(unfit)?, done));
    }
    carry_out(&connection, &plans, args.dry_run, args.json).await
}

pub(super) async fn uninstall(args: &UninstallArgs) -> Result<ExitCode, CliError> {
    let connection = args.database.database()?.connect().await.map_err(CliError::database)?;
    let done = |name: &dyn std::fmt::Display| match args.drop_table {
        true => format!("uninstalled: {name}, and the table dropped"),
        false => format!("uninstalled: {name}; the rows stay (--drop-table drops them)"),
    };
    let mut plans = Vec::new();
    if let Some(audit) = args.source.audit()? {
        let plan = audit.plan_uninstall(&connection, args.drop_table).await.map_err(unfit)?;
        plans.push((plan, done(&audit.name())));
    }
    if let Some(outbox) = args.source.outbox()? {
        let plan = outbox.plan_uninstall(&connection, args.drop_table).await.map_err(unfit)?;
        plans.push((plan, done(&outbox.name())));
    }
    carry_out(&connection, &plans, args.dry_run, args.json).await
}

/// The changes that were made, or would be, as `--json` prints them.
#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    statements: Vec<&'a str>,
    notes: Vec<&'a str>,
}

/// Carries out the plans, or shows them. Each goes with the words for when it is done.
async fn carry_out(
    connection: &Connection,
    plans: &[(Plan, String)],
    dry_run: bool,
    as_json: bool,
) -> Result<ExitCode, CliError> {
    for (plan, done) in plans {
        if !dry_run {
            if !as_json {
                plan.notes().iter().for_each(ui::note);
            }
            plan.run(connection).await.map_err(CliError::database)?;
        }
        match (as_json, dry_run) {
            (true, _) => {}
            (false, true) => ui::result(plan)?,
            (false, false) => ui::result(done)?,
        }
    }
    if as_json {
        let all = |part: fn(&Plan) -> &[String]| {
            plans.iter().flat_map(|(plan, _)| part(plan)).map(String::as_str).collect()
        };
        ui::json(&Report { dry_run, statements: all(Plan::statements), notes: all(Plan::notes) })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn unfit(error: InstallError) -> CliError {
    match error {
        InstallError::Database(error) => CliError::database(error),
        other => CliError::usage(format!("--audit: {other}")),
    }
}
