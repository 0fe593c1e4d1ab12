//! Durations in JSON: a number of milliseconds, to the nanosecond.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes a duration.
pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_nanos() as f64 / 1e6)
}

/// Reads a duration that was written so.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let milliseconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(milliseconds / 1e3).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use crate::Elapsed;

    use super::*;

    #[test]
    fn phases_are_numbers_of_milliseconds_and_are_read_back() {
        let elapsed = Elapsed {
            resolve: Duration::from_micros(1_500),
            first_byte: Duration::from_nanos(1),
            total: Duration::from_secs(86_400) + Duration::from_nanos(7),
            ..Elapsed::default()
        };
        let json = serde_json::to_value(elapsed).unwrap();
        let expected = serde_json::json!({"resolve_ms": 1.5, "connect_ms": 0.0, "tls_ms": 0.0,
            "first_byte_ms": 0.000001, "elapsed_ms": 86_400_000.000007});
        assert_eq!(json, expected);
        let read: Elapsed = serde_json::from_value(json).unwrap();
        assert_eq!(read, elapsed);
        assert!(serde_json::from_str::<Elapsed>("{\"resolve_ms\": -1}").is_err());
    }
}
