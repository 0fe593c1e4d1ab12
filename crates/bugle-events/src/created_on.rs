//! When an event was created.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::Field;

/// As long as a time can be: nine digits of a second and an offset.
const LONGEST: usize = "2006-01-02T15:04:05.000000000-07:00".len();

/// The year 1, which Go's zero time is in: no event was created then.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// When an event was created: an instant with its nanoseconds, and the way it was written in RFC
/// 3339, which is kept.
#[derive(Clone, Copy)]
pub struct CreatedOn {
    instant: Timestamp,
    text: [u8; LONGEST],
    length: u8,
}

impl CreatedOn {
    /// Now.
    pub fn now() -> Self {
        Timestamp::now().into()
    }

    /// The instant.
    pub fn instant(self) -> Timestamp {
        self.instant
    }

    /// As it was written: `2018-10-18T14:20:30.000123456-05:00`.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..usize::from(self.length));
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or(NEVER)
    }

    fn written(instant: Timestamp, text: &str) -> Option<Self> {
        let mut kept = [0; LONGEST];
        kept.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { instant, text: kept, length: u8::try_from(text.len()).ok()? })
    }
}

/// A text is no time in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a time in RFC 3339: write it like 2006-01-02T15:04:05.123456789Z, with at \
     most nine digits of a second"
)]
pub struct CreatedOnError {
    text: String,
}

impl FromStr for CreatedOn {
    type Err = CreatedOnError;

    fn from_str(text: &str) -> Result<Self, CreatedOnError> {
        let parsed = has_shape(text).then(|| text.parse().ok()).flatten();
        parsed
            .and_then(|instant| Self::written(instant, text))
            .ok_or_else(|| CreatedOnError { text: text.chars().take(64).collect() })
    }
}

/// Whether a text is shaped as RFC 3339 has it, which is stricter than what is parsed.
fn has_shape(text: &str) -> bool {
    let shaped = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                b'+' => matches!(byte, b'+' | b'-'),
                _ => byte == shape,
            })
    };
    let Some((start, rest)) = text.as_bytes().split_at_checked(19) else { return false };
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        None => rest,
    };
    shaped(start, b"0000-00-00T00:00:00") && (rest == b"Z" || shaped(rest, b"+00:00"))
}

impl From<Timestamp> for CreatedOn {
    /// In UTC, with as many digits of a second as the instant has.
    fn from(instant: Timestamp) -> Self {
        Self::written(instant, &instant.to_string()).unwrap_or_default()
    }
}

impl Default for CreatedOn {
    /// Never: the zero time of Go, which is taken as missing.
    fn default() -> Self {
        let mut text = [0; LONGEST];
        for (kept, byte) in text.iter_mut().zip(NEVER.bytes()) {
            *kept = byte;
        }
        Self { instant: never(), text, length: 20 }
    }
}

fn never() -> Timestamp {
    jiff::civil::date(1, 1, 1)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_or(Timestamp::MIN, |zoned| zoned.timestamp())
}

impl fmt::Debug for CreatedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for CreatedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The same instant, however it was written.
impl PartialEq for CreatedOn {
    fn eq(&self, other: &Self) -> bool {
        self.instant == other.instant
    }
}

impl Eq for CreatedOn {}

impl PartialOrd for CreatedOn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CreatedOn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.instant.cmp(&other.instant)
    }
}

impl Serialize for CreatedOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CreatedOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = CreatedOn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in RFC 3339")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CreatedOn, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl Field for CreatedOn {
    fn is_blank(&self) -> bool {
        self.instant == never()
    }
}

impl JsonSchema for CreatedOn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CreatedOn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_time_is_written_back_as_it_was_read() {
        for text in [
            "2006-01-02T15:04:05Z",
            "2018-10-18T14:20:30.000123456Z",
            "2018-10-18T14:20:30.100Z",
            "2018-10-18T14:20:30.123456789-05:00",
            "2000-01-01T00:00:00.000000000-00:00",
            "9999-12-30T23:59:59.999999999+14:00",
            "0001-01-01T00:00:00Z",
        ] {
            let time: CreatedOn = text.parse().unwrap();
            assert_eq!(time.as_str(), text);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2006-01-02",
            "2006-01-02 15:04:05Z",
            "2006-01-02T15:04:05",
            "2006-01-02t15:04:05z",
            "2006-01-02T15:04:05.Z",
            "2006-01-02T15:04:05.1234567890Z",
            "2006-01-02T15:04:05+0700",
            "2006-01-02T15:04:05Z[UTC]",
            "2006-13-02T15:04:05Z",
            "2006-02-30T15:04:05Z",
            "２006-02-30T15:04:05Z",
        ] {
            assert!(text.parse::<CreatedOn>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_is_written_in_utc() {
        let time = CreatedOn::from(Timestamp::new(1_539_872_430, 123_456).unwrap());
        assert_eq!(time.as_str(), "2018-10-18T14:20:30.000123456Z");
        assert_eq!(time, "2018-10-18T09:20:30.000123456-05:00".parse().unwrap());
        assert!(CreatedOn::default().is_blank());
    }
}
