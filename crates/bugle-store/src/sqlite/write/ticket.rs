//! An append on its way: what its caller and the log's thread share, in one allocation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bugle_core::{AppendError, JournalError, Sequence};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::sqlite::error::Trouble;

/// What a caller is told: its first event's place.
type Placed = Result<Sequence, AppendError>;

/// An append on its way.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    /// The first event's place once it can be read; 0 before. Set under the backlog's lock.
    published: AtomicU64,
    stage: Mutex<TicketStage>,
}

#[derive(Debug)]
enum TicketStage {
    Waits(Option<Waker>),
    Told(Placed),
    /// The caller has its answer, or stopped waiting.
    Over,
}

impl Default for TicketStage {
    fn default() -> Self {
        Self::Waits(None)
    }
}

impl Ticket {
    /// The answer, as soon as it is there.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Placed> {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, TicketStage::Over) {
            TicketStage::Told(told) => Poll::Ready(told),
            TicketStage::Waits(_) => {
                *stage = TicketStage::Waits(Some(context.waker().clone()));
                Poll::Pending
            }
            TicketStage::Over => Poll::Pending,
        }
    }

    /// The caller stops waiting. What is not published from now on is passed over.
    pub(crate) fn leave(&self) {
        let left = std::mem::replace(&mut *self.stage.lock(), TicketStage::Over);
        drop(left);
    }

    /// Where the first event is, if it can be read. Under the backlog's lock.
    pub(crate) fn published(&self) -> Option<Sequence> {
        Some(Sequence(self.published.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }
}

/// The caller of an append. It is told in any case: at the latest when this is dropped.
#[derive(Debug)]
pub(crate) struct Caller {
    ticket: Arc<Ticket>,
    /// Where it waits, if that is known.
    runtime: Option<Handle>,
}

impl Caller {
    /// Someone who waits here.
    pub(crate) fn here() -> (Self, Arc<Ticket>) {
        let ticket = Arc::<Ticket>::default();
        (Self { ticket: Arc::clone(&ticket), runtime: Handle::try_current().ok() }, ticket)
    }

    pub(crate) fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }

    /// Tells whether it has stopped waiting.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(*self.ticket.stage.lock(), TicketStage::Over)
    }

    /// What it appends can be read, from here on. Under the backlog's lock.
    pub(crate) fn publish(&self, first: Sequence) {
        self.ticket.published.store(first.0, Ordering::Relaxed);
    }

    /// Tells it, if it still waits.
    pub(crate) fn tell(self, what: Placed) {
        self.answer(what);
    }

    fn answer(&self, what: Placed) {
        let mut stage = self.ticket.stage.lock();
        if let TicketStage::Waits(waker) = &mut *stage {
            let waker = waker.take();
            *stage = TicketStage::Told(what);
            drop(stage);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if matches!(*self.ticket.stage.lock(), TicketStage::Waits(_)) {
            self.answer(Err(JournalError::from(Trouble::closed()).into()));
        }
    }
}
