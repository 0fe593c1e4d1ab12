//! Points in time, as callers have them: instants, dates, or the text of either.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A point in time, wherever a query asks for one: an instant (a [`Timestamp`] or a [`Zoned`]), a
/// [`Date`] alone, which means its start in UTC, or the text of either. A text may be anything, so
/// a setter that takes one answers a `Result`.
///
/// ```
/// use bugle_core::AttemptQuery;
/// use jiff::{Timestamp, civil::date};
///
/// let query = AttemptQuery::new().after(date(2026, 11, 22)).before(Timestamp::now());
/// let same = AttemptQuery::new().after("2026-11-22")?.before("2026-11-22T09:30:00Z")?;
/// assert_eq!(query.after, same.after);
/// # Ok::<(), bugle_core::TimeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no point in time",
    note = "give an instant (`Timestamp`, `Zoned`), a date (`jiff::civil::Date`), or a text of \
            either"
)]
pub trait PointInTime {
    /// A value that was made with the instant: itself, or a `Result` where the point in time is a
    /// text that may be none.
    type Made<T>;

    /// Makes something with the instant.
    fn make<T>(self, with: impl FnOnce(Timestamp) -> T) -> Self::Made<T>;
}

/// A text that is neither an instant nor a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is neither an instant, as 2026-11-22T09:30:00Z or with an offset, nor a date, as \
     2026-11-22, which means its start in UTC"
)]
#[non_exhaustive]
pub struct TimeError {
    /// The text, cut to its first 64 characters.
    pub text: String,
}

impl TimeError {
    /// A name for the kind of error that stays the same from version to version: `invalidTime`.
    pub fn code(&self) -> &'static str {
        "invalidTime"
    }
}

impl PointInTime for Timestamp {
    type Made<T> = T;
    fn make<T>(self, with: impl FnOnce(Timestamp) -> T) -> T {
        with(self)
    }
}

impl PointInTime for Zoned {
    type Made<T> = T;
    fn make<T>(self, with: impl FnOnce(Timestamp) -> T) -> T {
        with(self.timestamp())
    }
}

impl PointInTime for Date {
    type Made<T> = T;
    fn make<T>(self, with: impl FnOnce(Timestamp) -> T) -> T {
        with(start_of(self))
    }
}

impl PointInTime for &str {
    type Made<T> = Result<T, TimeError>;
    fn make<T>(self, with: impl FnOnce(Timestamp) -> T) -> Result<T, TimeError> {
        read(self).map(with).ok_or_else(|| TimeError { text: self.chars().take(64).collect() })
    }
}

impl PointInTime for String {
    type Made<T> = Result<T, TimeError>;
    fn make<T>(self, with: impl FnOnce(Timestamp) -> T) -> Result<T, TimeError> {
        self.as_str().make(with)
    }
}

impl PointInTime for &String {
    type Made<T> = Result<T, TimeError>;
    fn make<T>(self, with: impl FnOnce(Timestamp) -> T) -> Result<T, TimeError> {
        self.as_str().make(with)
    }
}

/// The start of a date in UTC. The last two days that a date can be have one that no instant can
/// be.
fn start_of(date: Date) -> Timestamp {
    let latest = if date.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    date.to_zoned(TimeZone::UTC).map_or(latest, |start| start.timestamp())
}

fn read(text: &str) -> Option<Timestamp> {
    // jiff reads a date from the text of an instant too, and leaves out the time.
    let is_date = !text.contains(['T', 't', ' ', ':']);
    if is_date { text.parse().ok().map(start_of) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn instants_dates_and_their_texts_are_points_in_time() -> Result<(), Box<dyn std::error::Error>>
    {
        let start: Timestamp = "2026-11-22T00:00:00Z".parse()?;
        assert_eq!(start.make(|at| at), start);
        assert_eq!(date(2026, 11, 22).make(|at| at), start);
        assert_eq!(start.to_zoned(TimeZone::fixed(jiff::tz::offset(5))).make(|at| at), start);
        for text in [
            "2026-11-22",
            "2026-11-22T00:00:00Z",
            "2026-11-22 00:00:00Z",
            "2026-11-22T02:00:00+02:00",
            "2026-11-22T00:00:00.000000000Z",
        ] {
            assert_eq!(text.make(|at| at)?, start, "{text}");
            assert_eq!(text.to_owned().make(|at| at)?, start, "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2h",
            "2026-11",
            "2026-11-31",
            "2026-11-22T09:30:00",
            "2026-11-22 09:30",
            "22.11.2026",
            "1700000000",
            " 2026-11-22",
        ] {
            let error = TimeError { text: text.to_owned() };
            assert_eq!(text.make(|at| at), Err(error), "{text}");
        }
        assert_eq!(Date::MAX.make(|at| at), Timestamp::MAX);
        assert_eq!(Date::MIN.make(|at| at), Timestamp::MIN);
        Ok(())
    }
}
