//! Changing a database's schema: as a plan that can be read before it is run.

use std::fmt;

use tokio_postgres::{Client, GenericClient};

use crate::error::DatabaseError;
use crate::table::{TableName, TableNameError, identifier};

/// Installers wait for one another: PostgreSQL's `if not exists` does not.
const INSTALL_LOCK: &str = "select pg_advisory_xact_lock(7308332045834264435)";

/// The most bytes that are added to a table's name, for the names of what belongs to it.
const LONGEST_SUFFIX: usize = 11;

/// The SQL that installs or uninstalls something, checked against the database that it is for. Its
/// `Display` is a script for `psql`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a plan changes nothing until it is run"]
pub struct Plan {
    statements: Vec<String>,
    notes: Vec<String>,
}

impl Plan {
    pub(crate) fn new(statements: Vec<String>) -> Self {
        Self { statements, notes: Vec::new() }
    }

    pub(crate) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// The notes for the person who runs it: they say what becomes of a table that is there
    /// already, and which changes of the audited tables go unseen. They are comments where the plan
    /// is shown.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The statements, in their order.
    pub fn statements(&self) -> &[String] {
        &self.statements
    }

    /// Runs all statements in one transaction. Run again, they change nothing more.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database refuses; nothing was changed then.
    pub async fn run(&self, client: &Client) -> Result<(), DatabaseError> {
        for note in &self.notes {
            tracing::warn!("{note}");
        }
        let mut script = format!("begin;\n{INSTALL_LOCK};\n");
        for statement in &self.statements {
            script.push_str(statement);
            script.push_str(";\n");
        }
        script.push_str("commit;");
        if let Err(error) = client.batch_execute(&script).await {
            let failed = DatabaseError::from(error);
            // Nothing to roll back when the connection is what failed.
            let _ = client.batch_execute("rollback").await;
            return Err(failed);
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "-- {}", note.replace('\n', " "))?;
        }
        writeln!(f, "begin;\n")?;
        for statement in &self.statements {
            writeln!(f, "{statement};\n")?;
        }
        f.write_str("commit;")
    }
}

/// The reason why something can't be installed. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// A text is not a table's name.
    #[error(transparent)]
    Name(#[from] TableNameError),
    /// There is no such table.
    #[error("there is no table {0}: create it first, or check its name and schema")]
    NoSuchTable(TableName),
    /// It is a view, a foreign table, or has no rows of its own to audit for another reason.
    #[error("{0} is not a table: only tables are audited")]
    NotATable(TableName),
    /// The table has no column `id`, and change events are about records with an id.
    #[error(
        "table {0} has no column \"id\", which names the record that changed: \
         add one, or leave the table out"
    )]
    NoId(TableName),
    /// Two audited tables of the same name could not be told apart.
    #[error(
        "{0} and {1} have the same name, and an audit row has no schema: \
         audit one of them into another audit table"
    )]
    SameName(TableName, TableName),
    /// An audit table can't audit itself.
    #[error("{0} is the audit table: its own changes would have no end")]
    Itself(TableName),
    /// The table is a partition: its changes are made through another table.
    #[error("{0} is a partition of {1}, and {1} is what statements name: audit that one")]
    IsPartition(TableName, TableName),
    /// PostgreSQL can't tell a trigger which rows of it a statement changed.
    #[error("a partition of {0} is a foreign table, whose changes no trigger sees: leave it out")]
    HasForeignPartition(TableName),
    /// The table's name can't be part of an event's name.
    #[error("the changes of table {table} can't be events: {reason}")]
    NoEventName {
        /// The table.
        table: TableName,
        /// The rule that its name breaks.
        reason: String,
    },
    /// Two columns have the same name in an event, where one of them would be lost.
    #[error(
        "the columns {one:?} and {other:?} of table {table} are both {name:?} in an event: rename \
         one of them, or leave the table out"
    )]
    Alike {
        /// The table.
        table: TableName,
        /// A column.
        one: String,
        /// Another one.
        other: String,
        /// The name that both have in an event.
        name: String,
    },
    /// The table's column `position` does something else than to number its rows.
    #[error(
        "the column \"position\" of table {0} does not number its rows one by one: it has to be a \
         bigint, not null, with an identity or a sequence that caches nothing; rename it, and \
         install adds one"
    )]
    Position(TableName),
    /// The table is there already, and has not all columns that are needed.
    #[error("table {table} has no column {column:?}: choose another name, or add the column")]
    NoColumn {
        /// The table.
        table: TableName,
        /// The column that it lacks.
        column: String,
    },
    /// No table to audit was named.
    #[error("no table was named: name those whose changes are to be events")]
    NoTables,
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<tokio_postgres::Error> for InstallError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A table as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) name: TableName,
    pub(crate) oid: u32,
    pub(crate) is_table: bool,
    pub(crate) columns: Vec<String>,
    /// True when its column `position` gives each row the next number as it is written.
    pub(crate) is_numbered: bool,
    /// True when its column `created_at` takes the clock's time, not the transaction's.
    pub(crate) is_clocked: bool,
    /// True when the database checks no encoding, so that a text may be any bytes.
    pub(crate) is_raw: bool,
    /// The name of the database that the table is in.
    pub(crate) database: String,
}

impl Found {
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|own| own == column)
    }
}

/// Looks a table up; `None` when there is none.
pub(crate) async fn find<C: GenericClient>(
    client: &C,
    table: &TableName,
) -> Result<Option<Found>, DatabaseError> {
    const FIND: &str = "
        select n.nspname::text, c.relname::text, c.oid, c.relkind in ('r', 'p'),
               array(select attname::text from pg_attribute
                     where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum),
               exists (select from pg_attribute a
                       join pg_depend d on d.classid = 'pg_class'::regclass
                         and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
                         and d.refobjsubid = a.attnum and d.deptype in ('a', 'i')
                       join pg_sequence s on s.seqrelid = d.objid
                       where a.attrelid = c.oid and a.attname = 'position' and a.attnotnull
                         and (a.attidentity <> '' or a.atthasdef)
                         and a.atttypid = 'pg_catalog.int8'::regtype
                         and s.seqcache = 1 and s.seqincrement > 0 and not s.seqcycle),
               exists (select from pg_attribute a join pg_attrdef f
                         on f.adrelid = a.attrelid and f.adnum = a.attnum
                       where a.attrelid = c.oid and a.attname = 'created_at'
                         and pg_get_expr(f.adbin, f.adrelid) like '%clock_timestamp()%'),
               current_setting('server_encoding') = 'SQL_ASCII', current_database()::text
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.oid = to_regclass($1)";
    let row = client.query_opt(FIND, &[&table.quoted()]).await?;
    let Some(row) = row else { return Ok(None) };
    let (schema, name): (String, String) = (row.get(0), row.get(1));
    let name = format!("{}.{}", identifier(&schema), identifier(&name));
    let name = TableName::new(name).map_err(|error| DatabaseError::new(error.to_string()))?;
    Ok(Some(Found {
        name,
        oid: row.get(2),
        is_table: row.get(3),
        columns: row.get(4),
        is_numbered: row.get(5),
        is_clocked: row.get(6),
        is_raw: row.get(7),
        database: row.get(8),
    }))
}

/// The full name that a table will have once it is made.
pub(crate) async fn future_name<C: GenericClient>(
    client: &C,
    table: &TableName,
) -> Result<TableName, InstallError> {
    if table.name().len() + LONGEST_SUFFIX > 63 {
        let rule = "what is installed with it has longer names: it may have 52 bytes";
        return Err(TableNameError { text: table.to_string(), rule }.into());
    }
    if table.schema().is_some() {
        return Ok(table.clone());
    }
    let row = client.query_one("select current_schema()::text", &[]).await?;
    let schema: Option<String> = row.get(0);
    let schema = schema.ok_or_else(|| {
        DatabaseError::new("the search_path has no schema that exists: name the table's schema")
    })?;
    Ok(TableName::new(format!("{}.{}", identifier(&schema), identifier(table.name())))?)
}

/// Notes what to do about a table that is new or gains columns, where logical replication takes it
/// along.
pub(crate) async fn publication_note<C: GenericClient>(
    client: &C,
    table: &TableName,
) -> Result<Option<String>, DatabaseError> {
    const PUBLICATIONS: &str = "
        select string_agg(name, ', ') from (
          select quote_ident(pubname) as name from pg_publication where puballtables
          union
          select quote_ident(pubname) from pg_publication_tables
          where schemaname = $1 and tablename = $2) publications";
    let row = client.query_one(PUBLICATIONS, &[&table.schema(), &table.name()]).await?;
    let publications: Option<String> = row.get(0);
    Ok(publications.map(|publications| {
        format!(
            "{table} is published by {publications}: make it the same at the subscribers first, or \
             logical replication stops there until it is"
        )
    }))
}

/// SQL that makes a UUID v7 as text: it is unique anywhere, and newer ones sort behind older ones,
/// so that they are added to an index at its end.
pub(crate) const NEW_ID: &str = "overlay(gen_random_uuid()::text placing overlay(\
    lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') \
    placing '-' from 9 for 0) || '-7' from 1 for 15)";

/// Statements that notify the channel of this table when it has new rows.
pub(crate) fn notify_statements(table: &TableName) -> Vec<String> {
    let function = table.beside("_notify").quoted();
    // A transaction that has notified can't be prepared for a commit in two phases, so where there
    // are such transactions nobody is notified, and a relay looks at its interval.
    let body = "begin
  if current_setting('max_prepared_transactions') = '0' then
    perform pg_notify('bugle_' || tg_relid, '');
  end if;
  return null;
end";
    vec![
        format!(
            "create or replace function {function}() returns trigger\n\
             language plpgsql set search_path = pg_catalog, pg_temp as {}",
            dollar_quoted(body)
        ),
        format!(
            "create or replace trigger {} after insert on {} \
             for each statement execute function {function}()",
            identifier(table.beside("_notify").name()),
            table.quoted(),
        ),
    ]
}

/// Statements that take away what [`notify_statements`] made.
pub(crate) fn drop_notify_statements(table: &TableName) -> Vec<String> {
    let name = table.beside("_notify");
    vec![
        format!("drop trigger if exists {} on {}", identifier(name.name()), table.quoted()),
        format!("drop function if exists {}()", name.quoted()),
    ]
}

/// The channel that a table's new rows are notified on.
pub(crate) fn channel(oid: u32) -> String {
    format!("bugle_{oid}")
}

/// Puts a function's body between dollar quotes that do not occur in it.
pub(crate) fn dollar_quoted(body: &str) -> String {
    let tags = (0..).map(|number: u32| match number {
        0 => "$bugle$".to_owned(),
        number => format!("$bugle{number}$"),
    });
    let mut free = tags.filter(|tag| !body.contains(tag.as_str()));
    let tag = free.next().unwrap_or_default();
    format!("{tag}\n{body}\n{tag}")
}
