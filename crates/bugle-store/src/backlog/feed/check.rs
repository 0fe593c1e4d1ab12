//! What a feed has counted, counted anew.

use bugle_core::Sequence;

use super::super::ledger::{HeldId, Ledger};
use super::super::place::Place;
use super::{FIRST_ORDINAL, Feed, MAX_SPAN, Slot};

impl Feed {
    /// Counts anew, from the places of the readers that wait here, what the slots have counted.
    pub(in crate::backlog) fn check(&self, places: &[(&Place, bool)], ledger: &Ledger) {
        assert_eq!(self.waiting as usize, places.len(), "waiting readers");
        assert_eq!(self.reading as usize, places.iter().filter(|(_, reads)| *reads).count());
        assert_eq!(self.live, self.slots.iter().filter(|slot| slot.is_live()).count());
        assert!(self.slots.front().is_none_or(Slot::is_live), "the first slot is live");
        assert!(self.slots.iter().is_sorted_by_key(|slot| (self.ordinal(slot), slot.sequence)));
        for slot in &self.slots {
            let below = |place: &Place| place.next <= self.ordinal(slot);
            let waits = |place: &Place| below(place) && !place.settled.contains(self.ordinal(slot));
            let waiting = places.iter().filter(|(place, _)| waits(place)).count();
            let reading = places.iter().filter(|(place, reads)| *reads && below(place)).count();
            assert_eq!((slot.waiting as usize, slot.reading as usize), (waiting, reading));
            if slot.is_live() {
                assert_eq!(
                    ledger.sequence(slot.held),
                    Some(slot.sequence),
                    "a live slot's event is held"
                );
            }
        }
    }

    /// The live entries, and whether someone who reads waits for each.
    pub(in crate::backlog) fn live_slots(&self) -> impl Iterator<Item = (Sequence, bool)> {
        self.slots.iter().filter(|it| it.is_live()).map(|it| (it.sequence, it.reading > 0))
    }
}

/// Slots count in 32 bits, so one that waits for ever has to end what comes before they run out.
#[test]
fn a_feed_is_full_before_its_slots_can_not_count_any_further() {
    let mut feed = Feed::new(None);
    feed.join();
    feed.push(Sequence(1), HeldId::NONE);
    for (passed, full) in [(1, false), (MAX_SPAN, false), (MAX_SPAN + 1, true)] {
        feed.end = FIRST_ORDINAL + passed;
        assert_eq!(feed.ordinal(&feed.slots[0]), FIRST_ORDINAL, "{passed}");
        assert_eq!((feed.is_full(9), feed.expects_to_be_full(9)), (full, full), "{passed}");
    }
}
