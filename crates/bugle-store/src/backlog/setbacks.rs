//! What readers remember of failed attempts: a delivery that succeeds at once never comes here.

use bugle_core::{EmitterId, Forgive, Sequence, Setback, Setbacks};
use jiff::Timestamp;

use super::record::{Record, Stock};
use super::state::{Opened, State};

impl Record {
    /// Settles an entry that was delivered. `false` when it did not wait.
    pub(super) fn deliver(&mut self, stock: &mut Stock, at: Sequence) -> bool {
        let settled = self.settle(stock, at);
        if let Some(setbacks) = self.setbacks.as_mut().filter(|_| settled) {
            setbacks.delivered(at);
        }
        settled
    }
}

impl State {
    /// Remembers a failed attempt. Answers how many there were of this emitter in all; `None` where
    /// nothing is kept for it.
    pub(crate) fn set_back(
        &mut self,
        opened: &Opened,
        setback: &Setback,
        at: Timestamp,
    ) -> Option<u64> {
        let (record, _) = self.current(opened)?;
        let cursor = record.cursor();
        let setbacks = record.setbacks.get_or_insert_default();
        setbacks.settled_through(cursor);
        setbacks.take(setback, at);
        Some(setbacks.count())
    }

    /// A failed attempt was noted after its emitter's place was written down: the so-manyth.
    /// `false` when that is known, or of an emitter of this id that is forgotten.
    pub(crate) fn set_back_restored(
        &mut self,
        emitter: &EmitterId,
        count: u64,
        setback: &Setback,
        at: Timestamp,
    ) -> bool {
        let record = self.readers.get(emitter).and_then(|id| self.records.get_mut(*id));
        let Some(record) = record else { return false };
        if record.fate(&self.stock, setback.sequence).is_some() {
            return false;
        }
        record.setbacks.get_or_insert_default().take_nth(count, setback, at)
    }

    /// What is remembered, and whether seeing it now has changed it.
    pub(crate) fn setbacks(&mut self, opened: &Opened, now: Timestamp) -> (Setbacks, bool) {
        let Some((record, _)) = self.current(opened) else { return (Setbacks::default(), false) };
        let cursor = record.cursor();
        match record.setbacks.as_deref_mut() {
            Some(setbacks) => {
                setbacks.settled_through(cursor);
                let changed = setbacks.seen_at(now);
                (setbacks.clone(), changed)
            }
            None => (Setbacks::default(), false),
        }
    }

    /// Forgets some of it. `false` where there is nothing.
    pub(crate) fn forgive(&mut self, opened: &Opened, what: Forgive) -> bool {
        let record = self.current(opened).map(|(record, _)| record);
        let setbacks = record.and_then(|record| record.setbacks.as_deref_mut());
        let Some(setbacks) = setbacks.filter(|setbacks| !setbacks.is_clear()) else { return false };
        match what {
            Forgive::Waits => setbacks.forgive_waits(),
            Forgive::All => setbacks.forgive_all(),
        }
        true
    }
}
