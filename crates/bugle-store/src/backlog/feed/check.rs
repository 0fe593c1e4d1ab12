//! What a feed has counted, counted anew.

use bugle_core::Sequence;

use super::super::ledger::Ledger;
use super::super::place::Place;
use super::{Feed, Slot};

impl Feed {
    /// Counts anew, from the places of the readers that wait here, what the slots have counted.
    pub(in crate::backlog) fn check(&self, places: &[(&Place, bool)], ledger: &Ledger) {
        assert_eq!(self.waiting as usize, places.len(), "waiting readers");
        assert_eq!(self.reading as usize, places.iter().filter(|(_, reads)| *reads).count());
        assert_eq!(self.live, self.slots.iter().filter(|slot| slot.is_live()).count());
        assert!(self.slots.front().is_none_or(Slot::is_live), "the first slot is live");
        assert!(self.slots.iter().is_sorted_by_key(|slot| (slot.ordinal, slot.sequence)));
        for slot in &self.slots {
            let below = |place: &Place| place.next <= slot.ordinal;
            let waits = |place: &Place| below(place) && !place.settled.contains(slot.ordinal);
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
