//! Reads and parses lines on a thread of its own: standard input may block for ever.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use memchr::memchr;
use tokio::sync::mpsc;

use super::args::DeliverArgs;
use super::line::{self, NewEvent};
use super::place::Place;
use crate::error::CliError;
use crate::ui;

/// The most lines that are handed over together, if so many can be read without waiting: those of
/// one buffer at most.
const TOGETHER: usize = 256;

/// The most hand-overs that wait to be taken.
const AHEAD: usize = 2;

const READ_BUFFER: usize = 256 * 1024;

/// The bytes that a line may have around its payload.
const ENVELOPE: usize = 8 * 1024;

/// The outcome of reading one line.
pub(super) enum Read {
    Line {
        /// The line's number in the file; the first is 1.
        number: u64,
        event: Result<NewEvent, String>,
        /// The place in the file behind the line.
        place: Place,
    },
    /// An earlier run had accepted so many lines, and this one goes on behind them.
    Resumed(u64),
    /// Reading failed, and nothing follows.
    Broken(String),
}

/// The lines as they are read.
pub(super) struct Source {
    lines: mpsc::Receiver<Vec<Read>>,
    /// The lines that were handed over and not taken yet.
    here: std::vec::IntoIter<Read>,
    bytes: Bytes,
}

/// The bytes of the input that were read.
#[derive(Clone, Default)]
pub(super) struct Bytes {
    read: Arc<AtomicU64>,
    /// The bytes that an earlier run has read.
    before: u64,
    /// The length of the file, in bytes; `None` for standard input.
    pub(super) total: Option<u64>,
}

impl Bytes {
    /// The part of this run's input that was read, from 0 to 1, where that is known.
    pub(super) fn fraction(&self) -> Option<f64> {
        let whole = self.total?.checked_sub(self.before).filter(|whole| *whole > 0)?;
        let read = self.read.load(Ordering::Relaxed).saturating_sub(self.before);
        Some((read as f64 / whole as f64).min(1.0))
    }
}

/// An open file, or standard input.
pub(super) struct Input {
    input: Box<dyn io::Read + Send>,
    /// The length of the file, in bytes; `None` for standard input.
    total: Option<u64>,
}

impl Input {
    /// Opens the input that the arguments name; `None` where only the rest of a store is wanted.
    pub(super) fn open(args: &DeliverArgs) -> Result<Option<Self>, CliError> {
        if args.file.is_none() && args.to.is_empty() {
            return Ok(None);
        }
        let path = args.file.as_deref().unwrap_or(Path::new("-"));
        if path == Path::new("-") {
            if io::stdin().is_terminal() {
                ui::note("reading events from the terminal, one a line; Ctrl-D ends them");
            }
            return Ok(Some(Self { input: Box::new(io::stdin()), total: None }));
        }
        let unreadable = |e| CliError::unreadable(path.display(), &e);
        let file = File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if meta.is_dir() {
            return Err(CliError::Unreadable(format!("{} is a directory", path.display())));
        }
        let total = meta.is_file().then_some(meta.len());
        Ok(Some(Self { input: Box::new(file), total }))
    }
}

impl Source {
    /// Begins to read, behind the place that an earlier run has reached.
    pub(super) fn read(
        input: Input,
        args: &DeliverArgs,
        reached: Option<Place>,
    ) -> Result<Self, CliError> {
        let Input { input, total } = input;
        let (sender, lines) = mpsc::channel(AHEAD);
        let before = reached.map_or(0, |place| place.bytes);
        let bytes = Bytes { read: Arc::default(), before, total };
        let reader = Reader {
            input: BufReader::with_capacity(READ_BUFFER, input),
            limit: args.max_payload.saturating_add(ENVELOPE),
            bytes: Arc::clone(&bytes.read),
            checksum: crc32fast::Hasher::new(),
        };
        let name = args.event.clone();
        thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || reader.run(&sender, name.as_deref(), reached))
            .map_err(|e| CliError::system(format!("no thread to read the events with: {e}")))?;
        Ok(Self { lines, here: Vec::new().into_iter(), bytes })
    }

    /// The bytes that were read so far.
    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The next line that is not empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Read> {
        while self.here.len() == 0 {
            self.here = self.lines.recv().await?.into_iter();
        }
        self.here.next()
    }

    /// The next line, if it was read already.
    pub(super) fn next_now(&mut self) -> Option<Read> {
        while self.here.len() == 0 {
            self.here = self.lines.try_recv().ok()?.into_iter();
        }
        self.here.next()
    }
}

struct Reader<R> {
    input: BufReader<R>,
    /// The longest line that is taken, in bytes.
    limit: usize,
    bytes: Arc<AtomicU64>,
    /// The CRC-32 of all that was read.
    checksum: crc32fast::Hasher,
}

/// The outcome of looking for a line.
#[derive(Debug, PartialEq, Eq)]
enum NextLine {
    Line,
    /// The line is longer than the limit, and was passed over.
    TooLong,
    End,
}

impl<R: io::Read> Reader<R> {
    /// Reads until the end, or until nobody wants more.
    fn run(mut self, lines: &mpsc::Sender<Vec<Read>>, name: Option<&str>, reached: Option<Place>) {
        let mut accepted = 0;
        if let Some(place) = reached {
            let told = match self.pass_over(place) {
                Ok(count) => {
                    accepted = count;
                    Read::Resumed(count)
                }
                Err(why) => Read::Broken(why),
            };
            let ended = matches!(told, Read::Broken(_));
            if lines.blocking_send(vec![told]).is_err() || ended {
                return;
            }
        }
        let (mut buffer, mut gathered) = (Vec::new(), Vec::new());
        for number in accepted + 1.. {
            let found = self.read_line(&mut buffer);
            let ended = !matches!(found, Ok(NextLine::Line | NextLine::TooLong));
            gathered.extend(self.parsed(found, &buffer, number, name));
            // No line waits for one that is not there yet.
            let together = !ended && gathered.len() < TOGETHER && self.has_line();
            if !together && !gathered.is_empty() {
                let together = std::mem::take(&mut gathered);
                if lines.blocking_send(together).is_err() {
                    return;
                }
            }
            if ended {
                return;
            }
        }
    }

    /// Parses a line. `None` for an empty one, and for the end.
    fn parsed(
        &self,
        found: io::Result<NextLine>,
        line: &[u8],
        number: u64,
        name: Option<&str>,
    ) -> Option<Read> {
        let event = match found {
            Ok(NextLine::End) => return None,
            Ok(NextLine::TooLong) => Err(format!(
                "it is longer than {} bytes; --max-payload raises the limit",
                self.limit
            )),
            Ok(NextLine::Line) => {
                let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
                if line.trim_ascii().is_empty() {
                    return None;
                }
                line::parse(line, name)
            }
            Err(error) => {
                let why = format!("reading stopped behind line {}: {error}", number - 1);
                return Some(Read::Broken(why));
            }
        };
        Some(Read::Line { number, event, place: self.place() })
    }

    /// True when a whole line is in the buffer, so that the next one is read without waiting.
    fn has_line(&self) -> bool {
        memchr(b'\n', self.input.buffer()).is_some()
    }

    fn place(&self) -> Place {
        let bytes = self.bytes.load(Ordering::Relaxed);
        Place { bytes, checksum: self.checksum.clone().finalize() }
    }

    /// Reads up to a place, and checks that the text before it is the one that was accepted.
    /// Answers its number of lines.
    fn pass_over(&mut self, place: Place) -> Result<u64, String> {
        const REMEDY: &str = "--again accepts all of it anew, --source NAME tells two files apart";
        let mut lines = 0;
        let mut left = place.bytes;
        while left > 0 {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("it can't be read: {error}")),
            };
            if chunk.is_empty() {
                return Err(format!(
                    "it is shorter than what an earlier run has accepted of it ({} bytes): \
                     {REMEDY}",
                    place.bytes
                ));
            }
            let used = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let part = chunk.get(..used).unwrap_or_default();
            lines += part.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.take(used);
            left -= used as u64;
        }
        match self.place() == place {
            true => Ok(lines),
            false => Err(format!(
                "its first {} bytes, which an earlier run has accepted, are not the same any more: \
                 {REMEDY}",
                place.bytes
            )),
        }
    }

    /// Takes bytes out of the buffer, and counts them.
    fn take(&mut self, used: usize) {
        if let Ok(chunk) = self.input.fill_buf() {
            // They are there: who calls has seen them.
            self.checksum.update(chunk.get(..used).unwrap_or_default());
        }
        self.input.consume(used);
        self.bytes.fetch_add(used as u64, Ordering::Relaxed);
    }

    /// Reads one line into the buffer, without its end. The buffer never keeps more than the limit
    /// of it.
    fn read_line(&mut self, buffer: &mut Vec<u8>) -> io::Result<NextLine> {
        buffer.clear();
        let (mut any, mut too_long) = (false, false);
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = memchr(b'\n', chunk);
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let used = part.len() + usize::from(end.is_some());
            any |= used > 0;
            too_long |= buffer.len() + part.len() > self.limit;
            if !too_long {
                buffer.extend_from_slice(part);
            }
            let at_end = chunk.is_empty();
            self.take(used);
            if end.is_some() || at_end {
                return Ok(match (any, too_long) {
                    (false, _) => NextLine::End,
                    (true, false) => NextLine::Line,
                    (true, true) => NextLine::TooLong,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_wherever_the_buffer_ends() {
        let text = b"one\n\n12345678\n123456789\nlast";
        for capacity in 1..12 {
            let input = BufReader::with_capacity(capacity, &text[..]);
            let bytes = Arc::<AtomicU64>::default();
            let checksum = crc32fast::Hasher::new();
            let mut reader = Reader { input, limit: 8, bytes: Arc::clone(&bytes), checksum };
            let mut buffer = Vec::new();
            let mut found = Vec::new();
            loop {
                match reader.read_line(&mut buffer).unwrap() {
                    NextLine::End => break,
                    NextLine::TooLong => found.push("too long".to_owned()),
                    NextLine::Line => found.push(String::from_utf8(buffer.clone()).unwrap()),
                }
                assert!(buffer.len() <= 8);
            }
            assert_eq!(found, ["one", "", "12345678", "too long", "last"]);
            assert_eq!(bytes.load(Ordering::Relaxed), text.len() as u64);
            let checksum = crc32fast::hash(text);
            assert_eq!(reader.place(), Place { bytes: text.len() as u64, checksum });
        }
    }

    #[test]
    fn an_interrupted_run_goes_on_behind_its_last_line() {
        let text = "{\"a\":1}\n\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}";
        let read = |text: &'static str, reached: Option<Place>| {
            let (sender, mut lines) = mpsc::channel(16);
            let input = BufReader::with_capacity(5, text.as_bytes());
            let checksum = crc32fast::Hasher::new();
            let reader = Reader { input, limit: 100, bytes: Arc::default(), checksum };
            reader.run(&sender, Some("x"), reached);
            drop(sender);
            std::iter::from_fn(move || lines.blocking_recv()).flatten().collect::<Vec<_>>()
        };
        let numbers = |all: &[Read]| -> Vec<u64> {
            let number = |read: &Read| match read {
                Read::Line { number, .. } => Some(*number),
                _ => None,
            };
            all.iter().filter_map(number).collect()
        };
        let whole = read(text, None);
        assert_eq!(numbers(&whole), [1, 3, 4, 5]);
        for (at, line) in whole.iter().enumerate() {
            let Read::Line { number, place, .. } = line else { panic!("no line") };
            let rest = read(text, Some(*place));
            // The last line has no end: a file that grows goes on within it.
            let passed = if *number == 5 { 4 } else { *number };
            assert!(matches!(rest[0], Read::Resumed(lines) if lines == passed), "{number}");
            assert_eq!(numbers(&rest), numbers(&whole[at + 1..]));
            for changed in ["{\"a\":0}\n\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}", "{\"a\":"] {
                let refused = read(changed, Some(*place));
                assert!(matches!(&refused[..], [Read::Broken(_)]), "{number}");
            }
        }
    }
}
