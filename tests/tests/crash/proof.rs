//! Compares both ledgers, and proves the guarantees by them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bugle::Order;

use crate::arrivals::{Arrival, Arrivals};
use crate::book::Book;
use crate::cast::{ATTEMPTS, CAST, FLAKY, Id, MOODY, NOMAD, Role};

/// Both ledgers, compared.
pub(crate) struct Proof<'a> {
    book: &'a Book,
    /// The arrivals of each role, in the order of the cast.
    arrivals: Vec<Vec<Arrival>>,
    total: usize,
}

impl<'a> Proof<'a> {
    pub(crate) fn new(book: &'a Book, arrivals: &Arrivals) -> Self {
        let of = |role: &Role| arrivals.of(role.id, role.order == Order::Strict);
        Self { book, arrivals: CAST.iter().map(of).collect(), total: arrivals.count() }
    }

    /// Checks all guarantees, where only the process fails.
    pub(crate) fn check(&self) {
        assert!(self.book.refused.is_empty(), "refused: {:?}", self.book.refused);
        self.check_but_repetitions();
        for (role, arrivals) in CAST.iter().zip(&self.arrivals) {
            self.no_attempt_is_forgotten(role, arrivals);
            match role.order {
                Order::Strict => self.only_the_last_is_repeated(role, arrivals),
                _ => self.only_a_window_is_repeated(role, arrivals),
            }
        }
    }

    /// Checks the guarantees that hold in any case: no event is lost, no refused one is anywhere,
    /// and the order holds.
    pub(crate) fn check_but_repetitions(&self) {
        let journal = self.journal();
        let mut places = Places::default();
        for (role, arrivals) in CAST.iter().zip(&self.arrivals) {
            self.nothing_is_lost(role, arrivals, &journal);
            self.nothing_is_unwanted(role, arrivals);
            self.order_holds(role, arrivals, &mut places);
            for id in &self.book.refused {
                let came = arrivals.iter().find(|arrival| arrival.id == *id);
                assert!(came.is_none(), "{id} was refused, and arrived: {came:?}");
            }
        }
        places.check();
    }

    pub(crate) fn summary(&self) -> String {
        let Book { emitted, dead, .. } = self.book;
        let unanswered = emitted.values().filter(|event| event.sequence.is_none()).count();
        let firsts: usize = self.arrivals.iter().map(|all| first_arrivals(all).len()).sum();
        format!(
            "{} events accepted, {unanswered} whose emit did not return; {} requests, of which {} \
             repeat one; {} dead letters",
            self.book.accepted(),
            self.total,
            self.total - firsts,
            dead.len(),
        )
    }

    /// The events that are in the journal for certain: all that were accepted, and all that arrived
    /// anywhere but at the nomad, which may have been away.
    fn journal(&self) -> BTreeSet<Id> {
        let accepted = self.book.emitted.iter().filter(|(_, event)| event.sequence.is_some());
        let stays = CAST.iter().zip(&self.arrivals).filter(|(role, _)| role.id != NOMAD);
        let arrived = stays.flat_map(|(_, arrivals)| arrivals.iter().map(|arrival| arrival.id));
        accepted.map(|(id, _)| *id).chain(arrived).collect()
    }

    fn nothing_is_lost(&self, role: &Role, arrivals: &[Arrival], journal: &BTreeSet<Id>) {
        let delivered: HashSet<Id> =
            arrivals.iter().filter(|arrival| arrival.accepted).map(|arrival| arrival.id).collect();
        let wanted = journal.iter().filter(|id| role.wants(&self.book.event(**id).name));
        if role.id == NOMAD {
            return self.nothing_is_lost_while_it_stays(&delivered, wanted);
        }
        for id in wanted {
            let letter = self.book.dead.get(&(role.id.to_owned(), *id));
            let is_poison = role.id == FLAKY && id.is_poison();
            match (is_poison, letter, delivered.contains(id)) {
                (false, None, true) => {}
                (true, Some(attempts), false) => {
                    let (made, most) = (made(arrivals, *id), most_attempts(arrivals, *id));
                    assert!(
                        (ATTEMPTS..=most).contains(attempts),
                        "{} gave {id} up after {attempts} attempts, of {most} at most: {made:#?}",
                        role.id
                    );
                }
                (false, None, false) | (true, None, _) => {
                    panic!("{} has lost {id}: {:?}", role.id, self.book.event(*id))
                }
                (_, letter, _) => panic!("{}, {id}: attempts at its end: {letter:?}", role.id),
            }
        }
    }

    /// A detach drops the events that wait, so of an earlier stay a part from its start has
    /// arrived.
    fn nothing_is_lost_while_it_stays<'b>(
        &self,
        delivered: &HashSet<Id>,
        wanted: impl Iterator<Item = &'b Id>,
    ) {
        let mut stays: BTreeMap<u32, BTreeMap<u64, Id>> = BTreeMap::new();
        for id in wanted {
            let event = self.book.event(*id);
            if let (Some(stay), Some(sequence)) = (event.stay, event.sequence) {
                stays.entry(stay).or_default().insert(sequence, *id);
            }
        }
        for (stay, events) in stays {
            let arrived = |id: &Id| delivered.contains(id);
            let missing = events.values().position(|id| !arrived(id));
            let Some(missing) = missing else { continue };
            let ended = stay != self.book.stays;
            let hole = events.values().skip(missing).any(arrived);
            let id = events.values().nth(missing);
            assert!(
                ended && !hole,
                "{NOMAD} has lost {id:?} of stay {stay}: {missing} came before"
            );
        }
    }

    fn nothing_is_unwanted(&self, role: &Role, arrivals: &[Arrival]) {
        for arrival in arrivals {
            let event = self.book.event(arrival.id);
            assert!(role.wants(&event.name), "{} got {arrival:?}: {event:?}", role.id);
        }
        for (emitter, id) in self.book.dead.keys() {
            assert!(emitter == FLAKY && id.is_poison(), "{emitter} gave up on {id}");
        }
    }

    /// First arrivals are in the journal's order; with keys, those of each key.
    fn order_holds(&self, role: &Role, arrivals: &[Arrival], places: &mut Places) {
        let mut lanes: BTreeMap<u32, Vec<Id>> = BTreeMap::new();
        for id in first_arrivals(arrivals) {
            let lane = if role.order == Order::Strict { 0 } else { self.book.event(id).key };
            lanes.entry(lane).or_default().push(id);
        }
        for ids in lanes.into_values() {
            let sequence = |id: &Id| self.book.event(*id).sequence;
            let mut last = 0;
            let mut callers: HashMap<(u32, u32), u32> = HashMap::new();
            for (index, id) in ids.iter().enumerate() {
                let before = callers.insert((id.life, id.caller), id.number);
                assert!(before < Some(id.number), "{}: {id} came after {before:?}", role.id);
                match sequence(id) {
                    Some(sequence) => {
                        assert!(sequence > last, "{}: {id} ({sequence}) after {last}", role.id);
                        last = sequence;
                    }
                    None => {
                        let next = ids[index..].iter().find_map(sequence).unwrap_or(u64::MAX);
                        places.between(*id, last, next);
                    }
                }
            }
            places.unanswered.push(ids.into_iter().filter(|id| sequence(id).is_none()).collect());
        }
    }

    /// Where notes can be written, an event that is given up is tried no more often than that.
    fn no_attempt_is_forgotten(&self, role: &Role, arrivals: &[Arrival]) {
        for (_, id) in self.book.dead.keys().filter(|(emitter, _)| emitter == role.id) {
            let (made, most) = (made(arrivals, *id), most_attempts(arrivals, *id));
            assert!(made.len() <= most as usize, "{} forgot attempts: {made:#?}", role.id);
        }
    }

    /// In strict order only the last delivery can be made twice.
    fn only_the_last_is_repeated(&self, role: &Role, arrivals: &[Arrival]) {
        let mut seen = HashSet::new();
        let mut last: Option<&Arrival> = None;
        for arrival in arrivals {
            let is_new = seen.insert(arrival.id);
            if let (false, Some(last)) = (is_new, last) {
                let was_refused = !last.accepted;
                let was_killed =
                    last.life != arrival.life && !self.book.ended_well.contains(&last.life);
                // A pause drops the connection in the middle of a delivery.
                let may_have_been_paused = role.id == MOODY;
                assert!(
                    last.id == arrival.id && (was_refused || was_killed || may_have_been_paused),
                    "{} repeats {arrival:?} after {last:?}: {:#?}",
                    role.id,
                    around(arrivals, arrival)
                );
            }
            last = Some(arrival);
        }
    }

    /// With a window only deliveries in it can be made twice: the last one of each key, and no more
    /// of them than the window is wide.
    fn only_a_window_is_repeated(&self, role: &Role, arrivals: &[Arrival]) {
        let mut last_of_key: HashMap<u32, &Arrival> = HashMap::new();
        let mut seen = HashSet::new();
        let mut repeated: BTreeMap<u32, usize> = BTreeMap::new();
        for arrival in arrivals {
            let key = self.book.event(arrival.id).key;
            let last = last_of_key.insert(key, arrival);
            if let (false, Some(last)) = (seen.insert(arrival.id), last) {
                let was_killed =
                    last.life != arrival.life && !self.book.ended_well.contains(&last.life);
                let is_last = last.id == arrival.id && was_killed;
                assert!(is_last, "{} repeats {arrival:?} after {last:?}", role.id);
                *repeated.entry(arrival.life).or_default() += 1;
            }
        }
        for (life, repeated) in repeated {
            assert!(repeated <= role.window(), "{} repeats {repeated} in life {life}", role.id);
        }
    }
}

/// The arrivals just before this one, for the message of a failure.
fn around<'a>(arrivals: &'a [Arrival], at: &Arrival) -> &'a [Arrival] {
    let place = arrivals.iter().position(|it| it.number == at.number).unwrap_or(0);
    &arrivals[place.saturating_sub(12)..arrivals.len().min(place + 2)]
}

/// All attempts at an event, as they arrived.
fn made(arrivals: &[Arrival], id: Id) -> Vec<&Arrival> {
    arrivals.iter().filter(|arrival| arrival.id == id).collect()
}

/// The largest number of attempts at an event that is given up: one more for each further life
/// that had to try it. A kill may come before the last attempt is noted, and a kill or a full disk
/// before the dead letter is written. The next life then makes one attempt, and gives the event up
/// again.
fn most_attempts(arrivals: &[Arrival], id: Id) -> u32 {
    let lives: BTreeSet<u32> = made(arrivals, id).iter().map(|arrival| arrival.life).collect();
    ATTEMPTS + (lives.len() as u32).saturating_sub(1)
}

/// The events of an emitter in the order in which they arrived for the first time.
fn first_arrivals(arrivals: &[Arrival]) -> Vec<Id> {
    let mut seen = HashSet::new();
    arrivals.iter().map(|arrival| arrival.id).filter(|id| seen.insert(*id)).collect()
}

/// The places in the journal of events whose emit did not return: all emitters must agree on them.
#[derive(Default)]
struct Places {
    between: HashMap<Id, (u64, u64)>,
    /// Those events in the order of each lane.
    unanswered: Vec<Vec<Id>>,
}

impl Places {
    fn between(&mut self, id: Id, after: u64, before: u64) {
        let place = self.between.entry(id).or_insert((0, u64::MAX));
        *place = (place.0.max(after), place.1.min(before));
    }

    fn check(&self) {
        for (id, (after, before)) in &self.between {
            assert!(after < before, "{id} came after {after} here, and before {before} there");
        }
        for (number, one) in self.unanswered.iter().enumerate() {
            let place: HashMap<Id, usize> = one.iter().copied().zip(0..).collect();
            for other in &self.unanswered[number + 1..] {
                let places: Vec<usize> =
                    other.iter().filter_map(|id| place.get(id).copied()).collect();
                assert!(places.is_sorted(), "two lanes have them in another order: {other:?}");
            }
        }
    }
}
