//! What a reader has in a feed of its own: what it takes along to another subscription, and what
//! is delivered again to it alone.

use bugle_core::Sequence;

use super::feed::{FIRST_ORDINAL, Feed, FeedId};
use super::kept::Kept;
use super::place::Place;
use super::record::{Mode, Record, Stock};

impl Record {
    /// Has an entry wait that nobody else reads, behind all that waits now.
    pub(super) fn direct(
        &mut self,
        stock: &mut Stock,
        sequence: Sequence,
        kept: Kept,
        origin: Sequence,
    ) {
        let own = self.gather(stock, sequence);
        let held = stock.ledger.enter(sequence, kept, 1, u32::from(self.mode == Mode::Reading));
        if let Some(feed) = stock.feeds.get_mut(own) {
            feed.push(sequence, held);
        }
        stock.ledger.history.delivered_again(sequence, origin);
        self.replays.get_or_insert_default().queued(origin, sequence);
    }

    /// Takes what waits to its own feed, behind what is there, so that something can follow it
    /// that nobody else waits for; from then on it stands at the end of the feed that it shares,
    /// which is `end` in the journal. What waits is moved once only, however many replays follow.
    pub(super) fn gather(&mut self, stock: &mut Stock, end: Sequence) -> FeedId {
        let reads = self.mode == Mode::Reading;
        let place = &mut self.place;
        let carried = self.carried.get_or_insert_with(|| {
            Box::new(Place::new(stock.insert_private(reads), FIRST_ORDINAL, place.cursor))
        });
        let Stock { feeds, ledger, .. } = stock;
        let Some((own, shared)) = feeds.get2_mut(carried.feed, place.feed) else {
            return carried.feed;
        };
        let own_end = own.last().max(carried.cursor);
        if place.cursor > own_end {
            // Between two places all that is below the second one's cursor is settled.
            carried.settled.push(own.leave_out(), Sequence(own_end.0 + 1), place.cursor);
        }
        let mut settled = place.settled.iter().peekable();
        for (sequence, held) in shared.unsettled(place, Sequence::START) {
            while let Some(span) = settled.next_if(|span| span.first < sequence) {
                carried.settled.push(own.leave_out(), span.first, span.last);
            }
            own.push(sequence, held);
            ledger.hold(held, reads);
        }
        for span in settled {
            carried.settled.push(own.leave_out(), span.first, span.last);
        }
        carried.close_up();
        // All of it is held twice now, so that leaving frees nothing.
        if reads {
            shared.stop_reading(place, ledger);
        }
        shared.stop_waiting(place, ledger);
        *place = shared.place_at_end(place.feed, end);
        shared.waiting += 1;
        shared.reading += u32::from(reads);
        carried.feed
    }

    /// Moves to another feed, with another subscription, and reads there. What waits comes along,
    /// also if the new one would not want it: it was accepted for this emitter.
    pub(super) fn move_to(&mut self, stock: &mut Stock, to: FeedId, last: Sequence) {
        match self.mode {
            Mode::Discarding => self.past.gaps.add(self.place.cursor, last),
            Mode::Reading | Mode::Keeping => {
                self.gather(stock, last);
                self.change_mode(stock, Mode::Reading, last);
            }
        }
        if let Some(feed) = stock.feeds.get_mut(self.place.feed) {
            feed.readers -= 1;
            if self.mode == Mode::Reading {
                feed.waiting -= 1;
                feed.reading -= 1;
            }
        }
        if let Some(feed) = stock.feeds.get_mut(to) {
            self.place = feed.place_at_end(to, last);
            feed.join();
        }
        self.since = last;
        self.mode = Mode::Reading;
        self.catch_up(stock);
    }
}

impl Stock {
    /// A reader's own feed.
    pub(super) fn insert_private(&mut self, reads: bool) -> FeedId {
        let mut feed = Feed::new(None);
        feed.join();
        feed.reading = u32::from(reads);
        let id = self.feeds.insert(feed);
        self.private.insert(id);
        id
    }
}
