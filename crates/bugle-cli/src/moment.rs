//! Instants on the command line: a date, a date and time, or how long ago.

use bugle::Timestamp;
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::duration;
use crate::error::CliError;

/// Reads an instant, for clap. A date alone is its start in UTC.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    read(text, Timestamp::now())
}

fn read(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong = || {
        "write it like 2026-11-22 (its start in UTC), 2026-11-22T14:05:00Z, or 90m for an hour and \
         a half ago"
            .to_owned()
    };
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    // A date and time without an offset would be read as a date, and its time lost.
    if text.len() == "2026-11-22".len()
        && let Ok(date) = text.parse::<Date>()
    {
        return date.to_zoned(TimeZone::UTC).map(|it| it.timestamp()).map_err(|_| wrong());
    }
    let ago = duration::parse(text).map_err(|_| wrong())?;
    let ago = SignedDuration::try_from(ago).map_err(|_| wrong())?;
    now.checked_sub(ago).map_err(|_| wrong())
}

/// Refuses an instant in the future: nothing is on record of it, so it is a slip.
pub(crate) fn check(flag: &str, instant: Option<Timestamp>) -> Result<(), CliError> {
    match instant.filter(|instant| *instant > Timestamp::now()) {
        Some(instant) => Err(CliError::usage(format!(
            "{flag}: {} (UTC) is in the future, and nothing is on record from then on",
            shown(instant)
        ))),
        None => Ok(()),
    }
}

/// Writes an instant for people: in UTC, to the millisecond.
pub(crate) fn shown(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_people_write_them() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T10:11:12.5Z", "2026-11-20T10:11:12.5Z"),
            ("2026-11-20T10:11:12+02:00", "2026-11-20T08:11:12Z"),
            ("90m", "2026-11-22T10:30:00Z"),
            ("36h", "2026-11-21T00:00:00Z"),
        ] {
            assert_eq!(read(text, now), Ok(expected.parse().unwrap()), "{text}");
        }
        for bad in ["", "yesterday", "2026-13-01", "2026-11-20T10:11:12", "-5m"] {
            assert!(read(bad, now).is_err(), "{bad}");
        }
        assert_eq!(shown(now), "2026-11-22 12:00:00.000");
    }
}
