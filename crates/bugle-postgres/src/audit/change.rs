//! One row of the audit table as a change event.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::naming::{lower_camel, upper_camel};

/// A row of the audit table, as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) table: String,
    pub(crate) op: String,
    /// The record as JSON.
    pub(crate) data: String,
    /// `data ->> 'id'`.
    pub(crate) record: Option<String>,
    pub(crate) identity_id: Option<String>,
    pub(crate) created_at: Timestamp,
    /// The record before the change, as JSON.
    pub(crate) previous: Option<String>,
}

/// A change event, as it is delivered. The records' values are the bytes that the database gave:
/// no number loses a digit on the way.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change<'a> {
    event_name: &'a str,
    occurred_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_id: Option<&'a str>,
    target: Target<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: String,
    data: Record<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_data: Option<Record<'a>>,
}

impl Changed {
    /// The event's name, as `member.created`; an unknown `op` is an error that names it.
    pub(crate) fn event_name(&self) -> Result<String, String> {
        let what = match self.op.as_str() {
            "insert" => "created",
            "update" => "updated",
            "delete" => "deleted",
            other => {
                return Err(format!("the op {other:?} is none of insert, update and delete"));
            }
        };
        Ok(format!("{}.{what}", self.table))
    }

    /// The event.
    pub(crate) fn event<'a>(&'a self, event_name: &'a str) -> Result<Change<'a>, String> {
        let previous = self.previous.as_deref().filter(|_| self.op != "insert");
        Ok(Change {
            event_name,
            occurred_at: self.created_at,
            identity_id: self.identity_id.as_deref(),
            target: Target {
                id: self.record.as_deref().unwrap_or_default(),
                kind: upper_camel(&self.table),
                data: Record::read(&self.data)?,
                previous_data: previous.map(Record::read).transpose()?,
            },
        })
    }
}

/// A record: its columns in their order, their values verbatim.
#[derive(Debug)]
struct Record<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Record<'a> {
    fn read(json: &'a str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| format!("the data is not an object: {error}"))
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Record<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut columns = Vec::with_capacity(16);
                while let Some(Key(name)) = map.next_key()? {
                    columns.push((name, map.next_value()?));
                }
                Ok(Record(columns))
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

/// A column's name, borrowed when it is written without escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            match name.contains('_') {
                true => map.serialize_entry(&lower_camel(name), value)?,
                false => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(op: &str) -> Changed {
        Changed {
            table: "wedding_invitee".to_owned(),
            op: op.to_owned(),
            data: r#"{"id": "7", "first_name": "Ada", "paid": 12345678901234567890.10, "notes": {"kept_as": [1]}}"#.to_owned(),
            record: Some("7".to_owned()),
            identity_id: Some("u1".to_owned()),
            created_at: Timestamp::UNIX_EPOCH,
            previous: Some(r#"{"id": "7", "first_name": "A\u0064a"}"#.to_owned()),
        }
    }

    fn json(changed: &Changed) -> Result<String, String> {
        let name = changed.event_name()?;
        serde_json::to_string(&changed.event(&name)?).map_err(|error| error.to_string())
    }

    #[test]
    fn a_row_becomes_an_event_and_no_digit_is_lost() {
        assert_eq!(
            json(&changed("update")),
            Ok(r#"{"eventName":"wedding_invitee.updated","occurredAt":"1970-01-01T00:00:00Z","identityId":"u1","target":{"id":"7","type":"WeddingInvitee","data":{"id":"7","firstName":"Ada","paid":12345678901234567890.10,"notes":{"kept_as": [1]}},"previousData":{"id":"7","firstName":"A\u0064a"}}}"#.to_owned())
        );
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
        let unknown = json(&changed("truncate"));
        assert_eq!(
            unknown,
            Err("the op \"truncate\" is none of insert, update and delete".to_owned())
        );
        let list = Changed { data: "[1]".to_owned(), ..changed("insert") };
        assert!(json(&list).is_err_and(|error| error.starts_with("the data is not an object")));
    }
}
