//! The port `Reader`, on disk.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bugle_core::{
    Answer, Backlog, DeadLetterId, EmitterId, Entry, Fate, Forgive, JournalError, Reader,
    ReaderInfo, Sequence, Setback, Setbacks, Settlement,
};
use futures_channel::oneshot;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::shared::Shared;
use crate::backlog::{Found, Kept, Mode, Opened, State};
use crate::sqlite::error::Trouble;
use crate::sqlite::search::read_back::{ReadBack, read_back};
use crate::sqlite::write::answers::Asker;
use crate::sqlite::write::note::Noted;

/// A handle on one emitter's place in the journal.
///
/// The last one that was opened reads, settles and pauses. Earlier ones are fenced, and those of a
/// forgotten emitter read nothing and change nothing; but they can still be asked what became of an
/// entry.
pub(crate) struct SqliteReader {
    shared: Arc<Shared>,
    emitter: EmitterId,
    opened: Opened,
    /// The last that was settled by someone who did not wait until it was written.
    unwritten: Arc<Unwritten>,
}

/// The last answer that nobody waited for. What was settled before is written before.
type Unwritten = Mutex<Option<Written>>;

/// Comes when a settlement is written.
type Written = oneshot::Receiver<Result<(), JournalError>>;

impl SqliteReader {
    pub(crate) fn new(shared: Arc<Shared>, emitter: EmitterId, opened: Opened) -> Self {
        Self { shared, emitter, opened, unwritten: Arc::default() }
    }

    fn read_now(
        &self,
        after: Sequence,
        limit: usize,
    ) -> Answer<'_, Result<Vec<Entry>, JournalError>> {
        let found = match self.shared.backlog.read(&self.opened, after, limit) {
            Ok(found) => found,
            Err(fenced) => return Answer::now(Err(fenced)),
        };
        let away = found.iter().filter(is_away);
        let away: Vec<_> = away.map(|it| (it.sequence, it.kept.name().clone())).collect();
        if away.is_empty() {
            return Answer::now(Ok(found.into_iter().filter_map(Found::entry).collect()));
        }
        let (log, behind) = (self.shared.log.clone(), Arc::clone(&self.shared.behind));
        let read = self.shared.lookup.ask(move |conn| read_back(conn, &log, &behind, &away));
        Answer::later(self.complete(found, read))
    }

    /// The answer to what is written in its time: at once where nobody has to wait for that.
    fn answer(
        &self,
        is_written: Result<Option<Written>, JournalError>,
    ) -> Answer<'static, Result<(), JournalError>> {
        match is_written {
            Ok(None) => Answer::now(Ok(())),
            Ok(Some(is_written)) => Answer::later(Settling::new(is_written, &self.unwritten)),
            Err(fenced) => Answer::now(Err(fenced)),
        }
    }

    /// Waits for what was settled by a courier that was stopped in the middle of it. The next one
    /// must not deliver before: a kill would then repeat what both have delivered.
    async fn all_written(&self) {
        let Some(written) = self.unwritten.lock().take() else { return };
        // Whether it could be written was its courier's business. It is kept in memory.
        let _ = Settling::new(written, &self.unwritten).await;
    }

    /// The entries with those events that had to be read back. One that is neither there nor
    /// settled meanwhile is lost, and stands for itself as a damaged one.
    async fn complete(
        &self,
        found: Vec<Found>,
        read: impl Future<Output = Result<Vec<ReadBack>, Trouble>> + Send,
    ) -> Result<Vec<Entry>, JournalError> {
        let read = read.await?;
        let mut read = read.into_iter();
        let mut entries = Vec::with_capacity(found.len());
        let mut back = Vec::new();
        for found in found {
            let found_back = match &found.kept {
                Kept::Here(event) => ReadBack::Whole(Arc::clone(event)),
                Kept::Away { .. } => read.next().unwrap_or(ReadBack::Missing),
            };
            match &found_back {
                ReadBack::Whole(event) if is_away(&&found) => {
                    back.push((found.clone(), Arc::clone(event)));
                }
                ReadBack::Damaged(..) | ReadBack::Missing
                    if self.became(found.sequence).is_some() =>
                {
                    continue;
                }
                _ => {}
            }
            entries.push(found_back.entry(found.sequence, found.kept.name()));
        }
        self.shared.backlog.with(|state| state.keep(back.iter().map(|(at, event)| (at, event))));
        Ok(entries)
    }

    /// What became of an entry; nothing while it waits.
    fn became(&self, sequence: Sequence) -> Option<Fate> {
        let is_dead = || self.shared.dead.contains(&self.emitter, sequence);
        self.shared.backlog.fate(&self.opened, sequence, is_dead)
    }

    /// Changes what the emitter's place is, unless this handle is fenced. What `change` says is to
    /// be written, is, in its time.
    fn change(
        &self,
        change: impl FnOnce(&mut State) -> Option<bool>,
    ) -> Answer<'static, Result<(), JournalError>> {
        Answer::now(self.shared.backlog.with(|state| {
            state.owned(&self.opened)?;
            if let Some(whole) = change(state) {
                self.shared.queue.put(|work| work.mark(&self.emitter, whole));
            }
            Ok(())
        }))
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        self.shared.backlog.release(&self.emitter, &self.opened);
    }
}

/// Waits until a settlement is written. Who stops waiting leaves that to the next one who reads.
struct Settling {
    written: Option<Written>,
    unwritten: Arc<Unwritten>,
}

impl Settling {
    fn new(written: Written, unwritten: &Arc<Unwritten>) -> Self {
        Self { written: Some(written), unwritten: Arc::clone(unwritten) }
    }
}

impl Future for Settling {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(written) = &mut self.written else { return Poll::Ready(Ok(())) };
        let answer = ready!(Pin::new(written).poll(context));
        self.written = None;
        Poll::Ready(answer.unwrap_or_else(|_| Err(Shared::closed())))
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some(written) = self.written.take() {
            *self.unwritten.lock() = Some(written);
        }
    }
}

/// Whether an event has to be read back.
fn is_away(found: &&Found) -> bool {
    matches!(found.kept, Kept::Away { .. })
}

impl Reader for SqliteReader {
    fn read(&self, after: Sequence, limit: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>> {
        if self.unwritten.lock().is_none() {
            return self.read_now(after, limit);
        }
        Answer::later(async move {
            self.all_written().await;
            self.read_now(after, limit).await
        })
    }

    fn settle(
        &self,
        sequence: Sequence,
        settlement: Settlement,
    ) -> Answer<'static, Result<(), JournalError>> {
        let Shared { backlog, queue, dead, .. } = &*self.shared;
        let settle = |state: &mut State| {
            state.owned(&self.opened)?;
            let origin = state.origin(&self.opened, sequence);
            let delivered = matches!(settlement, Settlement::Delivered);
            if !state.settle(&self.opened, sequence, delivered) {
                return Ok(None);
            }
            if delivered && queue.note(&self.emitter, &Noted::Delivered(sequence)) {
                return Ok(None);
            }
            let (written, is_written) = Asker::here();
            queue.put(|work| {
                work.mark(&self.emitter, false);
                work.written.push(written);
                if let Settlement::DeadLettered(letter) = settlement {
                    dead.enter(self.emitter.clone(), sequence, origin);
                    dead.handed_over(1);
                    work.letters.push(letter.numbered(DeadLetterId::new(0), origin));
                }
            });
            Ok(Some(is_written))
        };
        self.answer(backlog.with(settle))
    }

    fn set_back(
        &self,
        setback: &Setback,
        at: Timestamp,
    ) -> Answer<'static, Result<(), JournalError>> {
        let Shared { backlog, queue, .. } = &*self.shared;
        let is_written = backlog.with(|state| {
            state.owned(&self.opened)?;
            let Some(count) = state.set_back(&self.opened, setback, at) else { return Ok(None) };
            if queue.note(&self.emitter, &Noted::SetBack(count, *setback, at)) {
                return Ok(None);
            }
            let (written, is_written) = Asker::here();
            queue.put(|work| {
                work.mark(&self.emitter, false);
                work.written.push(written);
            });
            Ok(Some(is_written))
        });
        self.answer(is_written)
    }

    fn setbacks(&self, now: Timestamp) -> Setbacks {
        let Shared { backlog, queue, .. } = &*self.shared;
        backlog.with(|state| {
            let (setbacks, changed) = state.setbacks(&self.opened, now);
            if changed {
                queue.put(|work| work.mark(&self.emitter, false));
            }
            setbacks
        })
    }

    fn forgive(&self, what: Forgive) -> Answer<'static, Result<(), JournalError>> {
        self.change(|state| state.forgive(&self.opened, what).then_some(false))
    }

    fn info(&self) -> ReaderInfo {
        self.shared.backlog.info(&self.opened, self.shared.dead.of(&self.emitter))
    }

    fn fate(&self, sequence: Sequence) -> Answer<'_, Result<Option<Fate>, JournalError>> {
        Answer::now(Ok(self.became(sequence)))
    }

    fn pause(&self, backlog: Backlog) -> Answer<'static, Result<(), JournalError>> {
        self.change(|state| {
            state.change_mode(&self.opened, Mode::from(backlog));
            Some(true)
        })
    }

    fn resume(&self) -> Answer<'static, Result<(), JournalError>> {
        self.change(|state| {
            state.change_mode(&self.opened, Mode::Reading);
            Some(true)
        })
    }
}

impl fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteReader")
            .field("emitter", &self.emitter)
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}
