//! Installing the audit: the table, its trigger function, and the triggers of the audited tables.

use tokio_postgres::Client;

use super::AuditTable;
use super::audited::{auditable, written_by_others};
use super::shape::Shape;
use super::trigger::{OPERATIONS, functions, triggers};
use crate::error::DatabaseError;
use crate::install::{
    Found, InstallError, NEW_ID, Plan, drop_notify_statements, find, future_name,
    notify_statements, publication_note,
};
use crate::table::{TableName, identifier};

/// The columns that are read of every audit table.
pub(crate) const COLUMNS: [&str; 8] = [
    "id",
    "table_name",
    "op",
    "data",
    "identity_id",
    "trace_id",
    "created_at",
    "event_processed_at",
];

impl AuditTable {
    /// Plans what [`AuditTable::install`] does, and does nothing of it.
    ///
    /// # Errors
    /// As [`AuditTable::install`].
    pub async fn plan_install<I>(&self, client: &Client, tables: I) -> Result<Plan, InstallError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let audit = find(client, &self.table).await?;
        let name = match &audit {
            Some(found) => found.name.clone(),
            None => future_name(client, &self.table).await?,
        };
        let (mut audited, mut notes) = (Vec::new(), Vec::new());
        for table in tables {
            let table = auditable(client, &name, &TableName::new(table)?, &mut notes).await?;
            audited.push(table);
        }
        if audited.is_empty() && audit.is_none() {
            return Err(InstallError::NoTables);
        }
        let mut known = self.audited(client).await?;
        for table in &audited {
            let namesake = known
                .iter()
                .find(|other| other.name() == table.name.name() && **other != table.name);
            if let Some(other) = namesake {
                return Err(InstallError::SameName(table.name.clone(), other.clone()));
            }
            known.push(table.name.clone());
        }
        let mut statements = match &audit {
            Some(found) => statements_of_found(found, &mut notes)?,
            None => vec![create(&name)],
        };
        if !statements.is_empty() {
            notes.extend(publication_note(client, &name).await?);
        }
        statements.extend(indexes(&name));
        if self.notify {
            statements.extend(notify_statements(&name));
        }
        let mut ours = Vec::new();
        for table in audited {
            match written_by_others(client, &name, table.oid).await? {
                Some(trigger) => notes.push(format!(
                    "the changes of {} are written to {name} by the trigger {trigger} already: no \
                     triggers are added, which would write them twice",
                    table.name
                )),
                None => ours.push(table.name),
            }
        }
        if !ours.is_empty() {
            statements.extend(functions(&name));
        }
        statements.extend(ours.iter().flat_map(|table| triggers(&name, table)));
        Ok(Plan::new(statements).with_notes(notes))
    }

    /// Makes the audit table, its trigger function, and triggers on these tables: from now on every
    /// `insert`, `update`, `delete` and `truncate` on them writes audit rows, in its own
    /// transaction. Tables and triggers that are there already stay. All is done in one
    /// transaction. PostgreSQL 14 or newer is needed.
    ///
    /// An audit table that has Keel's columns is used, and gains `position`, which numbers its rows
    /// as they are written, `traceparent` and `error`. Only `position` tells in which order the
    /// changes of a record were made, as Keel's `created_at` is the time at which a transaction
    /// began. The table is locked and rewritten for it, once. Tables that another trigger audits
    /// into it get none of these; without any table to audit, such a table is prepared alone.
    ///
    /// # Errors
    /// [`InstallError`]: a table does not exist or can't be audited, or the database refuses.
    /// Nothing was changed then.
    pub async fn install<I>(&self, client: &Client, tables: I) -> Result<(), InstallError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(self.plan_install(client, tables).await?.run(client).await?)
    }

    /// Plans what [`AuditTable::uninstall`] does, and does nothing of it.
    ///
    /// # Errors
    /// [`InstallError`] when the database refuses to look.
    pub async fn plan_uninstall(
        &self,
        client: &Client,
        drop_table: bool,
    ) -> Result<Plan, InstallError> {
        let Some(Found { name, .. }) = find(client, &self.table).await? else {
            return Ok(Plan::new(Vec::new()));
        };
        let mut statements = Vec::new();
        for table in self.audited(client).await? {
            statements.extend(OPERATIONS.iter().map(|(op, _)| {
                let trigger = identifier(name.beside(&format!("_{op}")).name());
                format!("drop trigger if exists {trigger} on {}", table.quoted())
            }));
        }
        statements.push(format!("drop function if exists {}()", name.beside("_record").quoted()));
        let value = name.beside("_value").quoted();
        statements.push(format!("drop function if exists {value}(anyelement)"));
        statements.extend(drop_notify_statements(&name));
        if drop_table {
            statements.push(format!("drop table {}", name.quoted()));
        }
        Ok(Plan::new(statements))
    }

    /// Takes away all triggers of this audit table and their functions; the audit rows stay, unless
    /// the table is to be dropped too. Without anything installed it does nothing.
    ///
    /// # Errors
    /// [`InstallError`] when the database refuses; nothing was changed then.
    pub async fn uninstall(&self, client: &Client, drop_table: bool) -> Result<(), InstallError> {
        Ok(self.plan_uninstall(client, drop_table).await?.run(client).await?)
    }

    /// The tables that have this audit table's triggers.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database refuses to look.
    pub async fn audited(&self, client: &Client) -> Result<Vec<TableName>, DatabaseError> {
        let Some(Found { name, .. }) = find(client, &self.table).await? else {
            return Ok(Vec::new());
        };
        let audited = super::audited::audited(client, &name).await?;
        Ok(audited.into_iter().map(|table| table.name).collect())
    }
}

fn create(audit: &TableName) -> String {
    format!(
        "create table if not exists {} (
  id text primary key default {NEW_ID},
  table_name text not null,
  op text not null,
  data jsonb not null,
  identity_id text,
  trace_id text,
  created_at timestamptz not null default clock_timestamp(),
  event_processed_at timestamptz,
  position bigint not null generated always as identity,
  traceparent text,
  error text
)",
        audit.quoted()
    )
}

/// Statements that add to a table that is there already.
fn statements_of_found(
    found: &Found,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, InstallError> {
    let name = &found.name;
    if let Some(column) = COLUMNS.iter().find(|column| !found.has(column)) {
        let (table, column) = (name.clone(), (*column).to_owned());
        return Err(InstallError::NoColumn { table, column });
    }
    let table = name.quoted();
    let mut statements = Vec::new();
    let missing: Vec<&str> =
        ["traceparent", "error"].into_iter().filter(|column| !found.has(column)).collect();
    if !missing.is_empty() {
        let add: Vec<String> = missing
            .iter()
            .map(|column| format!("add column if not exists {column} text"))
            .collect();
        statements.push(format!("alter table {table} {}", add.join(", ")));
    }
    if !found.is_numbered {
        if found.has("position") {
            return Err(InstallError::Position(name.clone()));
        }
        notes.push(format!(
            "{name} gains the column position, which numbers its rows as they are written: for the \
             order of a record's changes. It is locked and rewritten for it; the rows that are \
             there already are numbered by their transactions, which is a guess where those \
             overlapped"
        ));
        statements.extend(number(&table, Shape::of(found)));
    }
    Ok(statements)
}

/// Statements that number the rows of a table, those that are there and those that come. The first
/// waits for all who write to the table, and keeps others from it until the end: so each row that
/// is there is older than each that comes.
fn number(table: &str, shape: Shape) -> Vec<String> {
    let keys = shape.keys("t").join(", ");
    let quoted = crate::table::literal(table);
    vec![
        format!("alter table {table} add column position bigint"),
        // Marked rows were events before the others.
        format!(
            "update {table} t set position = numbered.position from (
  select t.tableoid as part, t.ctid as place, row_number() over (order by
    t.event_processed_at is null,
    case when t.event_processed_at is not null then t.created_at end, {keys}) as position
  from {table} t) numbered
where t.tableoid = numbered.part and t.ctid = numbered.place"
        ),
        format!("alter table {table} alter column position set not null"),
        format!("alter table {table} alter column position add generated by default as identity"),
        format!(
            "select setval(pg_get_serial_sequence({quoted}, 'position'),
  (select coalesce(max(position), 0) + 1 from {table}), false)"
        ),
    ]
}

fn indexes(audit: &TableName) -> Vec<String> {
    let table = audit.quoted();
    let index = |suffix: &str| identifier(audit.beside(suffix).name());
    vec![
        // The rows that a relay looks for.
        format!(
            "create index if not exists {} on {table} (position) where event_processed_at is null",
            index("_pending")
        ),
        // The changes of one request, for `send_events`. Rows without a trace cost nothing here.
        format!(
            "create index if not exists {} on {table} (trace_id) \
             where event_processed_at is null and trace_id is not null",
            index("_trace")
        ),
        // The record's previous state.
        format!(
            "create index if not exists {} on {table} (table_name, (data ->> 'id'), position)",
            index("_record")
        ),
    ]
}
