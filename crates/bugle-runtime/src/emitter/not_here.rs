//! The place of an emitter that another owner has: whatever it is asked, that is the answer.

use bugle_core::{
    Answer, Backlog, Entry, Fate, Forgive, JournalError, Reader, ReaderInfo, Sequence, Setback,
    Setbacks, Settlement,
};
use jiff::Timestamp;

/// A reader of an emitter that this runtime never had.
#[derive(Debug)]
pub(crate) struct NotHere {
    /// The store said this.
    error: JournalError,
}

impl NotHere {
    pub(crate) fn new(error: JournalError) -> Self {
        Self { error }
    }

    fn fenced<T>(&self) -> Answer<'static, Result<T, JournalError>> {
        Answer::now(Err(self.error.clone()))
    }
}

impl Reader for NotHere {
    fn read(&self, _: Sequence, _: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>> {
        self.fenced()
    }

    fn settle(&self, _: Sequence, _: Settlement) -> Answer<'static, Result<(), JournalError>> {
        self.fenced()
    }

    fn set_back(&self, _: &Setback, _: Timestamp) -> Answer<'static, Result<(), JournalError>> {
        self.fenced()
    }

    fn setbacks(&self, _: Timestamp) -> Setbacks {
        Setbacks::default()
    }

    fn forgive(&self, _: Forgive) -> Answer<'static, Result<(), JournalError>> {
        self.fenced()
    }

    /// Nothing is meant for it here.
    fn info(&self) -> ReaderInfo {
        let nowhere = Sequence(u64::MAX);
        ReaderInfo::new(nowhere, Sequence::START, 0, 0, 0)
    }

    fn fate(&self, _: Sequence) -> Answer<'_, Result<Option<Fate>, JournalError>> {
        self.fenced()
    }

    fn pause(&self, _: Backlog) -> Answer<'static, Result<(), JournalError>> {
        self.fenced()
    }

    fn resume(&self) -> Answer<'static, Result<(), JournalError>> {
        self.fenced()
    }
}
