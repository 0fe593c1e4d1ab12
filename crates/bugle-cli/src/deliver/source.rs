//! The lines, read and parsed on a thread of their own: standard input may block for ever.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::sync::mpsc;

use super::args::DeliverArgs;
use super::line::{self, NewEvent};
use crate::error::CliError;
use crate::ui;

/// How many parsed lines wait to be emitted at most.
const AHEAD: usize = 256;

const READ_BUFFER: usize = 256 * 1024;

/// Room in a line for what stands around its payload.
const ENVELOPE: usize = 8 * 1024;

/// One line that was read.
pub(super) enum Read {
    Line {
        /// Its number in the file; the first is 1.
        number: u64,
        event: Result<NewEvent, String>,
    },
    /// Reading failed: nothing follows.
    Broken(String),
}

/// Where the lines come from.
pub(super) struct Source {
    lines: mpsc::Receiver<Read>,
    bytes: Bytes,
}

/// How much of the input was read.
#[derive(Clone)]
pub(super) struct Bytes {
    read: Arc<AtomicU64>,
    /// The length of the file, if it is one.
    pub(super) total: Option<u64>,
}

impl Bytes {
    /// The part that was read, from 0 to 1, where the whole is known.
    pub(super) fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((self.read.load(Ordering::Relaxed) as f64 / total as f64).min(1.0))
    }
}

impl Source {
    /// Opens the file, and begins to read.
    pub(super) fn open(args: &DeliverArgs) -> Result<Self, CliError> {
        let path = &args.file;
        let (input, total): (Box<dyn io::Read + Send>, _) = if path == Path::new("-") {
            if io::stdin().is_terminal() {
                ui::note("reading events from the terminal, one a line; Ctrl-D ends them");
            }
            (Box::new(io::stdin()), None)
        } else {
            let unreadable = |e| CliError::usage(format!("{} can't be read: {e}", path.display()));
            let file = File::open(path).map_err(unreadable)?;
            let meta = file.metadata().map_err(unreadable)?;
            if meta.is_dir() {
                return Err(CliError::usage(format!("{} is a directory", path.display())));
            }
            (Box::new(file), meta.is_file().then_some(meta.len()))
        };
        let (sender, lines) = mpsc::channel(AHEAD);
        let bytes = Bytes { read: Arc::default(), total };
        let reader = Reader {
            input: BufReader::with_capacity(READ_BUFFER, input),
            limit: args.max_payload.saturating_add(ENVELOPE),
            bytes: Arc::clone(&bytes.read),
        };
        let name = args.event.clone();
        thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || reader.run(&sender, name.as_deref()))
            .map_err(|e| CliError::failed(format!("no thread to read the events with: {e}")))?;
        Ok(Self { lines, bytes })
    }

    /// How much was read.
    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The next line that is not empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Read> {
        self.lines.recv().await
    }
}

struct Reader<R> {
    input: R,
    /// The longest line, in bytes.
    limit: usize,
    bytes: Arc<AtomicU64>,
}

/// What came of reading a line.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Line,
    /// It is longer than the limit, and was passed over.
    TooLong,
    End,
}

impl<R: BufRead> Reader<R> {
    /// Reads until the end, or until nobody wants more.
    fn run(mut self, lines: &mpsc::Sender<Read>, name: Option<&str>) {
        let mut buffer = Vec::new();
        for number in 1.. {
            let event = match self.read_line(&mut buffer) {
                Ok(Found::End) => return,
                Ok(Found::TooLong) => Err(format!(
                    "it is longer than {} bytes; --max-payload raises the limit",
                    self.limit
                )),
                Ok(Found::Line) => {
                    let line = buffer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&buffer);
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    line::parse(line, name)
                }
                Err(error) => {
                    let why = format!("reading stopped behind line {}: {error}", number - 1);
                    let _ = lines.blocking_send(Read::Broken(why));
                    return;
                }
            };
            if lines.blocking_send(Read::Line { number, event }).is_err() {
                return;
            }
        }
    }

    /// Reads one line into the buffer, without the end of the line. No more than the limit is ever
    /// kept of it.
    fn read_line(&mut self, buffer: &mut Vec<u8>) -> io::Result<Found> {
        buffer.clear();
        let (mut any, mut too_long) = (false, false);
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let used = part.len() + usize::from(end.is_some());
            any |= used > 0;
            too_long |= buffer.len() + part.len() > self.limit;
            if !too_long {
                buffer.extend_from_slice(part);
            }
            let at_end = chunk.is_empty();
            self.input.consume(used);
            self.bytes.fetch_add(used as u64, Ordering::Relaxed);
            if end.is_some() || at_end {
                return Ok(match (any, too_long) {
                    (false, _) => Found::End,
                    (true, false) => Found::Line,
                    (true, true) => Found::TooLong,
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
            let mut reader = Reader { input, limit: 8, bytes: Arc::clone(&bytes) };
            let mut buffer = Vec::new();
            let mut found = Vec::new();
            loop {
                match reader.read_line(&mut buffer).unwrap() {
                    Found::End => break,
                    Found::TooLong => found.push("too long".to_owned()),
                    Found::Line => found.push(String::from_utf8(buffer.clone()).unwrap()),
                }
                assert!(buffer.len() <= 8);
            }
            assert_eq!(found, ["one", "", "12345678", "too long", "last"]);
            assert_eq!(bytes.load(Ordering::Relaxed), text.len() as u64);
        }
    }
}
