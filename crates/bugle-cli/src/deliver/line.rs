//! One line: an event, or the reason why it is none.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An event as a line holds it.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub(crate) name: String,
    /// The payload's bytes, as they stand in the line.
    pub(crate) payload: Box<RawValue>,
    pub(crate) request_id: Option<String>,
    pub(crate) key: Option<String>,
    /// A field that means nothing in an event, if there is one.
    pub(crate) unknown: Option<String>,
}

/// Reads a line. With a name for all events, the line is a payload.
pub(crate) fn parse(line: &[u8], name: Option<&str>) -> Result<NewEvent, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("it is not UTF-8 (byte {})", error.valid_up_to() + 1))?;
    match name {
        Some(name) => Ok(NewEvent {
            name: name.to_owned(),
            payload: serde_json::from_str(text).map_err(|error| in_words(&error))?,
            request_id: None,
            key: None,
            unknown: None,
        }),
        None => {
            let mut json = serde_json::Deserializer::from_str(text);
            let event = json.deserialize_map(EventVisitor);
            event.and_then(|event| json.end().map(|()| event)).map_err(|error| in_words(&error))
        }
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = NewEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"an object like {"name": "invoice.paid", "payload": {"id": 1}}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NewEvent, A::Error> {
        let (mut name, mut payload) = (None::<String>, None::<&'de RawValue>);
        let (mut request_id, mut key) = (None, None);
        let mut unknown = None;
        while let Some(field) = map.next_key::<String>()? {
            let twice = match field.as_str() {
                "name" => name.replace(map.next_value()?).is_some(),
                "payload" => payload.replace(map.next_value()?).is_some(),
                "request_id" => request_id.replace(map.next_value()?).is_some(),
                "key" => key.replace(map.next_value()?).is_some(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    unknown.get_or_insert(field);
                    continue;
                }
            };
            if twice {
                return Err(A::Error::custom(format_args!("`{field}` stands in it twice")));
            }
        }
        let missing = |field| {
            A::Error::custom(format_args!(
                "`{field}` is missing; if the line is the payload itself, give --event NAME"
            ))
        };
        Ok(NewEvent {
            name: name.ok_or_else(|| missing("name"))?,
            payload: payload.ok_or_else(|| missing("payload"))?.to_owned(),
            request_id: request_id.flatten(),
            key: key.flatten(),
            unknown,
        })
    }
}

/// Words an error of serde_json's, which counts the lines of a text that has only one.
pub(crate) fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = text.strip_suffix(&place).unwrap_or(&text);
    match error.classify() {
        serde_json::error::Category::Data => what.to_owned(),
        serde_json::error::Category::Eof => format!("it is not JSON: it ends too early ({what})"),
        _ => format!("it is not JSON: {what} at column {}", error.column()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_its_bytes() {
        let payload = r#"{ "b" : 1.0,"a":[1e2 ,12345678901234567890123],"é":"\u00e9" }"#;
        let line = format!(r#"  {{"name":"a.b", "payload": {payload} ,"key":"k"}} "#);
        let event = parse(line.as_bytes(), None).unwrap();
        assert_eq!(event.payload.get(), payload);
        assert_eq!((event.name.as_str(), event.key.as_deref()), ("a.b", Some("k")));
        let whole = parse(format!(" {payload}\t").as_bytes(), Some("x")).unwrap();
        assert_eq!((whole.payload.get(), whole.name.as_str()), (payload, "x"));
    }

    #[test]
    fn fields_may_be_null_escaped_or_unknown() {
        let line = br#"{"n\u0061me":"a","payload":{},"request_id":null,"colour":[1,{"a":2}]}"#;
        let event = parse(line, None).unwrap();
        assert_eq!(event.request_id, None);
        assert_eq!(event.unknown.as_deref(), Some("colour"));
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let table: [(&[u8], &str); 9] = [
            (b"nonsense", "it is not JSON: expected"),
            (b"{\"name\":", "it ends too early"),
            (b"[1]", "expected an object like"),
            (b"{\"payload\":{}}", "`name` is missing"),
            (b"{\"name\":\"a\"}", "`payload` is missing"),
            (b"{\"name\":7,\"payload\":{}}", "invalid type: integer `7`, expected a string"),
            (b"{\"name\":\"a\",\"name\":\"b\",\"payload\":{}}", "`name` stands in it twice"),
            (b"{\"name\":\"a\",\"payload\":{}} {}", "trailing characters"),
            (b"{\"name\":\"\xff\"}", "it is not UTF-8 (byte 10)"),
        ];
        for (line, expected) in table {
            let error = parse(line, None).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("line 1"), "{error}");
        }
    }
}
