//! Delivering again to one emitter all that it gave up on since an instant, or all that happened.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    AttemptCode, BoxFuture, DeadLetter, DeadLetterQuery, DeadLetters, EmitterId, Entry, EventLog,
    EventQuery, Fate, PointInTime, RateLimit, Replay, ReplayError, Replayed, Sequence,
    Subscription,
};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::replay::{Requeue, SettledBy, log_failed};
use crate::api::runtime::Runtime;
use crate::words::event::RuntimeEvent;

/// So many events are queued in one step.
const BATCH: usize = 256;

/// A step of a capped replay takes this long, unless one event takes longer.
const STEP: Duration = Duration::from_millis(100);

/// A replay to be made: await it. See [`Runtime::replay_since`].
#[must_use = "a replay is made when it is awaited"]
#[derive(Debug)]
pub struct ReplaySince<'a> {
    runtime: &'a Runtime,
    emitter: String,
    since: Timestamp,
    all: bool,
    names: Option<Subscription>,
    codes: Vec<AttemptCode>,
    dry_run: bool,
    rate_limit: Option<RateLimit>,
    progress: watch::Sender<Progress>,
}

/// The progress of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    found: u64,
    queued: u64,
}

impl ReplaySince<'_> {
    /// Not only what the emitter gave up on since the instant, but also every event that was
    /// emitted since then, that its subscription matches, and that the store still has.
    pub fn all(mut self) -> Self {
        self.all = true;
        self
    }

    /// Only events of these names, or that these patterns match. Default: of any name. A
    /// [`Subscription`] is made from them, which checks them.
    pub fn names(mut self, names: Subscription) -> Self {
        self.names = Some(names);
        self
    }

    /// Only what the emitter gave up on after a failure of one of these kinds, also together with
    /// [`ReplaySince::all`]. Default: of any kind.
    pub fn codes(mut self, codes: impl IntoIterator<Item = AttemptCode>) -> Self {
        self.codes = codes.into_iter().collect();
        self
    }

    /// Only counts what would be delivered again.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Queues no faster than this; the burst does not matter. Default: as fast as there is room.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Its progress, while it is awaited and afterwards.
    pub fn progress(&self) -> ReplayProgress {
        ReplayProgress { progress: self.progress.subscribe() }
    }

    async fn run(self) -> Result<ReplayReport, ReplayError> {
        let no_emitter = |_| ReplayError::NoEmitter(self.emitter.clone());
        let emitter = EmitterId::new(&self.emitter).map_err(no_emitter)?;
        let requeue = Requeue::new(&self.runtime.inner, &emitter)?;
        let at = SettledBy::new(&self.runtime.inner, &requeue.spec);
        let mut report = ReplayReport { found: 0, queued: 0, queued_at: Vec::new(), at };
        let wanted = requeue.spec.with_subscription(Clone::clone);
        let mut source = self.source(&emitter, wanted);
        if !self.all || !self.codes.is_empty() {
            let query = source.query.clone().emitter_ids([emitter.clone()]);
            report.found = self.runtime.inner.letters.count(&query).await?;
            self.tell(&report);
            if self.dry_run {
                return Ok(report);
            }
        }
        let counts = report.found == 0;
        let mut next_step = Instant::now();
        loop {
            let replays = source.take(self.step()).await?;
            if replays.is_empty() {
                return Ok(report);
            }
            if counts {
                report.found += replays.len() as u64;
            }
            if !self.dry_run {
                tokio::time::sleep_until(next_step).await;
                next_step = next_step.max(Instant::now()) + self.pause_after(replays.len());
                for replayed in requeue.run(replays).await? {
                    report.enter(replayed);
                }
            }
            self.tell(&report);
        }
    }

    fn source(&self, emitter: &EmitterId, wanted: Subscription) -> Source {
        let inner = &self.runtime.inner;
        let mut query = DeadLetterQuery::new().after(self.since).codes(self.codes.iter().copied());
        query.names = self.names.clone();
        // What is given up, or emitted, from now on is not found.
        let now = Timestamp::now();
        query.before = Some(now);
        let mut events = EventQuery::new().after(self.since).before(now);
        events.names = Some(wanted);
        let with_events = self.all && self.codes.is_empty() && inner.events.is_some();
        Source {
            dead: Arc::clone(&inner.letters),
            log: inner.events.clone(),
            emitter: emitter.clone(),
            query,
            letters: Ahead::new(true),
            event_query: events,
            names: self.names.clone(),
            entries: Ahead::new(with_events),
        }
    }

    /// So many events are queued in one step.
    fn step(&self) -> usize {
        let Some(limit) = self.rate_limit else { return BATCH };
        let in_step = STEP.as_nanos() / limit.interval().as_nanos().max(1);
        usize::try_from(in_step).unwrap_or(BATCH).clamp(1, BATCH)
    }

    fn pause_after(&self, count: usize) -> Duration {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.rate_limit.map_or(Duration::ZERO, |limit| limit.interval() * count)
    }

    fn tell(&self, report: &ReplayReport) {
        let &ReplayReport { found, queued, .. } = report;
        self.progress.send_replace(Progress { found, queued });
        if !self.dry_run {
            let emitter = || report.at.emitter.clone();
            let replaying = || RuntimeEvent::Replaying { emitter: emitter(), found, queued };
            self.runtime.inner.tools.teller.tell(replaying);
        }
    }
}

impl<'a> IntoFuture for ReplaySince<'a> {
    type Output = Result<ReplayReport, ReplayError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The events that are to be delivered again, in the order of the journal, but no damaged one. A
/// few hundred are held at a time, however many there are.
struct Source {
    dead: Arc<dyn DeadLetters>,
    log: Option<Arc<dyn EventLog>>,
    emitter: EmitterId,
    query: DeadLetterQuery,
    letters: Ahead<DeadLetter>,
    event_query: EventQuery,
    names: Option<Subscription>,
    entries: Ahead<Entry>,
}

/// Rows that were read ahead, and where reading goes on; nowhere at the end.
struct Ahead<T> {
    rows: VecDeque<T>,
    next: Option<Sequence>,
}

impl<T> Ahead<T> {
    fn new(wanted: bool) -> Self {
        Self { rows: VecDeque::new(), next: wanted.then_some(Sequence::START) }
    }

    /// Takes what was read; nothing is the end.
    fn read(&mut self, rows: Vec<T>, place: impl Fn(&T) -> Sequence, wanted: impl Fn(&T) -> bool) {
        self.next = rows.last().map(place);
        self.rows.extend(rows.into_iter().filter(wanted));
    }
}

impl Source {
    /// The next few events; none at the end.
    async fn take(&mut self, count: usize) -> Result<Vec<Replay>, ReplayError> {
        let mut replays = Vec::new();
        while replays.len() < count
            && let Some(replay) = self.next().await?
        {
            replays.push(replay);
        }
        Ok(replays)
    }

    async fn next(&mut self) -> Result<Option<Replay>, ReplayError> {
        while self.letters.rows.is_empty()
            && let Some(after) = self.letters.next
        {
            let read = self.dead.after(&self.emitter, after, &self.query).await?;
            let wanted = |it: &DeadLetter| it.code != AttemptCode::Damaged;
            self.letters.read(read, |letter| letter.origin, wanted);
        }
        while self.entries.rows.is_empty()
            && let (Some(after), Some(log)) = (self.entries.next, &self.log)
        {
            let read = log.entries_after(after, &self.event_query).await.map_err(log_failed)?;
            let named = |it: &Entry| self.names.as_ref().is_none_or(|n| n.matches(&it.event.name));
            self.entries.read(read, |entry| entry.sequence, named);
        }
        let [letter, entry] = [
            self.letters.rows.front().map(|letter| letter.origin),
            self.entries.rows.front().map(|entry| entry.sequence),
        ];
        if letter.is_some() && letter == entry {
            self.entries.rows.pop_front();
        }
        let letter_first = letter.is_some_and(|letter| entry.is_none_or(|entry| letter <= entry));
        Ok(match letter_first {
            true => self
                .letters
                .rows
                .pop_front()
                .map(|letter| Replay::new(letter.event, letter.origin).only_dead()),
            false => {
                let entry = self.entries.rows.pop_front();
                entry.map(|entry| Replay::new(entry.event, entry.sequence))
            }
        })
    }
}

/// A replay's numbers, found and queued, and a way to wait for the fates.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReplayReport {
    /// The number of events found that were to be delivered again.
    pub found: u64,
    /// The number of those that were queued. The others waited already, or were dead letters no
    /// longer when it was their turn.
    pub queued: u64,
    /// The places of those, from one to another.
    queued_at: Vec<(Sequence, Sequence)>,
    at: SettledBy,
}

/// The fates of events that were delivered again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayFates {
    /// So many were delivered.
    pub delivered: u64,
    /// So many were given up again: they are dead letters again.
    pub dead_lettered: u64,
    /// So many were dropped before they were settled.
    pub dropped: u64,
    /// So many still waited when the runtime was shut down, or another owner had the emitter.
    pub unsettled: u64,
}

impl ReplayReport {
    fn enter(&mut self, replayed: Replayed) {
        let Replayed::Queued(sequence) = replayed else { return };
        self.queued += 1;
        match self.queued_at.last_mut() {
            Some((_, last)) if last.0 + 1 == sequence.0 => *last = sequence,
            _ => self.queued_at.push((sequence, sequence)),
        }
    }

    /// Waits until the emitter has settled all that was queued, and counts the fates.
    pub async fn settled(&self) -> ReplayFates {
        let mut fates = ReplayFates::default();
        for (first, last) in &self.queued_at {
            for sequence in first.0..=last.0 {
                *match self.at.fate(Sequence(sequence)).await {
                    Some(Fate::Delivered) => &mut fates.delivered,
                    Some(Fate::DeadLettered) => &mut fates.dead_lettered,
                    Some(_) => &mut fates.dropped,
                    None => &mut fates.unsettled,
                } += 1;
            }
        }
        fates
    }
}

/// The progress of a replay.
#[derive(Debug, Clone)]
pub struct ReplayProgress {
    progress: watch::Receiver<Progress>,
}

impl ReplayProgress {
    /// Counts the events found that are to be delivered again: all of them as soon as it has
    /// begun; with [`ReplaySince::all`] as many as were looked at.
    pub fn found(&self) -> u64 {
        self.progress.borrow().found
    }

    /// The number of those that are queued by now.
    pub fn queued(&self) -> u64 {
        self.progress.borrow().queued
    }

    /// Waits until it is further than it was when this was asked last. `false` when it has ended.
    pub async fn changed(&mut self) -> bool {
        self.progress.changed().await.is_ok()
    }
}

impl Runtime {
    /// Delivers again to one emitter what it gave up on since an instant or a date, in the order of
    /// the journal, each as [`Runtime::replay`] does; settings say what exactly, and how fast.
    /// Await it. It takes what it finds in steps of a few hundred: each event is a dead letter, or
    /// it is queued. Dropping it, or a process that dies, ends it between two steps, and called
    /// again it goes on. Where there is no room it waits, unless the journal's overflow policy is
    /// another.
    ///
    /// ```
    /// # async fn after_the_outage(
    /// #     runtime: bugle_runtime::Runtime,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use bugle_core::{RateLimit, Subscription};
    /// use jiff::{Timestamp, ToSpan};
    ///
    /// let since = Timestamp::now() - 2.hours();
    /// let report = runtime
    ///     .replay_since("billing", since)
    ///     .names(Subscription::new("invoice.*")?)
    ///     .rate_limit(RateLimit::per_second(500))
    ///     .await?;
    /// println!("{} queued, {:?}", report.queued, report.settled().await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay_since<P: PointInTime>(
        &self,
        emitter: impl AsRef<str>,
        since: P,
    ) -> P::Made<ReplaySince<'_>> {
        since.make(|since| ReplaySince {
            runtime: self,
            emitter: emitter.as_ref().to_owned(),
            since,
            all: false,
            names: None,
            codes: Vec::new(),
            dry_run: false,
            rate_limit: None,
            progress: watch::Sender::default(),
        })
    }
}
