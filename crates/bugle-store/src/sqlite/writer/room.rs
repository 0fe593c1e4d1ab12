//! Making room on a full disk.

use bugle_core::DeadLetter;

use super::Writer;
use crate::sqlite::error::Trouble;
use crate::sqlite::queue::Work;
use crate::sqlite::retention::Needed;

impl Writer<'_> {
    /// Why so many pages could not be written. If there is no space, that much is to be made.
    pub(super) fn refused(&mut self, error: &rusqlite::Error, pages: usize) -> Trouble {
        let trouble = self.trouble(error);
        if trouble.is_full {
            self.retention.want_room(pages);
        }
        trouble
    }

    /// The disk is full: writes again with a short log, then with some of what is settled
    /// deleted, and then without dead letters that could take their events' places.
    pub(super) fn commit_in_less(
        &mut self,
        work: &mut Work,
        apart: bool,
        trouble: Trouble,
    ) -> Result<(), Trouble> {
        let mut written = Err(trouble);
        if self.checkpoint.make_room(self.conn) {
            written = self.commit(work, apart);
        }
        if written.as_ref().is_err_and(|it| it.is_full)
            && self.give_way(&work.letters, work.moved.values().any(|whole| *whole))
        {
            // The log has no more space than it had, and what was deleted is in it.
            self.checkpoint.make_room(self.conn);
            written = self.commit(work, apart);
        }
        if written.as_ref().is_err_and(|it| it.is_full) && self.write_in_place(work) {
            written = self.commit(work, apart);
        }
        written
    }

    /// Writes dead letters, each in the place of its event where nobody waits for that: so it needs
    /// no space. One at a time, as the log may have no room for more. Whether any was.
    fn write_in_place(&mut self, work: &mut Work) -> bool {
        // Who is forgotten in memory only waits for them by what is on disk.
        let is_leaving = work.moved.values().any(|whole| *whole) || self.queue.is_leaving();
        let (mut any, mut failed) = (false, is_leaving);
        for letter in std::mem::take(&mut work.letters) {
            let at = letter.sequence;
            if failed || self.backlog.with(|state| at >= state.last() || state.is_waiting(at)) {
                work.letters.push(letter);
                continue;
            }
            let alone = Work { letters: vec![letter], retracted: vec![at], ..Work::default() };
            failed = self.commit(&alone, false).is_err();
            if failed {
                work.letters.extend(alone.letters);
            } else {
                any = true;
                self.checkpoint.make_room(self.conn);
            }
        }
        any
    }

    /// Deletes more of what is settled, if there was no room.
    pub(super) fn give_way_further(&mut self) {
        let left = std::mem::take(&mut self.left);
        self.give_way(left.letters(), left.is_leaving());
        self.left = left;
    }

    /// Whether something that was settled is deleted now. These dead letters are not written.
    fn give_way(&mut self, letters: &[DeadLetter], leaving: bool) -> bool {
        let needed = Needed { backlog: &self.backlog, queue: &self.queue, left: letters, leaving };
        let deleted = self.retention.make_room(&needed);
        if let Err(error) = &deleted {
            self.distrust.look_at(error);
        }
        let deleted = deleted.unwrap_or_default();
        self.checkpoint.grown(deleted);
        deleted > 0
    }
}
