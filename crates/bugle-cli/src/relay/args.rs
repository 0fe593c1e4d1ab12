//! The arguments of `bugle relay`.

use std::path::PathBuf;
use std::time::Duration;

use bugle::EmitterConfig;
use bugle_postgres::{AuditTable, Database, Outbox, Processed, TableName};
use clap::{Args, Subcommand};

use crate::deliver::args::{FlowArgs, NetworkArgs, RetryArgs};
use crate::deliver::target::Receivers;
use crate::duration;
use crate::error::CliError;
use crate::keys::KeyArgs;

const EXAMPLES: &str = "\
Each change of an audited table is an event: member.created, member.updated, member.deleted, with
the record, and the record before the change. Each row of an outbox is the event that it says. A row
is marked as processed when its event is safe in the store; several relays of one table take turns.

Examples:
  See what would be installed, install it, and take it away again:
    bugle relay install --postgres postgres://shop@localhost/shop --audit members,invoices --dry-run
    bugle relay install --postgres postgres://shop@localhost/shop --audit members,invoices
    bugle relay uninstall --postgres postgres://shop@localhost/shop --audit members,invoices

  Changes of two tables, to a webhook, and nothing lost when the process is killed:
    bugle relay --postgres postgres://shop@localhost/shop --audit members,invoices \\
      --to https://example.com/hooks --store ./relay-data

  A table of Keel's: give its rows numbers, by which a record's changes are in order, and follow it:
    bugle relay install --postgres postgres://shop@localhost/shop --audit-table keel_audit
    bugle relay --postgres postgres://shop@localhost/shop --audit-table keel_audit \\
      --to https://example.com/hooks --store ./relay-data

  An outbox, which a service in any language writes to in its own transactions:
    bugle relay install --postgres postgres://shop@localhost/shop --outbox
    psql shop -c \"insert into bugle_outbox (name, payload) values \
('invoice.paid', '{\\\"id\\\":1}')\"
    bugle relay --postgres postgres://shop@localhost/shop --outbox --to https://example.com/hooks \\
      --store ./relay-data

Exit codes: 0 it was stopped and everything that was taken is delivered, or kept in the store; 1
something was not; others as of every command, see bugle --help.";

/// Relays a PostgreSQL database's changes, or the events of an outbox, to webhooks.
///
/// It runs until Ctrl-C or SIGTERM, which lets what is in flight finish. When the database goes
/// away it connects again.
#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct RelayArgs {
    #[command(subcommand)]
    pub(super) command: Option<RelayCommand>,
    // With a command its requirements are lifted, so nothing in it is required of its type.
    #[command(flatten)]
    pub(super) run: RunArgs,
}

#[derive(Subcommand)]
pub(super) enum RelayCommand {
    /// Install the audit of tables, or an outbox
    #[command(after_help = EXAMPLES)]
    Install(InstallArgs),
    /// Take the triggers away again; what they wrote stays
    #[command(after_help = EXAMPLES)]
    Uninstall(UninstallArgs),
}

/// The settings of the database.
#[derive(Args)]
pub(super) struct DatabaseArgs {
    /// The database, as postgres://user:password@host/database. Give the password in the
    /// environment, in DATABASE_URL, where arguments can be seen by others
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true, required = true)]
    postgres: Option<String>,
    /// Trust the certificate authorities in this PEM file too, when the URL has sslmode=require
    #[arg(long, value_name = "FILE")]
    postgres_ca: Vec<PathBuf>,
}

/// The tables to follow.
#[derive(Args)]
pub(super) struct SourceArgs {
    /// Audited tables whose changes are events, as members,invoices or shop.members
    #[arg(
        long,
        value_name = "TABLES",
        value_delimiter = ',',
        required_unless_present_any = ["outbox", "audit_table"],
    )]
    pub(super) audit: Vec<TableName>,
    /// The table that the changes are written to [default: bugle_audit]. Without --audit, all that
    /// is in it is followed, and install only prepares it, as a table of Keel's
    #[arg(long, value_name = "TABLE")]
    audit_table: Option<TableName>,
    /// An outbox: its table, or bugle_outbox
    #[arg(long, value_name = "TABLE", num_args = 0..=1, default_missing_value = "bugle_outbox")]
    outbox: Option<TableName>,
}

/// The arguments of `bugle relay` itself.
#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    /// Where to deliver: http or https. Several times for several receivers
    #[arg(long, value_name = "URL", required = true)]
    to: Vec<String>,
    /// Keep events that were taken and not delivered in this directory, and go on from there the
    /// next time. Without it, they are lost with the process
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
    /// Stop when everything that is there has been delivered
    #[arg(long)]
    pub(super) once: bool,
    /// The number of rows that are taken at once
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(super) batch: usize,
    /// The time between two looks at the table without a notification
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub(super) poll: Duration,
    /// Keep the rows of the outbox that were taken for so long, rather than deleting them
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "outbox")]
    keep: Option<Duration>,
    /// Print one JSON object as summary
    #[arg(long)]
    pub(super) json: bool,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// The time that deliveries in flight get to finish when asked to stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub(super) grace: Duration,

    #[command(flatten)]
    keys: KeyArgs,
    /// The middle of the X-…-Event, X-…-Delivery and X-…-Signature headers' names
    #[arg(long, default_value = "Webhooks", help_heading = "Signatures")]
    identifier: String,
    #[command(flatten)]
    retries: RetryArgs,
    #[command(flatten)]
    flow: FlowArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// The arguments of `bugle relay install`.
#[derive(Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    /// Print the SQL, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print one JSON object: the statements, and what is to be known of them
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `bugle relay uninstall`.
#[derive(Args)]
pub(super) struct UninstallArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    /// Print the SQL, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print one JSON object: the statements, and what is to be known of them
    #[arg(long)]
    pub(super) json: bool,
    /// Drop the audit table, or the outbox, with all that is in it
    #[arg(long)]
    pub(super) drop_table: bool,
}

impl DatabaseArgs {
    pub(super) fn database(&self) -> Result<Database, CliError> {
        let url = self.postgres.as_deref().unwrap_or_default();
        let mut database =
            Database::new(url).map_err(|error| CliError::usage(format!("--postgres: {error}")))?;
        for path in &self.postgres_ca {
            let pem = std::fs::read_to_string(path).map_err(|error| {
                CliError::unreadable(format_args!("--postgres-ca {}", path.display()), &error)
            })?;
            database = database.root_certificate(pem);
        }
        Ok(database)
    }
}

impl SourceArgs {
    /// The audit table, when tables are audited.
    pub(super) fn audit(&self) -> Result<Option<AuditTable>, CliError> {
        let audit = match &self.audit_table {
            None if self.audit.is_empty() => return Ok(None),
            None => AuditTable::default(),
            Some(table) => AuditTable::new(table.to_string()).map_err(CliError::usage)?,
        };
        Ok(Some(audit.only(self.audit.iter().map(|table| table.name().to_owned()))))
    }

    /// The tables that are audited, as SQL reads them.
    pub(super) fn audited(&self) -> Vec<String> {
        self.audit.iter().map(ToString::to_string).collect()
    }

    pub(super) fn outbox(&self) -> Result<Option<Outbox>, CliError> {
        let outbox = self.outbox.as_ref().map(|table| Outbox::new(table.to_string()));
        outbox.transpose().map_err(CliError::usage)
    }
}

impl RunArgs {
    pub(super) fn outbox(&self) -> Result<Option<Outbox>, CliError> {
        let outbox = self.source.outbox()?;
        Ok(outbox.map(|outbox| match self.keep {
            Some(age) => outbox.processed(Processed::Keep(age)),
            None => outbox,
        }))
    }

    /// The receivers' configurations.
    pub(super) fn configs(&self) -> Result<Vec<EmitterConfig>, CliError> {
        let receivers = Receivers {
            to: &self.to,
            keys: &self.keys,
            identifier: &self.identifier,
            retries: &self.retries,
            flow: &self.flow,
            network: &self.network,
        };
        receivers.configs()
    }
}
