//! The journal against a model that keeps a plain set of sequence numbers for each reader.

mod append;
mod compare;
mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bugle_core::{
    AttemptCode, Backlog, DeadLetter, EmitterId, Entry, ErrorKind, Event, EventName, Fate, Journal,
    Overflow, Reader, RequestId, Sequence, Settlement, Store, Subscription,
};
use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;

use super::options::MemoryOptions;
use super::store::MemoryStore;

const NAMES: [&str; 4] = ["a", "b", "c.d", "c.e"];
const SUBSCRIPTIONS: [&[&str]; 6] =
    [&["a"], &["b", "a"], &["c.*"], &[">"], &["a", "c.d", "c.*"], &["none"]];
const MAX_EVENTS: usize = 6;
const MAX_BYTES: u64 = 6_000;
const OVERHEAD: u64 = 320;

#[derive(Debug, Clone)]
enum Op {
    Append(usize, usize),
    /// Appends several at once.
    AppendAll(Vec<(usize, usize)>),
    /// Settles the entry that is so far from the reader's first one.
    Settle {
        emitter: usize,
        nth: usize,
        dead: bool,
    },
    /// Settles an entry whether it waits or not.
    SettleAny {
        emitter: usize,
        sequence: u64,
    },
    Pause {
        emitter: usize,
        keep: bool,
    },
    Resume {
        emitter: usize,
    },
    Forget {
        emitter: usize,
    },
    Open {
        emitter: usize,
        subscription: usize,
    },
    /// Delivers events again to an emitter, whether they are dead letters or not.
    Replay {
        emitter: usize,
        origin: u64,
        count: u64,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let emitter = 0..4_usize;
    let op = prop_oneof![
        12 => (0..NAMES.len(), 0..1_500_usize).prop_map(|(name, bytes)| Op::Append(name, bytes)),
        3 => prop::collection::vec((0..NAMES.len(), 0..1_500_usize), 0..5).prop_map(Op::AppendAll),
        12 => (emitter.clone(), prop_oneof![3 => Just(0), 1 => 0..4_usize], any::<bool>())
            .prop_map(|(emitter, nth, dead)| Op::Settle { emitter, nth, dead }),
        1 => (emitter.clone(), 0..40_u64)
            .prop_map(|(emitter, sequence)| Op::SettleAny { emitter, sequence }),
        2 => (emitter.clone(), prop_oneof![3 => Just(true), 1 => Just(false)])
            .prop_map(|(emitter, keep)| Op::Pause { emitter, keep }),
        2 => emitter.clone().prop_map(|emitter| Op::Resume { emitter }),
        1 => emitter.clone().prop_map(|emitter| Op::Forget { emitter }),
        6 => (emitter.clone(), 1..30_u64, 1..4_u64)
            .prop_map(|(emitter, origin, count)| Op::Replay { emitter, origin, count }),
        3 => (emitter, 0..SUBSCRIPTIONS.len())
            .prop_map(|(emitter, subscription)| Op::Open { emitter, subscription }),
    ];
    prop::collection::vec(op, 1..120)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Reading,
    Keeping,
    Discarding,
}

#[derive(Debug)]
struct Model {
    subscription: usize,
    mode: Mode,
    /// What waits among what its subscription has matched since it was opened.
    pending: BTreeSet<u64>,
    /// What waits from before that.
    carried: BTreeSet<u64>,
    fates: BTreeMap<u64, Fate>,
    /// From what was delivered again to where it stands.
    replays: BTreeMap<u64, u64>,
    dropped: u64,
}

impl Model {
    fn waits(&self) -> impl Iterator<Item = u64> {
        self.carried.iter().chain(&self.pending).copied()
    }

    /// What became of an entry became of the event, wherever it was first.
    fn settled(&mut self, sequence: u64, fate: Fate) {
        let origin = self.replays.iter().find(|(_, copy)| **copy == sequence).map(|(it, _)| *it);
        if let Some(origin) = origin {
            self.replays.remove(&origin);
            self.fates.insert(origin, fate);
        }
        self.fates.insert(sequence, fate);
    }

    fn drop_entry(&mut self, sequence: u64) -> u64 {
        let waited = self.carried.remove(&sequence) | self.pending.remove(&sequence);
        if waited {
            self.settled(sequence, Fate::Dropped);
            self.dropped += 1;
        }
        u64::from(waited)
    }
}

/// The journal, the model of it, and the same operations on both.
struct Both {
    store: MemoryStore,
    journal: Arc<dyn Journal>,
    overflow: Overflow,
    handles: BTreeMap<usize, Arc<dyn Reader>>,
    forgotten: Vec<(Arc<dyn Reader>, Model)>,
    models: BTreeMap<usize, Model>,
    /// The names and sizes of what was appended.
    events: Vec<(usize, u64)>,
    /// Of those, the replays, with what they are replays of.
    copies: BTreeMap<u64, u64>,
    dropped: u64,
}

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn emitter(number: usize) -> EmitterId {
    EmitterId::new(format!("emitter-{number}")).unwrap()
}

fn subscription(number: usize) -> Subscription {
    Subscription::new(SUBSCRIPTIONS[number]).unwrap()
}

fn matches(subscribed: usize, name: usize) -> bool {
    subscription(subscribed).matches(&EventName::new(NAMES[name]).unwrap())
}

impl Both {
    fn new(overflow: Overflow) -> Self {
        let options = MemoryOptions::new()
            .max_events_per_subscription(MAX_EVENTS)
            .max_bytes(MAX_BYTES)
            .overflow(overflow);
        let store = MemoryStore::new(&options);
        Self {
            journal: store.journal(),
            store,
            overflow,
            handles: BTreeMap::new(),
            forgotten: Vec::new(),
            models: BTreeMap::new(),
            events: Vec::new(),
            copies: BTreeMap::new(),
            dropped: 0,
        }
    }

    /// What waits in the feed of a subscription, and whether someone who reads has his cursor
    /// below it.
    fn feed(&self, subscription: usize) -> BTreeMap<u64, bool> {
        let mut feed = BTreeMap::new();
        for model in self.models.values().filter(|it| it.subscription == subscription) {
            feed.extend(model.pending.iter().map(|sequence| (*sequence, false)));
        }
        for model in self.models.values().filter(|it| it.subscription == subscription) {
            if let Some(first) = model.pending.first()
                && model.mode == Mode::Reading
            {
                feed.range_mut(first..).for_each(|(_, reading)| *reading = true);
            }
        }
        feed
    }

    /// Everything that waits, and whether someone who reads has his cursor below it.
    fn held(&self) -> BTreeMap<u64, bool> {
        let mut held = BTreeMap::new();
        for subscription in 0..SUBSCRIPTIONS.len() {
            for (sequence, reading) in self.feed(subscription) {
                *held.entry(sequence).or_default() |= reading;
            }
        }
        for model in self.models.values() {
            for sequence in &model.carried {
                *held.entry(*sequence).or_default() |= model.mode == Mode::Reading;
            }
        }
        held
    }

    fn weight(&self, held: impl Iterator<Item = u64>) -> u64 {
        held.map(|sequence| self.events[sequence as usize - 1].1 + OVERHEAD).sum()
    }

    fn settle(&mut self, number: usize, sequence: u64, dead: bool) {
        let Some(handle) = self.handles.get(&number) else { return };
        let event = Event::new(
            EventName::new("a").unwrap(),
            RequestId::random(),
            Bytes::new(),
            Timestamp::UNIX_EPOCH,
        );
        let (settlement, fate) = match dead {
            false => (Settlement::Delivered, Fate::Delivered),
            true => {
                let entry = Entry::new(Sequence(sequence), Arc::new(event));
                let letter = DeadLetter::new(
                    emitter(number),
                    &entry,
                    AttemptCode::Timeout,
                    "too late",
                    3,
                    Timestamp::UNIX_EPOCH,
                );
                (Settlement::DeadLettered(Box::new(letter)), Fate::DeadLettered)
            }
        };
        now(handle.settle(Sequence(sequence), settlement)).unwrap().unwrap();
        let Some(model) = self.models.get_mut(&number) else { return };
        if model.pending.remove(&sequence) | model.carried.remove(&sequence) {
            model.settled(sequence, fate);
        }
    }

    fn discard(&mut self, number: usize) {
        let Some(model) = self.models.get_mut(&number) else { return };
        for sequence in model.waits().collect::<Vec<_>>() {
            self.dropped += model.drop_entry(sequence);
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append(name, bytes) => self.append(&[(name, bytes)], true),
            Op::AppendAll(ref events) => self.append(events, false),
            Op::Settle { emitter, nth, dead } => {
                let nth = self.models.get(&emitter).and_then(|model| model.waits().nth(nth));
                if let Some(sequence) = nth {
                    self.settle(emitter, sequence, dead);
                }
            }
            Op::SettleAny { emitter, sequence } => self.settle(emitter, sequence, true),
            Op::Pause { emitter, keep } => {
                let Some(handle) = self.handles.get(&emitter) else { return };
                let backlog = if keep { Backlog::Keep } else { Backlog::Discard };
                now(handle.pause(backlog)).unwrap().unwrap();
                if !keep {
                    self.discard(emitter);
                }
                let mode = if keep { Mode::Keeping } else { Mode::Discarding };
                self.models.get_mut(&emitter).unwrap().mode = mode;
            }
            Op::Resume { emitter } => {
                let Some(handle) = self.handles.get(&emitter) else { return };
                now(handle.resume()).unwrap().unwrap();
                self.models.get_mut(&emitter).unwrap().mode = Mode::Reading;
            }
            Op::Forget { emitter: number } => {
                now(self.journal.forget(&emitter(number))).unwrap().unwrap();
                self.discard(number);
                if let Some(model) = self.models.remove(&number) {
                    self.forgotten.push((self.handles.remove(&number).unwrap(), model));
                }
            }
            Op::Open { emitter: number, subscription: wanted } => self.open(number, wanted),
            Op::Replay { emitter, origin, count } => self.replay(emitter, origin, count),
        }
    }

    fn open(&mut self, number: usize, wanted: usize) {
        let handle = now(self.journal.reader(&emitter(number), &subscription(wanted)));
        let handle = handle.unwrap().unwrap();
        if let Some(stale) = self.handles.insert(number, handle) {
            let fenced = now(stale.read(Sequence::START, 100)).unwrap().unwrap_err();
            assert_eq!(fenced.kind, ErrorKind::Fenced);
        }
        let model = self.models.entry(number).or_insert(Model {
            subscription: wanted,
            mode: Mode::Reading,
            pending: BTreeSet::new(),
            carried: BTreeSet::new(),
            fates: BTreeMap::new(),
            replays: BTreeMap::new(),
            dropped: 0,
        });
        model.mode = Mode::Reading;
        if model.subscription == wanted {
            return;
        }
        model.subscription = wanted;
        let pending = std::mem::take(&mut model.pending);
        model.carried.extend(pending);
    }
}

proptest! {
    #[test]
    fn the_journal_does_as_the_model_does(
        overflow in prop_oneof![
            Just(Overflow::Block), Just(Overflow::Reject), Just(Overflow::DropOldest),
        ],
        ops in ops(),
    ) {
        let mut both = Both::new(overflow);
        for number in 0..3 {
            both.open(number, number);
        }
        for op in &ops {
            both.apply(op);
            both.compare();
        }
    }
}

/// What a paused reader alone waits for goes first, also where a reader of the same feed has
/// settled it above what was just dropped.
#[test]
fn what_nobody_reads_goes_first() {
    let append = |name, bytes| Op::Append(name, bytes);
    let open = |emitter, subscription| Op::Open { emitter, subscription };
    let settle = |emitter, nth| Op::Settle { emitter, nth, dead: false };
    let mut both = Both::new(Overflow::DropOldest);
    let opened = (0..3).map(|number| open(number, number));
    let ops = [
        append(0, 0),
        open(3, 3),
        append(2, 95),
        append(0, 133),
        open(2, 3),
        append(0, 1490),
        append(0, 548),
        append(0, 369),
        append(0, 490),
        append(2, 371),
        append(0, 813),
        Op::Pause { emitter: 3, keep: true },
        settle(2, 0),
        settle(2, 2),
        append(0, 0),
        append(0, 0),
        append(0, 38),
        append(1, 1360),
    ];
    for op in opened.chain(ops) {
        both.apply(&op);
        both.compare();
    }
}
