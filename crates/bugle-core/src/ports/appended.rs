//! The way on which runtimes hear of what was appended, whoever appended it.
//!
//! A store has one [`Announcer`]; each runtime takes an [`Appended`] from it, and from there the
//! [`News`]. News that come while nobody looks are put together: a name that was told is not told
//! again, whoever listens is woken once, and nothing is allocated for an event.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use crate::{EmitterId, EventName, RequestId, Sequence};

/// More names, or emitters, than this are not told one by one.
const MOST: usize = 1_024;

/// More expired events than this are only counted.
const MOST_EXPIRED: usize = 4_096;

/// An event that waited for an emitter longer than its store lets events wait, and was dropped
/// there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// The emitter.
    pub emitter: EmitterId,
    /// The event's place in the journal.
    pub sequence: Sequence,
    /// The event's name.
    pub name: EventName,
    /// The event's request id.
    pub request_id: RequestId,
}

impl Expired {
    /// An event that was dropped at one emitter.
    pub fn new(
        emitter: EmitterId,
        sequence: Sequence,
        name: EventName,
        request_id: RequestId,
    ) -> Self {
        Self { emitter, sequence, name, request_id }
    }
}

/// A set that tells all once it would become too large.
#[derive(Debug)]
struct Few<T> {
    known: IndexSet<T, FxBuildHasher>,
    all: bool,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { known: IndexSet::default(), all: false }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Few<T> {
    /// Enters one. `false` when it was there.
    fn enter(&mut self, one: &T) -> bool {
        // Most often it is the same as before, whose hash need not be known.
        if self.all || self.known.last() == Some(one) || self.known.contains(one) {
            return false;
        }
        if self.known.len() < MOST {
            self.known.insert(one.clone());
        } else {
            self.all = true;
        }
        true
    }

    fn join(&mut self, others: &Self) {
        self.all |= others.all;
        others.known.iter().for_each(|one| {
            self.enter(one);
        });
    }

    fn clear(&mut self) {
        self.known.clear();
        self.all = false;
    }
}

/// The news since somebody looked last.
#[derive(Debug, Default)]
pub struct News {
    names: Few<EventName>,
    emitters: Few<EmitterId>,
    moved: Few<EmitterId>,
    taken: u64,
    expired: Vec<Expired>,
    expired_untold: u64,
}

impl News {
    /// The names of events that were appended, each once: who wants one of them has something to
    /// read. `None` when there are too many to tell: everyone is to look.
    pub fn names(&self) -> Option<impl ExactSizeIterator<Item = &EventName>> {
        (!self.names.all).then(|| self.names.known.iter())
    }

    /// The emitters that have something to read whatever they want: it is delivered again. `None`
    /// when there are too many to tell.
    pub fn emitters(&self) -> Option<impl ExactSizeIterator<Item = &EmitterId>> {
        (!self.emitters.all).then(|| self.emitters.known.iter())
    }

    /// The emitters that another owner has taken, or given up: who had one may have lost it, and
    /// who wants one back may ask. `None` when there are too many to tell.
    pub fn moved(&self) -> Option<impl ExactSizeIterator<Item = &EmitterId>> {
        (!self.moved.all).then(|| self.moved.known.iter())
    }

    /// The number of times that events were taken from those who waited for them: they were marked
    /// as delivered, deleted, or too old. Above zero, an entry that was read may wait no more;
    /// [`Reader::fate`](crate::Reader::fate) says which.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The events that waited too long, and how many more there were than are told.
    pub fn expired(&self) -> (&[Expired], u64) {
        (&self.expired, self.expired_untold)
    }

    /// Changes the expired events, for a store that stands before others.
    pub fn with_expired(&mut self, change: impl FnMut(&mut Expired)) {
        self.expired.iter_mut().for_each(change);
    }

    fn clear(&mut self) {
        self.names.clear();
        self.emitters.clear();
        self.moved.clear();
        self.taken = 0;
        self.expired.clear();
        self.expired_untold = 0;
    }
}

/// One who listens.
#[derive(Debug)]
struct Listener {
    number: u64,
    news: News,
    /// Set while there are any.
    any: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Listeners {
    all: Vec<Listener>,
    last_number: u64,
    /// The journal is gone.
    closed: bool,
}

/// Tells all who listen. A store keeps one, and tells it what its readers can read already.
///
/// It wakes nobody by itself, since it may be told under a lock: whom to wake is put into `woken`.
#[derive(Default)]
pub struct Announcer {
    listeners: Arc<Mutex<Listeners>>,
}

impl Announcer {
    /// An announcer that nobody listens to yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody listens from now on.
    pub fn listen(&self) -> Appended {
        let mut listeners = lock(&self.listeners);
        listeners.last_number += 1;
        let number = listeners.last_number;
        let listener = Listener { number, news: News::default(), any: false, waker: None };
        listeners.all.push(listener);
        Appended { listeners: Arc::clone(&self.listeners), number }
    }

    /// An event of this name was appended.
    pub fn appended(&self, name: &EventName, woken: &mut impl Extend<Waker>) {
        self.each(woken, |news| news.names.enter(name));
    }

    /// Something was appended that only this emitter reads.
    pub fn appended_for(&self, emitter: &EmitterId, woken: &mut impl Extend<Waker>) {
        self.each(woken, |news| news.emitters.enter(emitter));
    }

    /// An emitter was taken by another owner, or given up by the one that it had.
    pub fn moved(&self, emitter: &EmitterId, woken: &mut impl Extend<Waker>) {
        self.each(woken, |news| news.moved.enter(emitter));
    }

    /// An event was taken from those who waited for it.
    pub fn taken(&self, woken: &mut impl Extend<Waker>) {
        self.each(woken, |news| {
            news.taken += 1;
            true
        });
    }

    /// An event has waited too long.
    pub fn expired(&self, expired: &Expired, woken: &mut impl Extend<Waker>) {
        self.each(woken, |news| {
            match news.expired.len() < MOST_EXPIRED {
                true => news.expired.push(expired.clone()),
                false => news.expired_untold += 1,
            }
            true
        });
    }

    /// Tells on what another one has told, for a store that stands before others.
    pub fn repeat(&self, told: &News, woken: &mut impl Extend<Waker>) {
        self.each(woken, |news| {
            news.names.join(&told.names);
            news.emitters.join(&told.emitters);
            news.moved.join(&told.moved);
            news.taken += told.taken;
            let room = MOST_EXPIRED.saturating_sub(news.expired.len()).min(told.expired.len());
            news.expired.extend_from_slice(&told.expired[..room]);
            news.expired_untold += told.expired_untold + (told.expired.len() - room) as u64;
            true
        });
    }

    fn each(&self, woken: &mut impl Extend<Waker>, mut tell: impl FnMut(&mut News) -> bool) {
        for listener in &mut lock(&self.listeners).all {
            if tell(&mut listener.news) {
                listener.any = true;
                woken.extend(listener.waker.take());
            }
        }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        let mut listeners = lock(&self.listeners);
        listeners.closed = true;
        let wakers: Vec<Waker> =
            listeners.all.iter_mut().filter_map(|listener| listener.waker.take()).collect();
        drop(listeners);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer")
            .field("listeners", &lock(&self.listeners).all.len())
            .finish_non_exhaustive()
    }
}

/// One who listens to a journal, from [`Journal::appended`](crate::Journal::appended) on.
pub struct Appended {
    listeners: Arc<Mutex<Listeners>>,
    number: u64,
}

impl Appended {
    /// Puts the news here, in the place of those that were there, as soon as there are any. `false`
    /// when the journal is gone.
    pub fn poll_next(&mut self, context: &mut Context<'_>, news: &mut News) -> Poll<bool> {
        let mut listeners = lock(&self.listeners);
        let closed = listeners.closed;
        let Some(listener) = listeners.all.iter_mut().find(|it| it.number == self.number) else {
            return Poll::Ready(false);
        };
        if listener.any {
            listener.any = false;
            news.clear();
            // What was looked at serves the next ones.
            mem::swap(news, &mut listener.news);
            return Poll::Ready(true);
        }
        if closed {
            return Poll::Ready(false);
        }
        match &mut listener.waker {
            Some(waker) => waker.clone_from(context.waker()),
            waker => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits for the next news: see [`Appended::poll_next`].
    pub async fn next(&mut self, news: &mut News) -> bool {
        poll_fn(|context| self.poll_next(context, news)).await
    }
}

impl Drop for Appended {
    fn drop(&mut self) {
        lock(&self.listeners).all.retain(|listener| listener.number != self.number);
    }
}

impl fmt::Debug for Appended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appended").finish_non_exhaustive()
    }
}

/// Nothing that runs under the lock panics half-way.
fn lock(listeners: &Mutex<Listeners>) -> MutexGuard<'_, Listeners> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}
