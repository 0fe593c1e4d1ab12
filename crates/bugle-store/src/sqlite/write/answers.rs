//! Telling those who wait.
//!
//! To wake a task of another thread takes a system call, for each of them. So those who wait in one
//! tokio runtime are told by one task of that runtime, for which they are its own.

use bugle_core::{JournalError, Sequence};
use futures_channel::oneshot;
use tokio::runtime::Handle;

use super::append_queue::Append;

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) struct Asker<T> {
    answer: oneshot::Sender<T>,
    /// Where it waits, if that is known.
    runtime: Option<Handle>,
}

/// Who waits for something to be done.
pub(crate) type Waiter = Asker<Result<(), JournalError>>;

impl<T> Asker<T> {
    /// Someone who waits here.
    pub(crate) fn here() -> (Self, oneshot::Receiver<T>) {
        let (answer, answered) = oneshot::channel();
        (Self { answer, runtime: Handle::try_current().ok() }, answered)
    }

    /// Whether it has stopped waiting.
    pub(crate) fn is_gone(&self) -> bool {
        self.answer.is_canceled()
    }

    /// Tells it, if it still waits.
    pub(crate) fn tell(self, what: T) {
        let _ = self.answer.send(what);
    }
}

/// An answer, and whom it is for.
enum Told {
    /// An append, and its first event's place.
    Appended(Append, Sequence),
    Done(Waiter, Result<(), JournalError>),
}

impl Told {
    fn runtime(&self) -> Option<&Handle> {
        match self {
            Self::Appended(append, _) => append.caller.runtime(),
            Self::Done(waiter, _) => waiter.runtime.as_ref(),
        }
    }
}

/// The answers of one transaction. They are told when this is dropped, and so at any rate.
#[derive(Default)]
pub(crate) struct Answers(Vec<Told>);

impl Answers {
    /// It is appended.
    pub(crate) fn appended(&mut self, append: Append, first: Sequence) {
        self.0.push(Told::Appended(append, first));
    }

    /// It is done, or can't be.
    pub(crate) fn done(&mut self, waiter: Waiter, what: &Result<(), JournalError>) {
        self.0.push(Told::Done(waiter, what.clone()));
    }

    /// Tells all of them, each where it waits.
    pub(crate) fn tell(mut self) {
        while self.0.len() > 1 {
            let Some(runtime) = self.0.iter().find_map(Told::runtime).cloned() else { break };
            let id = runtime.id();
            let is_there = |told: &mut Told| told.runtime().is_some_and(|it| it.id() == id);
            let there = Self(self.0.extract_if(.., is_there).collect());
            runtime.spawn(async move { drop(there) });
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        for told in self.0.drain(..) {
            match told {
                Told::Appended(append, first) => append.caller.tell(Ok(first)),
                Told::Done(waiter, what) => waiter.tell(what),
            }
        }
    }
}
