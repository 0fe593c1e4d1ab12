//! The line between the runtime and a store elsewhere: its delays and failures, and the owner of
//! each emitter.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use bugle_core::{
    Announcer, Answer, Appended, EmitterId, ErrorKind, JournalError, News, RequestId, Sequence,
    Store,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::numbers::expired_out;

/// The way to a store, which all ports share.
pub(super) struct Line {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Mutex<Settings>,
    dice: Mutex<fastrand::Rng>,
    /// Set while the store can be reached.
    pub(super) reach: watch::Sender<bool>,
    /// The changes that were handed over while it could not be reached: in order.
    outbox: Mutex<Vec<Change>>,
    announcer: Announcer,
    /// Set once the store's own news are passed on.
    listens: Mutex<bool>,
    owners: Mutex<Vec<(EmitterId, Owner)>>,
    /// The places of events whose callers were told that nobody knows: appended again under the
    /// same id, they are not appended again.
    pub(super) unknown: Mutex<HashMap<RequestId, Vec<Sequence>>>,
}

/// Something that is done to the store once it can be reached.
type Change = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) delay: RangeInclusive<Duration>,
    pub(super) failing_one_in: u32,
    pub(super) timeout: Duration,
}

/// The owner of an emitter.
#[derive(Debug, Clone, Copy, Default)]
struct Owner {
    elsewhere: bool,
    /// Counts how often it was lost: a reader from before is fenced for good.
    losses: u64,
    /// The losses when it was opened here last.
    opened: u64,
}

impl Line {
    pub(super) fn new(store: Arc<dyn Store>, seed: u64) -> Self {
        let settings = Settings {
            delay: Duration::from_millis(1)..=Duration::from_millis(3),
            failing_one_in: 24,
            timeout: Duration::from_millis(20),
        };
        Self {
            store,
            settings: Mutex::new(settings),
            dice: Mutex::new(fastrand::Rng::with_seed(seed)),
            reach: watch::Sender::new(true),
            outbox: Mutex::default(),
            announcer: Announcer::new(),
            listens: Mutex::new(false),
            owners: Mutex::default(),
            unknown: Mutex::default(),
        }
    }

    /// Says whether it fails this time.
    pub(super) fn fails(&self) -> bool {
        let one_in = self.settings.lock().failing_one_in;
        one_in > 0 && self.dice.lock().u32(0..one_in) == 0
    }

    /// The way there, or back.
    pub(super) async fn travel(&self) {
        let (sleeps, turns, part) = {
            let mut dice = self.dice.lock();
            (dice.u32(0..16) == 0, dice.u32(0..3), dice.f64())
        };
        if sleeps {
            let (shortest, longest) = {
                let settings = self.settings.lock();
                (*settings.delay.start(), *settings.delay.end())
            };
            tokio::time::sleep(shortest + longest.saturating_sub(shortest).mul_f64(part)).await;
        }
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the store can be reached, but not for ever.
    pub(super) async fn reach(&self) -> Result<(), JournalError> {
        let timeout = self.settings.lock().timeout;
        let mut reach = self.reach.subscribe();
        let reached = tokio::time::timeout(timeout, reach.wait_for(|reach| *reach)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(unavailable()),
        }
    }

    /// Asks the store for something that may be asked twice: it may fail, and nothing is lost.
    pub(super) async fn ask<T, E: From<JournalError>>(
        &self,
        question: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.travel().await;
        self.reach().await?;
        if self.fails() {
            return Err(transient().into());
        }
        let answer = question.await;
        self.travel().await;
        answer
    }

    /// Hands a change over. It is done at once if the store can be reached, and else when it can;
    /// the answer comes later, and may not say that it was done.
    pub(super) fn hand_over(
        self: &Arc<Self>,
        change: impl FnOnce() -> Answer<'static, Result<(), JournalError>> + Send + 'static,
    ) -> Answer<'static, Result<(), JournalError>> {
        let done = {
            let mut outbox = self.outbox.lock();
            match *self.reach.borrow() {
                true => Some(change()),
                false => {
                    // Nobody hears of it then.
                    outbox.push(Box::new(move || drop(change())));
                    None
                }
            }
        };
        let line = Arc::clone(self);
        Answer::later(async move {
            let answer = match done {
                Some(done) => done.await,
                // By then it is done.
                None => line.reach().await,
            };
            line.travel().await;
            match answer {
                Ok(()) if line.fails() => Err(unavailable()),
                answer => answer,
            }
        })
    }

    /// The store can be reached again.
    pub(super) fn mend(&self) {
        let mut outbox = self.outbox.lock();
        outbox.drain(..).for_each(|change| change());
        self.reach.send_replace(true);
    }

    pub(super) fn lose(&self, emitter: &EmitterId) {
        self.change_owner(emitter, |owner| {
            owner.elsewhere = true;
            owner.losses += 1;
        });
    }

    pub(super) fn give_back(&self, emitter: &EmitterId) {
        self.change_owner(emitter, |owner| owner.elsewhere = false);
    }

    fn with_owner(&self, emitter: &EmitterId, change: impl FnOnce(&mut Owner)) {
        let mut owners = self.owners.lock();
        match owners.iter_mut().find(|(it, _)| it == emitter) {
            Some((_, owner)) => change(owner),
            None => {
                let mut owner = Owner::default();
                change(&mut owner);
                owners.push((emitter.clone(), owner));
            }
        }
    }

    fn change_owner(&self, emitter: &EmitterId, change: impl FnOnce(&mut Owner)) {
        self.with_owner(emitter, change);
        let mut woken = Vec::new();
        self.announcer.moved(emitter, &mut woken);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Says whether an emitter was lost since it was opened here: the reader from then still has it
    /// in the store behind, and is no owner.
    pub(super) fn was_lost(&self, emitter: &EmitterId) -> bool {
        let owners = self.owners.lock();
        owners.iter().any(|(it, owner)| it == emitter && owner.losses > owner.opened)
    }

    /// An emitter was opened here after so many losses.
    pub(super) fn opened(&self, emitter: &EmitterId, losses: u64) {
        if losses > 0 {
            self.with_owner(emitter, |owner| owner.opened = losses);
        }
    }

    /// Counts how often an emitter was lost so far, if it is not elsewhere now.
    pub(super) fn losses(&self, emitter: &EmitterId) -> Result<u64, JournalError> {
        let owners = self.owners.lock();
        let owner = owners.iter().find(|(it, _)| it == emitter).map(|(_, owner)| *owner);
        let owner = owner.unwrap_or_default();
        if owner.elsewhere { Err(elsewhere()) } else { Ok(owner.losses) }
    }

    /// Checks that a reader that was opened after so many losses still has its emitter.
    pub(super) fn owned(&self, emitter: &EmitterId, losses: u64) -> Result<(), JournalError> {
        if self.losses(emitter)? == losses { Ok(()) } else { Err(elsewhere()) }
    }

    /// Passes the store's news on, late, to whoever listens here.
    pub(super) fn appended(self: &Arc<Self>) -> Appended {
        let mut listens = self.listens.lock();
        if !*listens {
            *listens = true;
            let inner = self.store.journal().appended();
            tokio::spawn(pass_on(inner, Arc::downgrade(self), self.reach.subscribe()));
        }
        self.announcer.listen()
    }
}

/// Passes news on until the store is gone.
async fn pass_on(mut inner: Appended, line: Weak<Line>, mut reach: watch::Receiver<bool>) {
    let mut news = News::default();
    while inner.next(&mut news).await {
        if reach.wait_for(|reach| *reach).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
        let Some(line) = line.upgrade() else { return };
        let mut woken = Vec::new();
        news.with_expired(expired_out);
        line.announcer.repeat(&news, &mut woken);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("store", &self.store).finish_non_exhaustive()
    }
}

pub(super) fn transient() -> JournalError {
    JournalError::new(ErrorKind::Transient, "the store fails now and then: ask again")
}

pub(super) fn unavailable() -> JournalError {
    JournalError::new(ErrorKind::Unavailable, "the store can't be reached: ask again")
}

fn elsewhere() -> JournalError {
    JournalError::new(ErrorKind::Fenced, "another owner has this emitter")
}
