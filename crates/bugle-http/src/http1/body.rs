//! Finds the end of an answer's body.

/// The most bytes of chunk extensions, and of trailers, in one body: 16 KiB each, as in hyper.
const MAX_EXTRA: usize = 16 * 1024;

/// The way in which a body ends, and its distance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes are left.
    Length(u64),
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClose,
    /// The end is unknown, as the headers can't be relied on: none of the body is read.
    Unknown,
}

/// The next part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// Some of its bytes; never none.
    Data(&'a [u8]),
    /// All bytes are taken, and more of the body is to come.
    More,
    /// The body was whole.
    End,
    /// The body breaks its own framing.
    Broken,
}

impl Framing {
    pub(crate) fn chunked() -> Self {
        Self::Chunked(Chunks { part: Part::Size(None), left: 0, extra: 0 })
    }

    /// The least length of the body, as far as its head says.
    pub(crate) fn announced(&self) -> u64 {
        match self {
            Self::Length(length) => *length,
            _ => 0,
        }
    }

    /// Takes the next part from the front of these bytes.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Next<'a> {
        match self {
            Self::Length(0) => Next::End,
            Self::Length(left) => data(left, bytes),
            Self::Chunked(chunks) => chunks.next(bytes),
            Self::UntilClose => {
                let mut endless = u64::MAX;
                data(&mut endless, bytes)
            }
            Self::Unknown => Next::Broken,
        }
    }

    /// True when the body is whole if the connection ends here.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}

/// Takes as many of the remaining bytes as there are.
fn data<'a>(left: &mut u64, bytes: &mut &'a [u8]) -> Next<'a> {
    if bytes.is_empty() {
        return Next::More;
    }
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    let (data, rest) = bytes.split_at(length);
    *bytes = rest;
    *left -= length as u64;
    Next::Data(data)
}

/// Chunks, read byte by byte except for their data (RFC 9112, 7.1). A line may end in LF alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunks {
    part: Part,
    /// The rest of the chunk, in bytes.
    left: u64,
    /// The number of bytes of extensions, or of trailers, that have come.
    extra: usize,
}

/// The part of a chunk that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A digit of the size, with the value of the digits so far.
    Size(Option<u64>),
    /// The rest of the size's line: spaces, and an extension, which is ignored. True when the
    /// extension has begun.
    Extension(bool),
    /// The LF of the size's line.
    SizeEnd,
    Data,
    /// The end of the line behind the data; true when its CR has come.
    DataEnd(bool),
    /// A line behind the last chunk, which may have text, and whose CR may have come.
    Trailer {
        empty: bool,
        cr: bool,
    },
    Over,
}

impl Chunks {
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Next<'a> {
        loop {
            match self.part {
                Part::Over => return Next::End,
                Part::Data if self.left == 0 => self.part = Part::DataEnd(false),
                Part::Data => return data(&mut self.left, bytes),
                part => {
                    let Some((byte, rest)) = bytes.split_first() else { return Next::More };
                    *bytes = rest;
                    match self.step(part, *byte) {
                        Some(part) => self.part = part,
                        None => return Next::Broken,
                    }
                }
            }
        }
    }

    /// The part after this byte; `None` if the byte can't stand there.
    fn step(&mut self, part: Part, byte: u8) -> Option<Part> {
        match (part, byte) {
            (Part::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from(char::from(byte).to_digit(16)?);
                let size = size.unwrap_or(0).checked_mul(16)?.checked_add(digit)?;
                Some(Part::Size(Some(size)))
            }
            (Part::Size(Some(size)), _) => {
                self.left = size;
                match byte {
                    b'\r' => Some(Part::SizeEnd),
                    b'\n' => Some(self.after_size()),
                    b' ' | b'\t' => Some(Part::Extension(false)),
                    b';' => Some(Part::Extension(true)),
                    _ => None,
                }
            }
            (Part::Extension(_), b'\r') => Some(Part::SizeEnd),
            (Part::Extension(_), b'\n') => Some(self.after_size()),
            (Part::Extension(false), b' ' | b'\t') => self.count(part),
            (Part::Extension(false), b';') => self.count(Part::Extension(true)),
            (Part::Extension(true), _) => self.count(part),
            (Part::SizeEnd, b'\n') => Some(self.after_size()),
            (Part::DataEnd(false), b'\r') => Some(Part::DataEnd(true)),
            (Part::DataEnd(_), b'\n') => Some(Part::Size(None)),
            (Part::Trailer { empty, cr: false }, b'\r') => Some(Part::Trailer { empty, cr: true }),
            (Part::Trailer { empty: true, .. }, b'\n') => Some(Part::Over),
            (Part::Trailer { empty: false, .. }, b'\n') => {
                self.count(Part::Trailer { empty: true, cr: false })
            }
            (Part::Trailer { cr: false, .. }, _) => {
                self.count(Part::Trailer { empty: false, cr: false })
            }
            _ => None,
        }
    }

    fn after_size(&mut self) -> Part {
        if self.left > 0 {
            return Part::Data;
        }
        self.extra = 0;
        Part::Trailer { empty: true, cr: false }
    }

    fn count(&mut self, next: Part) -> Option<Part> {
        self.extra += 1;
        (self.extra < MAX_EXTRA).then_some(next)
    }
}
