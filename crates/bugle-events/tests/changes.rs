//! Change events from audited rows.

#![allow(clippy::unwrap_used)]

use bugle_events::{AuditRow, ChangeEvent, Json, Row};
use serde_json::{Value, json};

fn row(columns: Value) -> Row {
    let columns: serde_json::Map<String, Value> = serde_json::from_value(columns).unwrap();
    columns.into_iter().map(|(name, value)| (name, Json::of(&value).unwrap())).collect()
}

fn audited(table: &str, op: &str, previous: Option<Value>) -> AuditRow {
    AuditRow {
        table_name: table.to_owned(),
        op: op.to_owned(),
        data: row(
            json!({"id": "i_1", "first_name": "Ada", "is_vip": null, "address": {"zip_code": 1}}),
        ),
        previous: previous.map(row),
        identity_id: None,
        created_at: "2024-02-21T11:00:00.5+01:00".parse().unwrap(),
    }
}

#[test]
fn each_operation_makes_its_event() {
    let before = json!({"id": "i_1", "first_name": "Eve"});
    let data = json!({"id": "i_1", "firstName": "Ada", "isVip": null, "address": {"zip_code": 1}});
    for (op, name, previous) in [
        ("insert", "wedding_invitee.created", None),
        ("update", "wedding_invitee.updated", Some(json!({"id": "i_1", "firstName": "Eve"}))),
        ("delete", "wedding_invitee.deleted", Some(json!({"id": "i_1", "firstName": "Eve"}))),
    ] {
        let event =
            ChangeEvent::from_row(audited("wedding_invitee", op, Some(before.clone()))).unwrap();
        let mut expected = json!({
            "eventName": name,
            "occurredAt": "2024-02-21T10:00:00.5Z",
            "target": {"id": "i_1", "type": "WeddingInvitee", "data": data}
        });
        if let Some(previous) = previous {
            expected["target"]["previousData"] = previous;
        }
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);
    }
}

#[test]
fn who_did_it_is_told_when_it_is_known() {
    for (identity, told) in [(None, None), (Some(""), None), (Some("u_1"), Some("u_1"))] {
        let row = AuditRow {
            identity_id: identity.map(str::to_owned),
            ..audited("member", "insert", None)
        };
        let event = serde_json::to_value(ChangeEvent::from_row(row).unwrap()).unwrap();
        assert_eq!(event.get("identityId").and_then(Value::as_str), told);
    }
}

#[test]
fn what_is_no_change_is_an_error_that_names_it() {
    let error = ChangeEvent::from_row(audited("member", "truncate", None)).unwrap_err();
    assert!(error.to_string().contains("'truncate'"), "{error}");
    assert!(ChangeEvent::from_row(audited("no table", "insert", None)).is_err());
}

#[test]
fn an_id_may_be_a_number_and_digits_stay() {
    let mut row = audited("member", "insert", None);
    row.data.insert("id".to_owned(), Json::parse("7").unwrap());
    row.data.insert("balance".to_owned(), Json::parse("12345678901234567890.10").unwrap());
    let event = ChangeEvent::from_row(row).unwrap();
    assert_eq!(event.target.id, "7");
    assert!(serde_json::to_string(&event).unwrap().contains(":12345678901234567890.10"));
}

#[test]
fn columns_that_would_be_one_field_are_an_error_that_names_them() {
    for (first, second, field) in [
        ("fooBar", "foo_bar", "fooBar"),
        ("line2text", "line_2_text", "line2Text"),
        ("slackID", "slack_id", "slackId"),
        ("URL", "url", "url"),
        ("_id", "id", "id"),
    ] {
        let columns = row(json!({first: 1, second: 2}));
        let words = format!(
            "the columns '{first}' and '{second}' are both the field '{field}' of an event: \
             rename one"
        );
        let now = AuditRow { data: columns.clone(), ..audited("member", "update", None) };
        let before = AuditRow { previous: Some(columns), ..audited("member", "update", None) };
        for row in [now, before] {
            assert_eq!(ChangeEvent::from_row(row).unwrap_err().to_string(), words);
        }
    }
}

#[test]
fn names_are_cased_at_digits_and_capitals() {
    let data = row(json!({"line2text": 1, "slackID": 2, "URL": 3, "2fa_code": 4, "$": 5}));
    let event =
        ChangeEvent::from_row(AuditRow { data, ..audited("line2text", "insert", None) }).unwrap();
    assert_eq!(event.event_name, "line2text.created");
    assert_eq!(event.target.kind, "Line2Text");
    assert_eq!(
        serde_json::to_value(&event.target.data).unwrap(),
        json!({"line2Text": 1, "slackId": 2, "url": 3, "2FaCode": 4, "$": 5})
    );
}
