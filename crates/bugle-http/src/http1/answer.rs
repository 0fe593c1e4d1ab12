//! An answer, from its first byte to its end.

use super::body::Next;
use super::head::{Answer, HeadError, HeadReader};
use crate::response::{Body, Head, Reading};

/// Reads one answer from bytes that come in any pieces.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    reading: Reading,
    heads: HeadReader,
    /// The head of the final answer, once it has come.
    answer: Option<Answer>,
    body: Body,
    end: Option<End>,
}

/// The end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was whole, and another may follow on the connection.
    Clean,
    /// It was whole, and no other may follow.
    Last,
    /// Not all of it was read.
    Cut,
}

/// An answer that is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl AnswerReader {
    pub(crate) fn new(reading: Reading) -> Self {
        Self {
            reading,
            heads: HeadReader::default(),
            answer: None,
            body: Body::default(),
            end: None,
        }
    }

    /// True when the head of the final answer has come.
    pub(crate) fn has_head(&self) -> bool {
        self.answer.is_some()
    }

    /// True when its status settles the delivery.
    pub(crate) fn settles(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.head.status.is_success())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`HeadError`], when the head is refused.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<(), HeadError> {
        if self.answer.is_none() {
            let Some((answer, rest)) = self.heads.take(bytes, self.reading)? else { return Ok(()) };
            self.body = Body::new(self.reading, answer.head.status, answer.framing.announced());
            self.answer = Some(answer);
            bytes = rest;
        }
        let Some(Answer { framing, keep_alive, .. }) = &mut self.answer else { return Ok(()) };
        if self.end == Some(End::Clean) && !bytes.is_empty() {
            self.end = Some(End::Last);
        }
        while self.end.is_none() {
            self.end = match framing.next(&mut bytes) {
                Next::End if *keep_alive && bytes.is_empty() => Some(End::Clean),
                Next::End => Some(End::Last),
                Next::Broken => Some(End::Cut),
                _ if self.body.is_unwanted() => Some(End::Cut),
                Next::Data(data) if !self.body.take(data) => Some(End::Cut),
                Next::Data(_) => None,
                Next::More => return Ok(()),
            };
        }
        Ok(())
    }

    /// Ends the answer with the connection, in order or not. True when the head of the final answer
    /// had come.
    ///
    /// # Errors
    /// [`HeadError`], when the head that had come is refused.
    pub(crate) fn close(&mut self, in_order: bool) -> Result<bool, HeadError> {
        match &self.answer {
            None => self.heads.end(self.reading).map(|()| false),
            Some(answer) => {
                let whole = in_order && answer.framing.ends_with_connection();
                self.end = self.end.or(Some(if whole { End::Last } else { End::Cut }));
                Ok(true)
            }
        }
    }

    /// The part of its body that is read.
    pub(crate) fn reading(&self) -> Reading {
        self.reading
    }

    /// Takes the answer out, cut where it is not over. `None` when its head hasn't come.
    pub(crate) fn finish(&mut self) -> Option<Whole> {
        let Answer { head, .. } = self.answer.take()?;
        Some(Whole { head, body: self.body.take_kept(), end: self.end.unwrap_or(End::Cut) })
    }
}
