//! The table that a relay follows, with the statements that gather, mark and set aside its rows.

use std::time::Duration;

use bugle::{EmitOptions, TraceContext};
use futures_util::TryStreamExt as _;
use tokio_postgres::{Client, Row, Statement};

use super::entry::{Content, Entry, Place};
use super::ranges::Ranges;
use crate::audit::{AuditTable, Changed, Shape};
use crate::error::DatabaseError;
use crate::install::find;
use crate::outbox::{Outbox, Processed};
use crate::relay::RelayError;
use crate::{audit, outbox};

/// The bytes of rows that are held at once, 16 MiB: a batch ends early when its rows are large.
pub(crate) const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// The kind of table that a relay follows: an [`AuditTable`] or an [`Outbox`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Source {
    /// Each row of an audit table is made into a change event.
    Audit(AuditTable),
    /// Each row of an outbox is an event.
    Outbox(Outbox),
}

impl From<AuditTable> for Source {
    fn from(table: AuditTable) -> Self {
        Self::Audit(table)
    }
}

impl From<Outbox> for Source {
    fn from(outbox: Outbox) -> Self {
        Self::Outbox(outbox)
    }
}

/// A source in one session with the database.
#[derive(Debug)]
pub(super) struct Opened {
    source: Source,
    /// The table, which the advisory lock and the channel are named after.
    pub(super) oid: u32,
    /// Its name, with its schema, as SQL has it.
    pub(super) name: String,
    /// True when rows have positions, so that those in flight can be told apart cheaply.
    pub(super) has_position: bool,
    gather: Statement,
    mark: Statement,
    set_aside: Option<Statement>,
    clean: Option<(Statement, Duration)>,
}

impl Source {
    /// Looks at the table, and prepares the statements on it.
    pub(super) async fn open(&self, client: &Client) -> Result<Opened, RelayError> {
        let table = match self {
            Self::Audit(audit) => &audit.table,
            Self::Outbox(outbox) => &outbox.table,
        };
        let found = find(client, table).await?;
        let found = found.ok_or_else(|| RelayError::NotInstalled(table.clone()))?;
        let needed: &[&str] = match self {
            Self::Audit(_) => &audit::COLUMNS,
            Self::Outbox(_) => &outbox::COLUMNS,
        };
        if let Some(column) = needed.iter().find(|column| !found.has(column)) {
            return Err(RelayError::NoColumn { table: found.name, column: (*column).to_owned() });
        }
        let name = found.name.quoted();
        let (mut clean, mut has_position) = (None, true);
        let set_aside;
        let (gather, mark) = match self {
            Self::Audit(audit) => {
                let shape = Shape::of(&found);
                has_position = shape.numbered;
                set_aside = shape.has_error.then(|| audit::set_aside(&name));
                (audit::gather(&name, shape, &audit.only), audit::mark(&name, shape))
            }
            Self::Outbox(outbox) => {
                set_aside = Some(format!("update {name} set error = $2 where position = $1"));
                if let Processed::Keep(age) = outbox.processed {
                    clean = Some((outbox::clean(&name), age));
                }
                (outbox::gather(&name), outbox::mark(&name, outbox.processed))
            }
        };
        let prepare = async |sql: &Option<String>| match sql {
            Some(sql) => client.prepare(sql).await.map(Some),
            None => Ok(None),
        };
        Ok(Opened {
            source: self.clone(),
            oid: found.oid,
            name: name.clone(),
            has_position,
            gather: client.prepare(&gather).await?,
            mark: client.prepare(&mark).await?,
            set_aside: prepare(&set_aside).await?,
            clean: match clean {
                Some((sql, age)) => Some((client.prepare(&sql).await?, age)),
                None => None,
            },
        })
    }
}

impl Opened {
    /// Checks that this role may read and mark the table, and delete from an outbox.
    pub(super) async fn check_rights(&self, client: &Client) -> Result<(), RelayError> {
        let rights: &[&str] = match &self.source {
            Source::Audit(_) => &["SELECT", "UPDATE"],
            Source::Outbox(_) => &["SELECT", "UPDATE", "DELETE"],
        };
        for right in rights {
            let row = client
                .query_one(
                    "select has_table_privilege($1::oid, $2), current_user::text, \
                     $1::oid::regclass::text",
                    &[&self.oid, right],
                )
                .await?;
            if !row.get::<_, bool>(0) {
                let (role, table): (&str, &str) = (row.get(1), row.get(2));
                let advice = format!("grant {right} on {table} to {role}");
                return Err(RelayError::NotPermitted(DatabaseError::new(advice)));
            }
        }
        Ok(())
    }

    /// Reads the next entries that are not marked, in order, without those that are in flight or
    /// set aside.
    pub(super) async fn gather(
        &self,
        client: &Client,
        limit: i64,
        in_flight: &Ranges,
        aside: &[Place],
    ) -> Result<Vec<Entry>, DatabaseError> {
        let rows = if self.has_position {
            let mut without = in_flight.clone();
            without.extend(&aside.iter().filter_map(Place::position).collect());
            let (starts, ends) = without.bounds();
            client
                .query_raw(
                    &self.gather,
                    [&starts as &(dyn tokio_postgres::types::ToSql + Sync), &ends, &limit],
                )
                .await?
        } else {
            let ids: Vec<&str> = aside.iter().map(Place::id).collect();
            client
                .query_raw(
                    &self.gather,
                    [&ids as &(dyn tokio_postgres::types::ToSql + Sync), &limit],
                )
                .await?
        };
        let mut rows = std::pin::pin!(rows);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            let entry = match &self.source {
                Source::Audit(_) => audit_entry(&row)?,
                Source::Outbox(_) => outbox_entry(&row)?,
            };
            bytes += entry.bytes();
            entries.push(entry);
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        Ok(entries)
    }

    /// Marks entries whose events are in the journal.
    pub(super) async fn mark(
        &self,
        client: &Client,
        places: &[Place],
    ) -> Result<(), DatabaseError> {
        if places.is_empty() {
            return Ok(());
        }
        if self.has_position {
            let positions: Vec<i64> = places.iter().filter_map(Place::position).collect();
            client.execute(&self.mark, &[&positions]).await?;
        } else {
            let ids: Vec<&str> = places.iter().map(Place::id).collect();
            client.execute(&self.mark, &[&ids]).await?;
        }
        Ok(())
    }

    /// Reads the id of the row at this position; `None` when there is none.
    pub(super) async fn id_at(
        &self,
        client: &Client,
        position: i64,
    ) -> Result<Option<String>, DatabaseError> {
        let look = match &self.source {
            // By the index of those that are not marked, which are the ones that matter.
            Source::Audit(_) => "event_processed_at is null",
            Source::Outbox(_) => "processed_at is null",
        };
        let sql = format!("select id from {} where position = $1 and {look}", self.name);
        let row = client.query_opt(&sql, &[&position]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Writes down why an entry can't be an event, where the table has a column for it. Answers
    /// whether it has: such an entry is not gathered again.
    pub(super) async fn set_aside(
        &self,
        client: &Client,
        place: &Place,
        reason: &str,
    ) -> Result<bool, DatabaseError> {
        let Some(statement) = &self.set_aside else { return Ok(false) };
        client.execute(statement, &[&place.position(), &reason]).await?;
        Ok(true)
    }

    /// Lists warnings about the table for an operator.
    pub(super) async fn warnings(&self, client: &Client) -> Result<Vec<String>, DatabaseError> {
        match &self.source {
            Source::Audit(audit) => audit.warnings(client).await,
            Source::Outbox(_) => Ok(Vec::new()),
        }
    }

    /// Deletes rows that were taken long enough ago.
    pub(super) async fn clean(&self, client: &Client) -> Result<(), DatabaseError> {
        if let Some((statement, age)) = &self.clean {
            client.execute(statement, &[&age.as_secs_f64()]).await?;
        }
        Ok(())
    }
}

fn audit_entry(row: &Row) -> Result<Entry, DatabaseError> {
    let place = Place::new(row.try_get(0)?, row.try_get(1)?);
    let content = Changed::read(row).and_then(|changed| {
        let (name, options) = (changed.event_name()?, changed.options());
        Ok((name, Content::Change(Box::new(changed)), options))
    });
    Ok(Entry::new(place, content))
}

fn outbox_entry(row: &Row) -> Result<Entry, DatabaseError> {
    let place = Place::new(row.try_get(1)?, Some(row.try_get(0)?));
    let content = outbox_event(row, place.id());
    Ok(Entry::new(place, content))
}

fn outbox_event(row: &Row, id: &str) -> Result<(String, Content, EmitOptions), String> {
    let text = |column: usize| -> Result<Option<String>, String> {
        row.try_get(column)
            .map_err(|error: tokio_postgres::Error| DatabaseError::from(error).message)
    };
    let missing = |column| format!("it has no {column}");
    let name = text(2)?.ok_or_else(|| missing("name"))?;
    let payload = text(3)?.ok_or_else(|| missing("payload"))?;
    let mut options = EmitOptions::new().request_id(id);
    if let Some(key) = text(4)? {
        options = options.key(key);
    }
    let (traceparent, tracestate) = (text(5)?, text(6)?);
    if let Some(traceparent) = traceparent {
        let in_words = |error: bugle::IdError| error.to_string();
        let mut trace = TraceContext::new(traceparent).map_err(in_words)?;
        if let Some(tracestate) = tracestate {
            trace = trace.tracestate(tracestate).map_err(in_words)?;
        }
        options = options.trace(trace);
    }
    Ok((name, Content::Payload(payload), options))
}
