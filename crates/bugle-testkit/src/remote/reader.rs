//! The port `Reader`, elsewhere.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Backlog, EmitterId, Entry, Fate, Forgive, JournalError, Reader, ReaderInfo, Sequence,
    Setback, Setbacks, Settlement,
};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::line::Line;
use super::numbers::{entry_out, exactly, inner, letter_in, outer, setbacks_out};

/// The answer to a change that was handed over.
type Done = Answer<'static, Result<(), JournalError>>;

/// A reader whose answers come late, until its emitter is lost.
pub(super) struct RemoteReader {
    line: Arc<Line>,
    reader: Arc<dyn Reader>,
    emitter: EmitterId,
    losses: u64,
    /// As it was at the last answer.
    info: Arc<Mutex<ReaderInfo>>,
}

impl RemoteReader {
    pub(super) fn new(
        line: Arc<Line>,
        reader: Arc<dyn Reader>,
        emitter: EmitterId,
        losses: u64,
    ) -> Self {
        let info = Arc::new(Mutex::new(info_out(reader.info())));
        Self { line, reader, emitter, losses, info }
    }

    fn owned(&self) -> Result<(), JournalError> {
        self.line.owned(&self.emitter, self.losses)
    }

    /// Hands a change of this emitter over, unless it is lost by then.
    fn change(&self, change: impl FnOnce(&dyn Reader) -> Done + Send + 'static) -> Done {
        if let Err(lost) = self.owned() {
            return Answer::now(Err(lost));
        }
        let [line, again] = [Arc::clone(&self.line), Arc::clone(&self.line)];
        let (reader, info) = (Arc::clone(&self.reader), Arc::clone(&self.info));
        let (emitter, losses) = (self.emitter.clone(), self.losses);
        let mine = emitter.clone();
        let theirs = Arc::clone(&reader);
        let changed = line.hand_over(move || match again.owned(&mine, losses) {
            Ok(()) => change(&*theirs),
            Err(lost) => Answer::now(Err(lost)),
        });
        Answer::later(async move {
            let changed = changed.await;
            line.owned(&emitter, losses)?;
            *info.lock() = info_out(reader.info());
            changed
        })
    }
}

fn info_out(info: ReaderInfo) -> ReaderInfo {
    let ReaderInfo { since, cursor, depth, dropped, dead_letters, .. } = info;
    ReaderInfo::new(outer(since), outer(cursor), depth, dropped, dead_letters)
}

impl Reader for RemoteReader {
    fn read(&self, after: Sequence, limit: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>> {
        Answer::later(async move {
            self.owned()?;
            let read = self.line.ask(async {
                let entries = self.reader.read(inner(after), limit).await?;
                *self.info.lock() = info_out(self.reader.info());
                Ok(entries.into_iter().map(entry_out).collect())
            });
            let read = read.await;
            // Its answer may have come too late.
            self.owned()?;
            read
        })
    }

    fn settle(
        &self,
        sequence: Sequence,
        settlement: Settlement,
    ) -> Answer<'static, Result<(), JournalError>> {
        let Some(sequence) = exactly(sequence) else { return Answer::now(self.owned()) };
        let settlement = match settlement {
            Settlement::DeadLettered(letter) => {
                Settlement::DeadLettered(Box::new(letter_in(*letter)))
            }
            other => other,
        };
        self.change(move |reader| reader.settle(sequence, settlement))
    }

    fn set_back(
        &self,
        setback: &Setback,
        at: Timestamp,
    ) -> Answer<'static, Result<(), JournalError>> {
        let setback = Setback { sequence: inner(setback.sequence), ..*setback };
        self.change(move |reader| reader.set_back(&setback, at))
    }

    fn setbacks(&self, now: Timestamp) -> Setbacks {
        setbacks_out(&self.reader.setbacks(now), now)
    }

    fn forgive(&self, what: Forgive) -> Answer<'static, Result<(), JournalError>> {
        self.change(move |reader| reader.forgive(what))
    }

    fn info(&self) -> ReaderInfo {
        *self.info.lock()
    }

    fn fate(&self, sequence: Sequence) -> Answer<'_, Result<Option<Fate>, JournalError>> {
        Answer::later(async move {
            self.owned()?;
            self.line.ask(async { self.reader.fate(inner(sequence)).await }).await
        })
    }

    fn pause(&self, backlog: Backlog) -> Answer<'static, Result<(), JournalError>> {
        self.change(move |reader| reader.pause(backlog))
    }

    fn resume(&self) -> Answer<'static, Result<(), JournalError>> {
        self.change(|reader| reader.resume())
    }
}

impl fmt::Debug for RemoteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteReader")
            .field("emitter", &self.emitter)
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}
