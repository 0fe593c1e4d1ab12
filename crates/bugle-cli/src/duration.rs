//! Durations on the command line: `500ms`, `5s`, `2m`, `1h30m`, or a number of seconds.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads a duration, for clap.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "write it like 500ms, 5s, 2m or 1h; a number alone is seconds".to_owned();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let table = [
            ("500ms", 500),
            ("5s", 5_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("7", 7_000),
            ("0.25", 250),
            ("0", 0),
        ];
        for (text, milliseconds) in table {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "-5s", "-1", "soon", "5 parsecs", "NaN", "1e300"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
