//! Every byte of a small store is changed, one at a time, and every file cut or removed: it is
//! refused with the file's name, or all that was answered for is there, in order, or said to be
//! damaged. Nothing is lost in silence, nothing is reordered, nothing panics; and what is refused is
//! repaired.
//!
//! A sample is tried by default; `BUGLE_FLIPS=5000` tries as many, `BUGLE_FLIP_ALL=1` every byte,
//! and `BUGLE_FLIP_SEED` chooses others.

use std::collections::BTreeMap;
use std::path::Path;

use bugle_core::{
    AttemptCode, AttemptQuery, Backlog, Batch, DeadLetter, DeadLetterQuery, Delivery,
    EmitterConfig, EmitterSpec, Entry, EventQuery, Exchange, Failure, NewAttempt, OrderingKey,
    Outcome, Reader, Sequence, Settlement, SourceId, SourcePosition, Subscription,
};
use bugle_store::{Store, StoreError};
use bugle_testkit::conformance::run;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::{deliver, event, files, id, open};

/// The emitters, and what they want.
const EMITTERS: [(&str, &[&str]); 4] =
    [("one", &["a"]), ("paused", &["a", "b"]), ("changed", &["b"]), ("gives-up", &["a"])];

type Files = BTreeMap<String, Vec<u8>>;

/// What is said, or why not.
type Told = Result<Vec<String>, String>;

/// What a store tells of all that was answered for.
#[derive(Debug, Clone, PartialEq)]
struct Answers {
    letters: Told,
    specs: Told,
    attempts: Told,
    events: Told,
    position: Told,
}

impl Answers {
    async fn of(store: &Store) -> Self {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let letters = store.dead_letters().page(&DeadLetterQuery::new(), None).await;
        let attempts = store.attempts().page(&AttemptQuery::new(), None).await;
        let events = store.events().unwrap().page(&EventQuery::new(), None).await;
        let source = SourceId::new("file").unwrap();
        Self {
            letters: letters
                .map(|page| page.items.iter().map(|it| format!("{it:?}")).collect())
                .map_err(|error| words(&error)),
            specs: store.specs().unwrap().all().await.map_or_else(
                |error| Err(words(&error)),
                |specs| Ok(specs.iter().map(|spec| format!("{spec:?}")).collect()),
            ),
            attempts: attempts
                .map(|page| page.items.iter().map(|it| format!("{it:?}")).collect())
                .map_err(|error| words(&error)),
            events: events
                .map(|page| page.items.iter().map(|it| format!("{it:?}")).collect())
                .map_err(|error| words(&error)),
            position: store
                .positions()
                .position(&source)
                .await
                .map(|position| position.iter().map(ToString::to_string).collect())
                .map_err(|error| words(&error)),
        }
    }

    /// Each is as it was, or an error that names the file.
    fn hold(&self, whole: &Self, noted_more: bool) -> Result<(), String> {
        let pairs = [
            (&self.letters, &whole.letters),
            (&self.specs, &whole.specs),
            (&self.attempts, &whole.attempts),
            (&self.position, &whole.position),
            (&self.events, &whole.events),
        ];
        for (told, was) in pairs {
            match told {
                Err(error) if names_a_file(error) || error.contains("its spec") => {}
                Err(error) => return Err(format!("an error without a file: {error}")),
                Ok(_) if told == was => {}
                Ok(told) if noted_more && was.as_ref().is_ok_and(|it| it.len() == told.len()) => {}
                // The last attempts are written without a sync, and nobody was told of them.
                Ok(told)
                    if noted_more
                        && std::ptr::eq(was, &whole.attempts)
                        && was.as_ref().is_ok_and(|it| it.ends_with(told)) => {}
                Ok(told) => return Err(format!("{told:?} instead of {was:?}")),
            }
        }
        Ok(())
    }
}

/// What waits for an emitter: each entry as it was, or as a damaged one.
async fn waiting(reader: &std::sync::Arc<dyn Reader>) -> Result<Vec<(Sequence, String)>, String> {
    let entries = reader.read(Sequence::START, 1_000).await.map_err(|error| error.to_string())?;
    let words = |entry: &Entry| match &entry.damage {
        Some(why) => {
            assert!(why.contains(&entry.sequence.to_string()), "{why}");
            "damaged".to_owned()
        }
        None => format!("{:?}", entry.event),
    };
    Ok(entries.iter().map(|entry| (entry.sequence, words(entry))).collect())
}

/// Makes a store with something of everything, and gives its files as a kill leaves them, and as
/// they are when it was closed.
async fn make() -> [Files; 2] {
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let journal = store.journal();
    let one = open(&store, "one", &["a"]).await;
    open(&store, "paused", &["a", "b"]).await.pause(Backlog::Keep).await.unwrap();
    open(&store, "changed", &["a"]).await;
    let gives_up = open(&store, "gives-up", &["a"]).await;
    for emitter in ["one", "paused"] {
        let config = EmitterConfig::new(format!("https://{emitter}.example")).unwrap();
        let names = Subscription::new(["a"]).unwrap();
        let spec = EmitterSpec::new(id(emitter), names, config);
        store.specs().unwrap().put(spec).await.unwrap();
    }
    let mut events = Vec::new();
    for number in 0..12 {
        let mut event = bugle_core::Event::clone(&event(["a", "b"][number % 2], 60 + number));
        event.key = (number % 3 == 0).then(|| OrderingKey::new("key").unwrap());
        events.push(std::sync::Arc::new(event));
    }
    let source = SourceId::new("file").unwrap();
    let position = SourcePosition::new(&source, "line 12").unwrap();
    let batch = Batch::new(events.clone()).position(Some(position));
    let places = journal.append_all(batch).await.unwrap();
    open(&store, "changed", &["b"]).await;
    for (at, event) in places.iter().zip(&events).step_by(2).take(3) {
        let entry = Entry::new(*at, event.clone());
        let (code, words) = (AttemptCode::Timeout, "the deadline passed".to_owned());
        let letter = DeadLetter::new(id("gives-up"), &entry, code, words, 3, Timestamp::now());
        gives_up.settle(*at, Settlement::DeadLettered(Box::new(letter))).await.unwrap();
        let failure = Failure::new(code, "the deadline passed");
        let delivery = Delivery::new(id("gives-up"), *at, event.clone(), 1);
        let outcome = Outcome::failed(failure, Exchange::default());
        store.attempts().record(NewAttempt::new(delivery, outcome, Timestamp::now()));
    }
    for _ in 0..3 {
        journal.append(event("a", 90)).await.unwrap();
    }
    deliver(&one, places[0]).await;
    journal.flush().await.unwrap();
    deliver(&one, places[2]).await;
    let killed = files(directory.path());
    drop((one, gives_up, journal, store));
    [killed, files(directory.path())]
}

fn write(files: &Files) -> TempDir {
    // Nothing of this has to outlive a power cut.
    let memory = Path::new("/dev/shm");
    let directory = match memory.is_dir() {
        true => TempDir::new_in(memory).unwrap(),
        false => TempDir::new().unwrap(),
    };
    crate::support::write(files, directory.path());
    directory
}

/// What a whole store tells.
struct Whole {
    answers: Answers,
    waiting: Vec<Vec<(Sequence, String)>>,
    last: Sequence,
}

impl Whole {
    async fn of(files: &Files) -> Self {
        let directory = write(files);
        let store = Store::open(directory.path()).unwrap();
        let answers = Answers::of(&store).await;
        let mut all = Vec::new();
        for (emitter, names) in EMITTERS {
            all.push(waiting(&open(&store, emitter, names).await).await.unwrap());
        }
        let last = store.journal().append(event("a", 10)).await.unwrap();
        Self { answers, waiting: all, last }
    }

    /// Tries a changed store. Whether it was refused.
    async fn holds(&self, files: &Files, changed: &str) -> Result<bool, String> {
        // What was settled last is noted, and written, without a sync: it may come again.
        let repeats = ["bugle.settled", "bugle.db-wal"].contains(&changed);
        let directory = write(files);
        match Store::open_read_only(directory.path()) {
            Ok(store) => Answers::of(&store).await.hold(&self.answers, repeats)?,
            Err(error) => is_named(&error)?,
        }
        let store = match Store::open(directory.path()) {
            Ok(store) => store,
            Err(error) => {
                is_named(&error)?;
                if !matches!(error, StoreError::Damaged { .. } | StoreError::Lost { .. }) {
                    return Ok(true);
                }
                let repair = Store::repair(directory.path());
                let repair = repair.map_err(|error| format!("not repaired: {error}"))?;
                if repair.is_whole() {
                    return Err(format!("{error}, and the repair found nothing"));
                }
                let again = Store::examine(directory.path());
                let again = again.map_err(|error| format!("not examined: {error}"))?;
                if !again.lost.is_empty() {
                    return Err(format!("after {repair:?} more is lost: {again:?}"));
                }
                let store = Store::open(directory.path());
                let store = store.map_err(|error| format!("after {repair:?}: {error}"))?;
                let next = store.journal().append(event("a", 10)).await;
                let next = next.map_err(|error| error.to_string())?;
                let gone_and_marked = changed == "bugle.answered" || next >= self.last;
                return match gone_and_marked || changed == "all" {
                    true => Ok(true),
                    false => Err(format!("number {next} is given twice after {repair:?}")),
                };
            }
        };
        Answers::of(&store).await.hold(&self.answers, repeats)?;
        for ((emitter, names), whole) in EMITTERS.into_iter().zip(&self.waiting) {
            let reader = store.journal().reader(&id(emitter), &Subscription::new(names).unwrap());
            let found = waiting(&reader.await.map_err(|error| error.to_string())?).await?;
            if !found.is_sorted_by(|one, other| one.0 < other.0) {
                return Err(format!("{emitter}: {found:?} is not in order"));
            }
            for (at, was) in whole {
                match found.iter().find(|(other, _)| other == at) {
                    Some((_, is)) if is == was || is == "damaged" => {}
                    other => return Err(format!("{emitter}: {other:?} instead of {was} at {at}")),
                }
            }
            if !repeats && found.len() != whole.len() {
                return Err(format!("{emitter}: {found:?} instead of {whole:?}"));
            }
        }
        let next = store.journal().append(event("a", 10)).await;
        match next {
            Ok(next) if next == self.last => Ok(false),
            other => Err(format!("the next number is {other:?} instead of {}", self.last)),
        }
    }
}

fn is_named(error: &StoreError) -> Result<(), String> {
    match names_a_file(&error.to_string()) {
        true => Ok(()),
        false => Err(format!("an error without a file: {error}")),
    }
}

fn names_a_file(error: &str) -> bool {
    error.contains("bugle.") || error.contains("segments")
}

/// Numbers that look random, the same for a seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_byte_counts() {
    let all = std::env::var("BUGLE_FLIP_ALL").is_ok_and(|it| it == "1");
    let flips = number("BUGLE_FLIPS").unwrap_or(500);
    let mut dice = Dice(number("BUGLE_FLIP_SEED").unwrap_or(1) as u64);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let variants = runtime.block_on(make());
    let mut failures = Vec::new();
    let (mut tried, mut refused) = (0, 0);
    for (variant, files) in ["killed", "closed"].into_iter().zip(variants) {
        let whole = runtime.block_on(Whole::of(&files));
        for (name, content) in &files {
            // Most of a file is not used, and most of the sample is of what is.
            let used: Vec<usize> = (0..content.len()).filter(|at| content[*at] != 0).collect();
            let share = flips / (2 * files.len());
            let places: Vec<usize> = match all {
                true => (0..content.len()).collect(),
                false => (0..share)
                    .map(|round| match round % 8 {
                        0 => dice.throw(content.len()),
                        _ => used.get(dice.throw(used.len())).copied().unwrap_or(0),
                    })
                    .filter(|at| *at < content.len())
                    .collect(),
            };
            let flips = places.into_iter().map(|at| (at, 1 << dice.throw(8)));
            let cuts = (0..12).map(|cut| (content.len() * cut / 12, 0_u8));
            for (at, mask) in flips.collect::<Vec<_>>().into_iter().chain(cuts) {
                let mut changed = files.clone();
                let file = changed.get_mut(name).unwrap();
                match mask {
                    0 => file.truncate(at),
                    mask => file[at] ^= mask,
                }
                tried += 1;
                match runtime.block_on(whole.holds(&changed, name)) {
                    Ok(is_refused) => refused += usize::from(is_refused),
                    Err(why) => failures.push(format!("{variant} {name} {at} {mask:#x}: {why}")),
                }
            }
            let mut removed = files.clone();
            removed.remove(name);
            if let Err(why) = runtime.block_on(whole.holds(&removed, name)) {
                failures.push(format!("{variant} without {name}: {why}"));
            }
        }
    }
    println!("{tried} tried, {refused} refused");
    assert!(failures.is_empty(), "{} of {tried}:\n{}", failures.len(), failures.join("\n"));
    assert!(refused > 0);
}

/// A repair of a whole store does nothing.
#[test]
fn a_whole_store_is_left_alone() {
    run(async {
        for whole in make().await {
            let directory = write(&whole);
            let repair = Store::repair(directory.path()).unwrap();
            assert!(repair.is_whole() && repair.kept_in.is_none(), "{repair:?}");
            let left = files(directory.path());
            assert_eq!(left, whole);
        }
        let empty = TempDir::new().unwrap();
        let refused = Store::repair(empty.path()).unwrap_err();
        assert!(matches!(refused, StoreError::NoStore { .. }), "{refused}");
        let store = Store::open(empty.path()).unwrap();
        let refused = Store::examine(empty.path()).unwrap_err();
        assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
        drop(store);
    });
}
