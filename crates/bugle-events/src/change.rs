//! Change events: a row of a database was inserted, updated or deleted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bugle_core::{EventName, IdError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::casing::{lower_camel, upper_camel};
use crate::{CreatedOn, Json};

/// A change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// It was inserted.
    Created,
    /// It was updated.
    Updated,
    /// It was deleted.
    Deleted,
}

impl Change {
    /// The last part of the events' names: `created`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads the operation of an audit table: `insert`, `update` or `delete`.
impl FromStr for Change {
    type Err = ChangeError;

    fn from_str(op: &str) -> Result<Self, ChangeError> {
        match op {
            "insert" => Ok(Self::Created),
            "update" => Ok(Self::Updated),
            "delete" => Ok(Self::Deleted),
            other => Err(ChangeError::Op { op: other.to_owned() }),
        }
    }
}

/// An audited row makes no change event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The operation makes no change event.
    #[error("unknown operation '{op}': an audited row has insert, update or delete")]
    Op {
        /// The operation that the row has.
        op: String,
    },
    /// The table's name can't be part of an event's name.
    #[error(transparent)]
    Table(#[from] IdError),
    /// Two columns have the same field name, so one of them would be lost.
    #[error(
        "the columns '{first}' and '{second}' are both the field '{field}' of an event: rename one"
    )]
    Columns {
        /// The first column.
        first: String,
        /// The second column.
        second: String,
        /// The field's name for both.
        field: String,
    },
}

/// The columns of a row, or the fields of a target, by name. Values keep every digit.
pub type Row = BTreeMap<String, Json>;

/// A change event, in Keel's JSON form.
///
/// ```
/// use bugle_events::{AuditRow, ChangeEvent, Json, Row};
///
/// let column = |name: &str, json: &str| Ok((name.to_owned(), Json::parse(json)?));
/// let row = AuditRow {
///     table_name: "wedding_invitee".to_owned(),
///     op: "insert".to_owned(),
///     data: [column("id", "\"i_1\""), column("first_name", "\"Ada\"")]
///         .into_iter()
///         .collect::<Result<Row, serde_json::Error>>()?,
///     created_at: "2024-02-21T10:00:00Z".parse()?,
///     ..AuditRow::default()
/// };
/// let event = ChangeEvent::from_row(row)?;
/// assert_eq!(
///     serde_json::to_string(&event)?,
///     concat!(
///         r#"{"eventName":"wedding_invitee.created","occurredAt":"2024-02-21T10:00:00Z","#,
///         r#""target":{"id":"i_1","type":"WeddingInvitee","#,
///         r#""data":{"firstName":"Ada","id":"i_1"}}}"#
///     )
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeEvent {
    /// The event's name, `member.created`.
    pub event_name: String,
    /// When the row was changed, in UTC.
    pub occurred_at: CreatedOn,
    /// The identity that changed it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_id: Option<String>,
    /// The row that was changed.
    pub target: ChangeTarget,
}

/// The row that a change event is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeTarget {
    /// The row's id; empty when it has none.
    pub id: String,
    /// The kind of row: the table's name in UpperCamelCase. `wedding_invitee` is `WeddingInvitee`,
    /// `line2text` is `Line2Text`; capitals stay.
    #[serde(rename = "type")]
    pub kind: String,
    /// The row after the change, or before it when it was deleted. Its names are in lowerCamelCase:
    /// `first_name` is `firstName`, `line2text` is `line2Text`, `slackID` is `slackId`, and `URL`
    /// is `url`. A name of signs alone stays as it is.
    pub data: Row,
    /// The row before the change, where it is known; a row that was created had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_data: Option<Row>,
}

/// One row of an audit table, with the state before it where that is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditRow {
    /// The changed table, in snake_case.
    pub table_name: String,
    /// The operation: `insert`, `update` or `delete`.
    pub op: String,
    /// The changed row: after an insert or update, before a delete. Column names are in
    /// snake_case.
    pub data: Row,
    /// The changed row as it was before.
    pub previous: Option<Row>,
    /// The identity that made the change, where that is known.
    pub identity_id: Option<String>,
    /// The time of the change.
    pub created_at: Timestamp,
}

impl ChangeEvent {
    /// Makes the event of an audited row.
    ///
    /// # Errors
    /// [`ChangeError`] when the operation is unknown, the table's name can't be an event's, or two
    /// columns come to the same field.
    pub fn from_row(row: AuditRow) -> Result<Self, ChangeError> {
        let change: Change = row.op.parse()?;
        let event_name = Self::name(&row.table_name, change)?.to_string();
        let id = row.data.get("id").map(text).unwrap_or_default();
        let previous = row.previous.filter(|_| change != Change::Created);
        let previous_data = previous.map(camel_cased).transpose()?;
        Ok(Self {
            event_name,
            occurred_at: row.created_at.into(),
            identity_id: row.identity_id.filter(|id| !id.is_empty()),
            target: ChangeTarget {
                id,
                kind: upper_camel(&row.table_name),
                data: camel_cased(row.data)?,
                previous_data,
            },
        })
    }

    /// The name of a table's events, which begins with the table's own name: `member.created`.
    ///
    /// # Errors
    /// [`IdError`] when the table's name can't be part of an event's name.
    pub fn name(table: &str, change: Change) -> Result<EventName, IdError> {
        EventName::new(format!("{table}.{change}"))
    }
}

fn camel_cased(row: Row) -> Result<Row, ChangeError> {
    let mut columns = BTreeMap::new();
    let mut fields = Row::new();
    for (column, value) in row {
        let field = lower_camel(&column);
        if let Some(first) = columns.insert(field.clone(), column.clone()) {
            return Err(ChangeError::Columns { first, second: column, field });
        }
        fields.insert(field, value);
    }
    Ok(fields)
}

/// A string's text, nothing for null, or another value's JSON: as PostgreSQL's `->>`.
fn text(value: &Json) -> String {
    match value.read::<Option<String>>() {
        Ok(text) => text.unwrap_or_default(),
        Err(_) => value.to_string(),
    }
}
