//! Installing the outbox.

use tokio_postgres::Client;

use super::Outbox;
use crate::install::{
    InstallError, NEW_ID, Plan, drop_notify_statements, find, future_name, notify_statements,
    publication_note,
};
use crate::table::identifier;

/// The columns that are read and written.
pub(crate) const COLUMNS: [&str; 10] = [
    "position",
    "id",
    "name",
    "payload",
    "key",
    "traceparent",
    "tracestate",
    "created_at",
    "processed_at",
    "error",
];

impl Outbox {
    /// Plans what [`Outbox::install`] does, and does nothing of it.
    ///
    /// # Errors
    /// As [`Outbox::install`].
    pub async fn plan_install(&self, client: &Client) -> Result<Plan, InstallError> {
        let found = find(client, &self.table).await?;
        let is_new = found.is_none();
        let name = match found {
            Some(found) => {
                if let Some(column) = COLUMNS.iter().find(|column| !found.has(column)) {
                    let column = (*column).to_owned();
                    return Err(InstallError::NoColumn { table: found.name, column });
                }
                found.name
            }
            None => future_name(client, &self.table).await?,
        };
        let table = name.quoted();
        let mut statements = vec![
            format!(
                "create table if not exists {table} (
  position bigint primary key generated always as identity,
  id text not null default {NEW_ID},
  name text not null,
  payload json not null,
  key text,
  traceparent text,
  tracestate text,
  created_at timestamptz not null default clock_timestamp(),
  processed_at timestamptz,
  error text
)"
            ),
            // The rows that a relay looks for.
            format!(
                "create index if not exists {} on {table} (position) \
                 where processed_at is null and error is null",
                identifier(name.beside("_pending").name())
            ),
        ];
        if self.notify {
            statements.extend(notify_statements(&name));
        }
        let notes = match is_new {
            true => publication_note(client, &name).await?,
            false => None,
        };
        Ok(Plan::new(statements).with_notes(notes.into_iter().collect()))
    }

    /// Makes the table, its index, and the trigger that notifies a relay. A table or trigger that
    /// is there already stays. PostgreSQL 14 or newer is needed.
    ///
    /// # Errors
    /// [`InstallError`]: a table of this name has other columns, or the database refuses. Nothing
    /// was changed then.
    pub async fn install(&self, client: &Client) -> Result<(), InstallError> {
        Ok(self.plan_install(client).await?.run(client).await?)
    }

    /// Plans what [`Outbox::uninstall`] does, and does nothing of it.
    ///
    /// # Errors
    /// [`InstallError`] when the database refuses to look.
    pub async fn plan_uninstall(
        &self,
        client: &Client,
        drop_table: bool,
    ) -> Result<Plan, InstallError> {
        let Some(found) = find(client, &self.table).await? else {
            return Ok(Plan::new(Vec::new()));
        };
        let mut statements = drop_notify_statements(&found.name);
        if drop_table {
            statements.push(format!("drop table {}", found.name.quoted()));
        }
        Ok(Plan::new(statements))
    }

    /// Takes the trigger and its function away, and the table, with all events in it, if it is to
    /// be dropped too.
    ///
    /// # Errors
    /// [`InstallError`] when the database refuses; nothing was changed then.
    pub async fn uninstall(&self, client: &Client, drop_table: bool) -> Result<(), InstallError> {
        Ok(self.plan_uninstall(client, drop_table).await?.run(client).await?)
    }
}
