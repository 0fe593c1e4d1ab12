//! Chooses the reply to a request.

use std::collections::VecDeque;
use std::fmt;

use parking_lot::Mutex;

use super::ledger::Received;
use super::reply::{Reply, Stage};

type ReplyChoice = Box<dyn Fn(&Received) -> Reply + Send + Sync>;

/// The replies to come: first those in order, then that of the choice or the default.
#[derive(Default)]
pub(crate) struct ReplyScript {
    state: Mutex<State>,
    choice: Option<ReplyChoice>,
}

struct State {
    in_order: VecDeque<Reply>,
    default: Reply,
}

impl Default for State {
    fn default() -> Self {
        Self { in_order: VecDeque::new(), default: Reply::status(204) }
    }
}

impl ReplyScript {
    pub(crate) fn push(&self, reply: Reply) {
        self.state.lock().in_order.push_back(reply);
    }

    pub(crate) fn set_default(&self, reply: Reply) {
        self.state.lock().default = reply;
    }

    pub(crate) fn set_choice(&mut self, choice: ReplyChoice) {
        self.choice = Some(choice);
    }

    /// The next reply, if it goes wrong at this early stage, before there is a request.
    pub(crate) fn early(&self, stage: Stage) -> Option<Reply> {
        let mut state = self.state.lock();
        match state.in_order.front() {
            Some(next) if next.fault_at(stage).is_some() => state.in_order.pop_front(),
            Some(_) => None,
            None => Some(&state.default)
                .filter(|reply| self.choice.is_none() && reply.fault_at(stage).is_some())
                .cloned(),
        }
    }

    /// The reply to a request of which only the head is known. `None` when the choice needs all of
    /// it.
    pub(crate) fn next(&self) -> Option<Reply> {
        let mut state = self.state.lock();
        match state.in_order.pop_front() {
            None if self.choice.is_none() => Some(state.default.clone()),
            next => next,
        }
    }

    /// The reply for a whole request.
    pub(crate) fn choose(&self, received: &Received) -> Reply {
        match &self.choice {
            Some(choice) => choice(received),
            None => self.state.lock().default.clone(),
        }
    }
}

impl fmt::Debug for ReplyScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("ReplyScript")
            .field("in_order", &state.in_order)
            .field("default", &state.default)
            .finish_non_exhaustive()
    }
}
