//! The place up to which a file was read. The store keeps it together with the events, so that a
//! run that was interrupted, by whatever, goes on there: no line is lost, and none is accepted
//! twice.

use std::fmt;
use std::path::Path;

use bugle::SourcePosition;

use super::args::DeliverArgs;
use crate::error::CliError;

/// The format of a place's text, which stands first in it.
const FORMAT: &str = "1";

/// The longest name of a source that a store takes, in bytes.
const LONGEST_NAME: usize = 256;

/// The place up to which a file was read, with a checksum of everything before it: a file that is
/// another one by now is not gone on with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of bytes before the place.
    pub(super) bytes: u64,
    /// Their CRC-32.
    pub(super) checksum: u32,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ').filter(|part| !part.is_empty());
        let (format, bytes, checksum) = (parts.next()?, parts.next()?, parts.next()?);
        if format != FORMAT || parts.next().is_some() {
            return None;
        }
        let checksum = u32::from_str_radix(checksum, 16).ok()?;
        Some(Self { bytes: bytes.parse().ok()?, checksum })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORMAT} {} {:08x}", self.bytes, self.checksum)
    }
}

/// The name under which the store knows the file.
#[derive(Debug, Clone)]
pub(super) struct SourceName(String);

impl SourceName {
    /// Takes the name that `--source` gives, or the file's path. There is none for standard input
    /// without `--source`, and none where nothing outlives the process.
    pub(super) fn of(args: &DeliverArgs) -> Result<Option<Self>, CliError> {
        if args.durable.store.is_none() {
            return Ok(None);
        }
        let name = match (&args.durable.source, &args.file) {
            (Some(name), _) => name.clone(),
            (None, Some(file)) if file != Path::new("-") => {
                let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                let path = path.canonicalize().unwrap_or(path);
                shortened(&path.to_string_lossy())
            }
            _ => return Ok(None),
        };
        let checked = SourcePosition::new(&name, "");
        checked.map_err(|error| CliError::usage(format!("--source: {error}")))?;
        Ok(Some(Self(name)))
    }

    /// Reads the place that an earlier run has reached.
    pub(super) async fn reached(
        &self,
        runtime: &bugle::Runtime,
    ) -> Result<Option<Place>, CliError> {
        let position = runtime.position(&self.0).await.map_err(CliError::store)?;
        let Some(position) = position else { return Ok(None) };
        let place = Place::parse(position.as_str());
        let unknown = || {
            CliError::usage(format!(
                "the store knows a source {:?} that is no file of events: give --source another \
                 name",
                self.0
            ))
        };
        place.map(Some).ok_or_else(unknown)
    }

    /// The position that is stored with the events that end at this place.
    pub(super) fn at(&self, place: Place) -> Result<SourcePosition, CliError> {
        SourcePosition::new(&self.0, place.to_string()).map_err(CliError::usage)
    }
}

/// Shortens a path to a source's name: its end, behind the checksum of all of it.
fn shortened(path: &str) -> String {
    let clean: String =
        path.chars().map(|char| if char.is_control() { '?' } else { char }).collect();
    if clean == path && path.len() <= LONGEST_NAME {
        return clean;
    }
    let checksum = format!("{:08x}…", crc32fast::hash(path.as_bytes()));
    let mut from = clean.len().saturating_sub(LONGEST_NAME - checksum.len());
    while !clean.is_char_boundary(from) {
        from += 1;
    }
    checksum + clean.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_anything_else_refused() {
        for place in [Place::default(), Place { bytes: u64::MAX, checksum: u32::MAX }] {
            assert_eq!(Place::parse(&place.to_string()), Some(place));
        }
        for bad in ["", "1", "1 7", "2 7 0000abcd", "1 7 xyz", "1 -7 0000abcd", "1 7 0000abcd 9"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_path_fits_and_two_differ() {
        assert_eq!(shortened("/data/events.ndjson"), "/data/events.ndjson");
        let long = |end: &str| shortened(&format!("/{}/{end}", "é".repeat(300)));
        let names = [long("a"), long("b"), shortened("/a\nb"), shortened("/a?b")];
        for (at, name) in names.iter().enumerate() {
            assert!(name.len() <= LONGEST_NAME, "{name}");
            assert!(!name.chars().any(char::is_control), "{name}");
            assert!(!names[..at].contains(name), "{name}");
        }
        let head = |first: char| format!("/{first}{}", "x".repeat(400));
        assert_ne!(shortened(&head('a')), shortened(&head('b')));
    }
}
