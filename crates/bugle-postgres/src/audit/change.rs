//! One row of the audit table as a change event.

use std::error::Error;

use bugle::events::{AuditRow, Change, ChangeEvent, Row as Record};
use bugle::{EmitOptions, RequestId, TraceContext};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::trace::context;
use crate::error::DatabaseError;

/// The `op` of a row that the trigger writes when its table is truncated.
pub(super) const TRUNCATED: &str = "truncate";

/// A row of the audit table, as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) id: String,
    pub(crate) table: String,
    pub(crate) op: String,
    /// The record as JSON.
    pub(crate) data: String,
    /// The record's id, `data ->> 'id'`.
    pub(crate) record: Option<String>,
    pub(crate) identity_id: Option<String>,
    pub(crate) trace_id: Option<String>,
    /// The whole trace context, where the table has it.
    pub(crate) traceparent: Option<String>,
    pub(crate) created_at: Timestamp,
    /// The record before the change, as JSON.
    pub(crate) previous: Option<String>,
}

/// A text column; its bytes are read where the database checks no encoding.
struct Text(String);

impl<'a> FromSql<'a> for Text {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(std::str::from_utf8(raw)?.to_owned()))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::BYTEA || <String as FromSql>::accepts(kind)
    }
}

impl Changed {
    /// Reads the columns that the queries of [`super::sql`] select, or says why they can't be read.
    pub(crate) fn read(row: &Row) -> Result<Self, String> {
        let text = |column| row.try_get(column).map(|text: Option<Text>| text.map(|text| text.0));
        let needed = |column| row.try_get(column).map(|text: Text| text.0);
        let read = || {
            Ok(Self {
                id: row.try_get(0)?,
                table: needed(2)?,
                op: needed(3)?,
                data: needed(4)?,
                record: text(5)?,
                identity_id: text(6)?,
                trace_id: text(7)?,
                traceparent: text(8)?,
                created_at: row.try_get(9)?,
                previous: text(10)?,
            })
        };
        read().map_err(|error: tokio_postgres::Error| DatabaseError::from(error).message)
    }

    /// Names the event, as `member.created`; an unknown `op` is an error that names it.
    pub(crate) fn event_name(&self) -> Result<String, String> {
        if self.op == TRUNCATED {
            let table = &self.table;
            return Err(format!(
                "table {table:?} was truncated ('truncate'): its records are gone, and no event \
                 tells of each"
            ));
        }
        let change: Change = self.op.parse().map_err(in_words)?;
        ChangeEvent::name(&self.table, change).map(|name| name.to_string()).map_err(in_words)
    }

    /// Makes the event. The record's values stay as the database wrote them: no number loses a
    /// digit.
    pub(crate) fn event(&self) -> Result<ChangeEvent, String> {
        self.event_name()?;
        let data = self.record(&self.data)?;
        if self.record.is_none() {
            let table = &self.table;
            return Err(format!(
                "the record has no id: was the column \"id\" of table {table:?} renamed?"
            ));
        }
        let event = ChangeEvent::from_row(AuditRow {
            table_name: self.table.clone(),
            op: self.op.clone(),
            data,
            previous: self.previous.as_ref().map(|json| self.record(json)).transpose()?,
            identity_id: self.identity_id.clone(),
            created_at: self.created_at,
        });
        event.map_err(in_words)
    }

    /// Reads a record from JSON. Where the audit's trigger could not carry one, a text stands in
    /// its place that says why.
    fn record(&self, json: &str) -> Result<Record, String> {
        serde_json::from_str(json).map_err(|error| match serde_json::from_str::<String>(json) {
            Ok(reason) => format!("the data is not an object, but says: {reason}"),
            Err(_) => format!("the data is not an object: {error}"),
        })
    }

    /// The memory that its data takes, in bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.previous.as_ref().map_or(0, String::len)
    }

    /// The options that the event is emitted with: the same each time, so that a repetition is
    /// known.
    pub(crate) fn options(&self) -> EmitOptions {
        let mut options = EmitOptions::new().request_id(self.request_id());
        if let Some(key) = self.ordering_key() {
            options = options.key(key);
        }
        if let Some(trace) = self.trace() {
            options = options.trace(trace);
        }
        options
    }

    /// Makes the request id: the row's own id, if it can be one.
    fn request_id(&self) -> String {
        match RequestId::new(&self.id) {
            Ok(_) => self.id.clone(),
            Err(_) => format!("audit-{}", digest(&self.id)),
        }
    }

    /// The key that keeps the events of one record in order.
    fn ordering_key(&self) -> Option<String> {
        let key = format!("{}/{}", self.table, self.record.as_ref()?);
        Some(match key.len() {
            ..=256 => key,
            _ => digest(&key),
        })
    }

    /// The row's trace: as it was given, or else with a parent that is made of the row.
    fn trace(&self) -> Option<TraceContext> {
        let given = self.traceparent.as_ref().and_then(|given| TraceContext::new(given).ok());
        given.or_else(|| context(self.trace_id.as_ref()?, digest(&self.id).get(..16)?))
    }
}

/// Makes 32 hex digits that stand for a text.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(op: &str) -> Changed {
        Changed {
            id: "row".to_owned(),
            table: "wedding_invitee".to_owned(),
            op: op.to_owned(),
            data: concat!(
                r#"{"id": "7", "first_name": "Ada", "paid": 12345678901234567890.10, "#,
                r#""notes": {"kept_as": [1]}}"#,
            )
            .to_owned(),
            record: Some("7".to_owned()),
            identity_id: Some("u1".to_owned()),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
            traceparent: None,
            created_at: Timestamp::UNIX_EPOCH,
            previous: Some(r#"{"id": "7", "first_name": "A\u0064a"}"#.to_owned()),
        }
    }

    fn json(changed: &Changed) -> Result<String, String> {
        serde_json::to_string(&changed.event()?).map_err(in_words)
    }

    #[test]
    fn a_row_becomes_an_event_and_no_digit_is_lost() {
        assert_eq!(
            json(&changed("update")),
            Ok(concat!(
                r#"{"eventName":"wedding_invitee.updated","occurredAt":"1970-01-01T00:00:00Z","#,
                r#""identityId":"u1","target":{"id":"7","type":"WeddingInvitee","#,
                r#""data":{"firstName":"Ada","id":"7","notes":{"kept_as": [1]},"#,
                r#""paid":12345678901234567890.10},"#,
                r#""previousData":{"firstName":"A\u0064a","id":"7"}}}"#,
            )
            .to_owned())
        );
        assert_eq!(changed("update").event_name(), Ok("wedding_invitee.updated".to_owned()));
    }

    #[test]
    fn a_creation_has_no_previous_data_and_nobody_leaves_no_identity() {
        let created = Changed { identity_id: None, ..changed("insert") };
        let json = json(&created).unwrap_or_default();
        assert!(json.contains("wedding_invitee.created"));
        assert!(!json.contains("previousData") && !json.contains("identityId"), "{json}");
    }

    #[test]
    fn what_is_no_change_is_an_error_that_says_so() {
        let unknown = changed("truncate");
        for error in [json(&unknown), unknown.event_name()] {
            assert!(error.is_err_and(|error| error.contains("'truncate'")));
        }
        let list = Changed { data: "[1]".to_owned(), ..changed("insert") };
        assert!(json(&list).is_err_and(|error| error.starts_with("the data is not an object")));
        let told = Changed { data: "\"too large\"".to_owned(), ..changed("insert") };
        assert!(json(&told).is_err_and(|error| error.ends_with("but says: too large")));
    }

    #[test]
    fn a_record_without_an_id_and_columns_that_come_out_alike_are_no_event() {
        let renamed = Changed { record: None, ..changed("update") };
        assert!(json(&renamed).is_err_and(|error| error.contains("no id")));
        let alike = r#"{"id": "7", "foo_bar": 1, "fooBar": 2}"#.to_owned();
        let alike = Changed { data: alike, ..changed("update") };
        assert!(json(&alike).is_err_and(|error| error.contains("are both the field")));
    }

    #[test]
    fn one_row_has_one_request_id_and_one_trace() {
        let (one, same) = (changed("update"), changed("update"));
        assert_eq!((one.request_id(), one.trace()), (same.request_id(), same.trace()));
        assert!(one.trace().is_some());
        let odd = Changed { id: "a.b c".to_owned(), ..changed("update") };
        assert!(odd.request_id().starts_with("audit-"));
        assert_eq!(odd.request_id(), odd.clone().request_id());
        let no_trace = Changed { trace_id: Some("none".to_owned()), ..changed("update") };
        assert!(no_trace.trace().is_none());
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let traced = Changed { traceparent: Some(given.to_owned()), ..changed("update") };
        assert_eq!(traced.trace().map(|trace| trace.traceparent).as_deref(), Some(given));
    }
}
