//! Installing the audit: the table, its trigger function, and the triggers of the audited tables.

use tokio_postgres::Client;

use super::AuditTable;
use crate::error::DatabaseError;
use crate::install::{
    Found, InstallError, NEW_ID, Plan, dollar_quoted, drop_notify_statements, find, future_name,
    notify_statements,
};
use crate::table::{TableName, identifier, literal};

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

/// What a statement does, and the transition table that has its rows.
const OPERATIONS: [(&str, &str); 3] = [
    ("insert", "new table as new_rows"),
    ("update", "new table as new_rows"),
    ("delete", "old table as old_rows"),
];

impl AuditTable {
    /// What [`AuditTable::install`] would run, and nothing of it done.
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
        let mut audited = Vec::new();
        for table in tables {
            audited.push(auditable(client, &TableName::new(table)?).await?.name);
        }
        if audited.is_empty() {
            return Err(InstallError::NoTables);
        }
        let mut known = self.audited(client).await?;
        for table in &audited {
            let namesake =
                known.iter().find(|other| other.name() == table.name() && *other != table);
            if let Some(other) = namesake {
                return Err(InstallError::SameName(table.clone(), other.clone()));
            }
            known.push(table.clone());
        }
        let has_position = match &audit {
            Some(found) => {
                if let Some(column) = COLUMNS.iter().find(|column| !found.has(column)) {
                    let (table, column) = (name, (*column).to_owned());
                    return Err(InstallError::NoColumn { table, column });
                }
                found.has("position")
            }
            None => true,
        };
        let mut statements = table_statements(&name, has_position);
        if self.notify {
            statements.extend(notify_statements(&name));
        }
        statements.push(record_function(&name));
        statements.extend(audited.iter().flat_map(|table| triggers(&name, table)));
        Ok(Plan::new(statements))
    }

    /// Makes the audit table, its trigger function, and triggers on these tables: from now on every
    /// `insert`, `update` and `delete` on them writes audit rows, in its own transaction. What is
    /// there already stays; an audit table that has Keel's columns is used as it is. All in one
    /// transaction. PostgreSQL 14 or newer is needed.
    ///
    /// # Errors
    /// [`InstallError`]: a table does not exist or has no column `id`, or the database refuses.
    /// Nothing was changed then.
    pub async fn install<I>(&self, client: &Client, tables: I) -> Result<(), InstallError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(self.plan_install(client, tables).await?.run(client).await?)
    }

    /// What [`AuditTable::uninstall`] would run, and nothing of it done.
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
        const AUDITED: &str = "
            select distinct t.tgrelid::oid from pg_trigger t
            where t.tgfoid = to_regproc($1) and not t.tgisinternal order by 1";
        let Some(Found { name, .. }) = find(client, &self.table).await? else {
            return Ok(Vec::new());
        };
        let function = name.beside("_record").quoted();
        let mut tables = Vec::new();
        for row in client.query(AUDITED, &[&function]).await? {
            let oid: u32 = row.get(0);
            const NAME: &str = "select quote_ident(n.nspname) || '.' || quote_ident(c.relname)
                from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $1";
            let name: String = client.query_one(NAME, &[&oid]).await?.get(0);
            let name =
                TableName::new(name).map_err(|error| DatabaseError::new(error.to_string()))?;
            tables.push(name);
        }
        Ok(tables)
    }
}

/// A table whose changes can be events.
async fn auditable(client: &Client, table: &TableName) -> Result<Found, InstallError> {
    let found = find(client, table).await?;
    let found = found.ok_or_else(|| InstallError::NoSuchTable(table.clone()))?;
    if !found.is_table {
        return Err(InstallError::NotATable(found.name));
    }
    if !found.has("id") {
        return Err(InstallError::NoId(found.name));
    }
    Ok(found)
}

fn table_statements(audit: &TableName, has_position: bool) -> Vec<String> {
    let table = audit.quoted();
    let index = |suffix: &str| identifier(audit.beside(suffix).name());
    let order = if has_position { "position" } else { "created_at" };
    vec![
        format!(
            "create table if not exists {table} (
  id text primary key default {NEW_ID},
  table_name text not null,
  op text not null,
  data jsonb not null,
  identity_id text,
  trace_id text,
  created_at timestamptz not null default clock_timestamp(),
  event_processed_at timestamptz,
  position bigint not null generated always as identity
)"
        ),
        // What a relay looks for.
        format!(
            "create index if not exists {} on {table} ({order}) where event_processed_at is null",
            index("_pending")
        ),
        // What one request did, for `send_events`. Rows without a trace cost nothing here.
        format!(
            "create index if not exists {} on {table} (trace_id) where event_processed_at is null and trace_id is not null",
            index("_trace")
        ),
        // The record's previous state.
        format!(
            "create index if not exists {} on {table} (table_name, (data ->> 'id'), {order})",
            index("_record")
        ),
    ]
}

fn record_function(audit: &TableName) -> String {
    let branch = |rows: &str| {
        format!(
            "    insert into {} (id, table_name, op, data, identity_id, trace_id, created_at)
    select {NEW_ID}, tg_table_name, lower(tg_op), to_jsonb(changed.*),
      nullif(current_setting('audit.identity_id', true), ''),
      nullif(current_setting('audit.trace_id', true), ''),
      clock_timestamp()
    from {rows} changed;",
            audit.quoted()
        )
    };
    let body = format!(
        "begin\n  if tg_op = 'DELETE' then\n{}\n  else\n{}\n  end if;\n  return null;\nend",
        branch("old_rows"),
        branch("new_rows")
    );
    // With its owner's rights: who may change an audited table need not be able to write, or
    // forge, the audit. Names in it are full ones, so that nobody's search_path matters.
    format!(
        "create or replace function {}() returns trigger language plpgsql\nsecurity definer set search_path = pg_catalog, pg_temp as {}",
        audit.beside("_record").quoted(),
        dollar_quoted(&body)
    )
}

fn triggers(audit: &TableName, table: &TableName) -> Vec<String> {
    let trigger = |(op, transition): &(&str, &str)| {
        format!(
            "create or replace trigger {} after {op} on {}\nreferencing {transition} for each statement execute function {}()",
            identifier(audit.beside(&format!("_{op}")).name()),
            table.quoted(),
            audit.beside("_record").quoted(),
        )
    };
    OPERATIONS.iter().map(trigger).collect()
}

/// The condition that an audit row is of one of these tables.
pub(crate) fn of_tables(tables: &[String]) -> String {
    let names: Vec<String> = tables.iter().map(|name| literal(name)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" and table_name in ({})", names.join(", ")),
    }
}
