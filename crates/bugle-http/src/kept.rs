//! The connections that an emitter keeps between deliveries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::multiplex::Multiplex;
use crate::slots::{Keeper, Slots};

/// An emitter's open connections that no HTTP/1.1 delivery holds. The transport's cap shares them:
/// it closes idle ones when slots are short.
#[derive(Default)]
pub(crate) struct Kept {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The idle connections, the longest idle first.
    idle: VecDeque<Box<Connection>>,
    /// The HTTP/2 connection for all deliveries.
    multiplex: Option<Arc<Multiplex>>,
}

impl Kept {
    /// Takes the connection that was used last, with the time that it was idle. When even that was
    /// idle too long, all are closed.
    pub(crate) fn take(
        &self,
        now: Instant,
        idle_timeout: Duration,
    ) -> Option<(Box<Connection>, Duration)> {
        let mut inner = self.inner.lock();
        let connection = inner.idle.pop_back()?;
        let idle_for = now.duration_since(connection.idle_since());
        if idle_for <= idle_timeout {
            return Some((connection, idle_for));
        }
        let expired = std::mem::take(&mut inner.idle);
        drop(inner);
        drop((connection, expired));
        None
    }

    /// Keeps a connection for the next delivery, and closes those that were idle too long. When
    /// others wait for a slot, this one is closed instead.
    pub(crate) fn put(&self, connection: Box<Connection>, idle_timeout: Duration, slots: &Slots) {
        let now = connection.idle_since();
        let mut expired = None;
        {
            let mut inner = self.inner.lock();
            if slots.wanted() {
                drop(inner);
                return;
            }
            let is_old = |oldest: &Connection| {
                now.saturating_duration_since(oldest.idle_since()) > idle_timeout
            };
            // Closing one at a time is enough, because each delivery keeps one at most.
            if inner.idle.front().is_some_and(|oldest| is_old(oldest)) {
                expired = inner.idle.pop_front();
            }
            inner.idle.push_back(connection);
        }
        drop(expired);
    }

    /// The HTTP/2 connection, unless it is closed or was idle too long.
    pub(crate) fn multiplex(&self, idle_timeout: Duration) -> Option<Arc<Multiplex>> {
        let mut inner = self.inner.lock();
        let usable = inner.multiplex.as_ref().is_some_and(|multiplex| {
            let in_use = Arc::strong_count(multiplex) > 1;
            multiplex.is_open() && (in_use || multiplex.idle_for() <= idle_timeout)
        });
        if !usable {
            inner.multiplex = None;
        }
        inner.multiplex.clone()
    }

    /// Keeps an HTTP/2 connection for all later deliveries.
    pub(crate) fn keep_multiplex(&self, multiplex: Arc<Multiplex>) {
        self.inner.lock().multiplex = Some(multiplex);
    }

    /// Closes all idle connections, and drops the HTTP/2 one.
    pub(crate) fn give_up_all(&self) {
        let inner = std::mem::take(&mut *self.inner.lock());
        if let Some(multiplex) = &inner.multiplex {
            multiplex.retire();
        }
    }

    /// Drops an HTTP/2 connection that takes or answers no more requests. Deliveries in flight go
    /// on; those that wait for a stream, and later ones, make another connection.
    pub(crate) fn retire(&self, multiplex: &Arc<Multiplex>) {
        multiplex.retire();
        let mut inner = self.inner.lock();
        if inner.multiplex.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, multiplex)) {
            inner.multiplex = None;
        }
    }

    /// Ends a delivery over HTTP/2. When others wait for a slot and no delivery uses the
    /// connection, it is closed.
    pub(crate) fn release(&self, multiplex: Arc<Multiplex>, slots: &Slots) {
        multiplex.touch();
        let mut inner = self.inner.lock();
        drop(multiplex);
        let unwanted = if slots.wanted() { inner.take_unused() } else { None };
        drop(inner);
        drop(unwanted);
    }
}

impl Keeper for Kept {
    fn give_up_one(&self) -> bool {
        let mut inner = self.inner.lock();
        let connection = inner.idle.pop_front();
        let multiplex = if connection.is_none() { inner.take_unused() } else { None };
        drop(inner);
        connection.is_some() || multiplex.is_some()
    }
}

impl Inner {
    /// Takes the HTTP/2 connection out, if no delivery uses it.
    fn take_unused(&mut self) -> Option<Arc<Multiplex>> {
        self.multiplex.take_if(|multiplex| Arc::strong_count(multiplex) == 1)
    }
}
