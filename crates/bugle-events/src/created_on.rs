//! The time at which an event was created.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::Field;
use crate::rfc3339;

/// The greatest length of a time's text: nine digits of a second and an offset.
const LONGEST: usize = "2006-01-02T15:04:05.000000000-07:00".len();

/// The year 1, where Go's zero time lies: it stands for a missing time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The instant of [`NEVER`], in seconds of Unix time.
const NEVER_SECOND: i64 = -62_135_596_800;

/// The time at which an event was created: an instant with its nanoseconds, and the text that it
/// was read from, which is written back.
///
/// It takes each text that Go's `time.Time` takes from JSON, also where RFC 3339 differs: any year
/// from 0000 to 9999; `T` and `Z` in capitals; an hour of one digit; a fraction after a point or a
/// comma; offsets up to `24:60`. It takes no leap second. Digits of a second after the ninth are
/// left out.
#[derive(Clone, Copy)]
pub struct CreatedOn {
    /// The instant: seconds of Unix time, and nanoseconds after them. A `Timestamp` can't hold the
    /// last day of the year 9999.
    second: i64,
    nanosecond: i32,
    text: [u8; LONGEST],
    length: u8,
}

impl CreatedOn {
    /// Now.
    pub fn now() -> Self {
        Timestamp::now().into()
    }

    /// The instant. An instant in the last hours of the year 9999, beyond what a `Timestamp` can
    /// hold, becomes the last that it can.
    pub fn instant(self) -> Timestamp {
        Timestamp::new(self.second, self.nanosecond).unwrap_or(Timestamp::MAX)
    }

    /// The text as it was written: `2018-10-18T14:20:30.000123456-05:00`.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..usize::from(self.length));
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or(NEVER)
    }

    /// Joins these two texts into the written form; `None` when they are too long.
    fn written((second, nanosecond): (i64, i32), head: &[u8], tail: &[u8]) -> Option<Self> {
        let mut text = [0; LONGEST];
        let (front, back) = text.split_at_mut_checked(head.len())?;
        front.copy_from_slice(head);
        back.get_mut(..tail.len())?.copy_from_slice(tail);
        let length = u8::try_from(head.len() + tail.len()).ok()?;
        Some(Self { second, nanosecond, text, length })
    }
}

/// The text is no time in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time in RFC 3339: write it like 2006-01-02T15:04:05.123456789Z")]
pub struct CreatedOnError {
    text: String,
}

impl FromStr for CreatedOn {
    type Err = CreatedOnError;

    fn from_str(text: &str) -> Result<Self, CreatedOnError> {
        rfc3339::read(text.as_bytes())
            .and_then(|read| Self::written((read.second, read.nanosecond), read.head, read.zone))
            .ok_or_else(|| CreatedOnError { text: text.chars().take(64).collect() })
    }
}

impl From<Timestamp> for CreatedOn {
    /// The time in UTC, with as many digits of a second as the instant has.
    fn from(instant: Timestamp) -> Self {
        // What is before the second is counted from the second before it.
        let (second, nanosecond) = match instant.subsec_nanosecond() {
            before @ ..0 => (instant.as_second() - 1, before + 1_000_000_000),
            after => (instant.as_second(), after),
        };
        let text = instant.to_string();
        Self::written((second, nanosecond), text.as_bytes(), b"").unwrap_or_default()
    }
}

impl Default for CreatedOn {
    /// The zero time of Go, which stands for a missing time.
    fn default() -> Self {
        let mut text = [0; LONGEST];
        for (kept, byte) in text.iter_mut().zip(NEVER.bytes()) {
            *kept = byte;
        }
        Self { second: NEVER_SECOND, nanosecond: 0, text, length: 20 }
    }
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

/// Compares instants, not the texts.
impl PartialEq for CreatedOn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
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
        (self.second, self.nanosecond).cmp(&(other.second, other.nanosecond))
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
        (self.second, self.nanosecond) == (NEVER_SECOND, 0)
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
    fn what_go_takes_for_a_time_is_one_and_is_written_back_as_it_was_read() {
        for (text, second, nanosecond) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2006-01-02T15:04:05Z", 1_136_214_245, 0),
            ("2018-10-18T14:20:30.000123456Z", 1_539_872_430, 123_456),
            ("2018-10-18T14:20:30.100Z", 1_539_872_430, 100_000_000),
            ("2018-10-18T14:20:30.123456789-05:00", 1_539_890_430, 123_456_789),
            ("2000-01-01T00:00:00.000000000-00:00", 946_684_800, 0),
            ("1969-12-31T23:59:59.25Z", -1, 250_000_000),
            // The first and the last of the four-digit years, and the hours about them.
            ("0000-01-01T00:00:00Z", -62_167_219_200, 0),
            ("0000-02-29T00:00:00+23:59", -62_162_121_600 - 86_340, 0),
            ("0001-01-01T00:00:00Z", NEVER_SECOND, 0),
            ("9999-12-30T23:59:59.999999999+14:00", 253_402_214_399 - 50_400, 999_999_999),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
            ("9999-12-31T23:59:59.999999999-23:59", 253_402_300_799 + 86_340, 999_999_999),
            // Go is more lenient than RFC 3339.
            ("2006-01-02T5:04:05Z", 1_136_178_245, 0),
            ("2006-01-02T15:04:05,5Z", 1_136_214_245, 500_000_000),
            ("2006-01-02T15:04:05+24:60", 1_136_214_245 - 90_000, 0),
        ] {
            let time: CreatedOn = text.parse().unwrap();
            assert_eq!(time.as_str(), text);
            assert_eq!((time.second, time.nanosecond), (second, nanosecond), "{text}");
            let instant = Timestamp::new(second, nanosecond).unwrap_or(Timestamp::MAX);
            assert_eq!(time.instant(), instant, "{text}");
        }
    }

    #[test]
    fn a_second_has_nine_digits() {
        for (text, kept) in [
            ("2006-01-02T15:04:05.1234567890Z", "2006-01-02T15:04:05.123456789Z"),
            ("2006-01-02T15:04:05.1234567899-07:00", "2006-01-02T15:04:05.123456789-07:00"),
            (
                "2006-01-02T15:04:05.00000000000000000000000000000000000000000000000001Z",
                "2006-01-02T15:04:05.000000000Z",
            ),
        ] {
            let time: CreatedOn = text.parse().unwrap();
            assert_eq!(time.as_str(), kept);
            assert_eq!(time, kept.parse().unwrap());
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
            "2006-01-02t15:04:05Z",
            "2006-01-02T15:04:05z",
            "2006-01-02T15:04:05.Z",
            "2006-01-02T15:04:05,Z",
            "2006-01-02T15:04:05.-5Z",
            "2006-01-02T15:04Z",
            "2006-01-02T15:04:5Z",
            "2006-01-02T15:4:05Z",
            "2006-1-02T15:04:05Z",
            "2006-01-2T15:04:05Z",
            "2006-01-02T:04:05Z",
            "2006-01-02T015:04:05Z",
            "206-01-02T15:04:05Z",
            "+2006-01-02T15:04:05Z",
            "-2006-01-02T15:04:05Z",
            "12006-01-02T15:04:05Z",
            "2006-01-02T15:04:05+0700",
            "2006-01-02T15:04:05+07",
            "2006-01-02T15:04:05+7:00",
            "2006-01-02T15:04:05+24:61",
            "2006-01-02T15:04:05+25:00",
            "2006-01-02T15:04:05Z[UTC]",
            "2006-01-02T15:04:05ZZ",
            "2006-01-02T15:04:05Z ",
            " 2006-01-02T15:04:05Z",
            "2006-00-02T15:04:05Z",
            "2006-13-02T15:04:05Z",
            "2006-01-00T15:04:05Z",
            "2006-02-30T15:04:05Z",
            "2007-02-29T15:04:05Z",
            "1900-02-29T15:04:05Z",
            "2006-01-02T24:00:00Z",
            "2006-01-02T15:60:00Z",
            // Leap seconds, those that there were, too.
            "2016-12-31T23:59:60Z",
            "2006-01-02T15:04:60Z",
            "２006-02-30T15:04:05Z",
        ] {
            assert!(text.parse::<CreatedOn>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_in_their_order() {
        let times = [
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.25Z",
            "1969-12-31T23:59:59.5Z",
            "2006-01-02T15:04:05+01:00",
            "2006-01-02T15:04:05Z",
            "9999-12-31T23:59:58.5Z",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-01:00",
        ]
        .map(|text| text.parse::<CreatedOn>().unwrap());
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }

    #[test]
    fn an_instant_is_written_in_utc() {
        let time = CreatedOn::from(Timestamp::new(1_539_872_430, 123_456).unwrap());
        assert_eq!(time.as_str(), "2018-10-18T14:20:30.000123456Z");
        assert_eq!(time, "2018-10-18T09:20:30.000123456-05:00".parse().unwrap());
        let before = CreatedOn::from(Timestamp::new(-1, -750_000_000).unwrap());
        assert_eq!(before, "1969-12-31T23:59:58.25Z".parse().unwrap());
        assert_eq!(before.instant().to_string(), "1969-12-31T23:59:58.25Z");
        assert!(CreatedOn::default().is_blank());
        assert!("0001-01-01T00:00:00.000Z".parse::<CreatedOn>().unwrap().is_blank());
    }
}
