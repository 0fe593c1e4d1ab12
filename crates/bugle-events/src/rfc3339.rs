//! Times as Go's `time.Time` reads them from JSON, which is nearly RFC 3339.

use std::ops::RangeInclusive;

use jiff::civil::{Date, Time};

/// The start of the year 0, in seconds of Unix time.
const YEAR_ZERO_SECOND: i64 = -62_167_219_200;

/// A time and its text: all of it up to the ninth digit of the second, and the offset.
pub(crate) struct Read<'a> {
    pub(crate) second: i64,
    pub(crate) nanosecond: i32,
    pub(crate) head: &'a [u8],
    pub(crate) zone: &'a [u8],
}

/// Reads a time; `None` when the text is none.
pub(crate) fn read(text: &[u8]) -> Option<Read<'_>> {
    let mut rest = Rest(text);
    let year = rest.number(4..=4)?;
    rest.one_of(b"-")?;
    let month = rest.number(2..=2)?;
    rest.one_of(b"-")?;
    let day = rest.number(2..=2)?;
    rest.one_of(b"T")?;
    let hour = rest.number(1..=2)?;
    rest.one_of(b":")?;
    let minute = rest.number(2..=2)?;
    rest.one_of(b":")?;
    let second = rest.number(2..=2)?;
    let mut kept = text.len() - rest.0.len();
    let mut nanosecond = 0;
    if rest.one_of(b".,").is_some() {
        let mut fraction = Rest(rest.digits()?);
        let digits = fraction.0.len().min(9);
        nanosecond =
            fraction.number(digits..=digits)? * 10_i32.pow(9 - u32::try_from(digits).ok()?);
        kept += 1 + digits;
    }
    let zone = rest.0;
    let east = match rest.one_of(b"Z+-")? {
        b'Z' => 0,
        sign => {
            let hours = rest.number(2..=2)?;
            rest.one_of(b":")?;
            let minutes = rest.number(2..=2)?;
            if hours > 24 || minutes > 60 {
                return None;
            }
            let offset = i64::from(hours * 60 + minutes) * 60;
            if sign == b'-' { -offset } else { offset }
        }
    };
    let date = Date::new(i16::try_from(year).ok()?, narrow(month)?, narrow(day)?).ok()?;
    let time = Time::new(narrow(hour)?, narrow(minute)?, narrow(second)?, 0).ok()?;
    let unix = date.to_datetime(time).duration_since(Date::ZERO.at(0, 0, 0, 0)).as_secs();
    let second = unix + YEAR_ZERO_SECOND - east;
    let head = text.get(..kept)?;
    rest.0.is_empty().then_some(Read { second, nanosecond, head, zone })
}

fn narrow(number: i32) -> Option<i8> {
    i8::try_from(number).ok()
}

/// The rest of a text, which is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Takes one of these bytes.
    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        if !bytes.contains(first) {
            return None;
        }
        self.0 = rest;
        Some(*first)
    }

    /// Takes all digits at the front; `None` when there is none.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        (length > 0).then_some(digits)
    }

    /// Takes a number whose count of digits is in this range: as many as there are.
    fn number(&mut self, length: RangeInclusive<usize>) -> Option<i32> {
        let digits = self.0.iter().take(*length.end());
        let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let add = |sum: i32, digit: &u8| sum * 10 + i32::from(digit - b'0');
        length.contains(&digits).then(|| number.iter().fold(0, add))
    }
}
