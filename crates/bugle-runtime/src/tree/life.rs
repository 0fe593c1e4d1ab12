//! An emitter's life as one type, and the way that it goes on: pure, as the lane is.
//!
//! It knows no clock, no actor and no store. An input comes in with its instant, and the life that
//! follows comes out, with the effects that its supervisor has on the world. Some of them come back
//! as inputs: the place that was to be opened is open, the actor that was to end has ended.
//!
//! ```text
//!             attach             opened                  drain              ended
//! (absent) ──────────► Opening ──────────► Running ────────────────► Stopping ───────► Paused
//!                         ▲                 │    ▲                     │   │             │
//!                         │           crash │    │ due                 │   └► (absent)   │
//!                         │                 ▼    │                     │                 │
//!                         │               Restarting ──► Failed        │                 │
//!                         └── another subscription ────────────────────┘    restart ─────┘
//! ```
//!
//! An emitter that another owner has taken is told to end too, and is then `Elsewhere`, until it is
//! claimed back.

mod elsewhere;
mod endings;
pub(crate) mod next;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bugle_core::{
    Backlog, Desired, EmitterId, Forgive, Gone, Incarnation, JournalError, RestartBudget,
    RestartLog,
};

use crate::words::description::Status;
use crate::words::event::RuntimeEvent;

/// The life of an emitter, as its supervisor sees it. `C` is a caller, who waits for an answer.
#[derive(Debug)]
pub(crate) enum Life<C> {
    /// The store opens its place in the journal. It has no actor.
    Opening {
        /// It goes on so then.
        then: Goal,
        /// Calls that came meanwhile: in order.
        waiting: Vec<Call<C>>,
    },
    /// Its actor runs.
    Running,
    /// Its actor was told to end.
    Stopping {
        /// This follows its end.
        then: Then<C>,
        /// Calls that came meanwhile: in order.
        waiting: Vec<Call<C>>,
    },
    /// It crashed, and its next actor starts at this time.
    Restarting {
        /// The time, from the same start as each input's.
        until: Duration,
        /// It died of this.
        why: Box<str>,
    },
    /// It was paused.
    Paused {
        /// The journal does this with its backlog meanwhile.
        backlog: Backlog,
        /// Nobody asked for it: its receiver wants no more.
        gone: bool,
    },
    /// It crashed more often than its budget allows. Only `restart` leaves this life.
    Failed {
        /// It died of this, the last time.
        why: Box<str>,
    },
    /// Another owner has it. Now and then, and when the store says that it may, this one asks
    /// whether it can have it back.
    Elsewhere {
        /// The store's words for it.
        why: Box<str>,
    },
}

/// An emitter goes on in one of these ways once its place is open.
#[derive(Debug)]
pub(crate) enum Goal {
    /// It is new, and starts.
    Attach,
    /// It starts again, with its new place.
    Run,
    /// It stays paused.
    Pause { backlog: Backlog, gone: bool },
    /// It stays failed.
    Fail { why: Box<str> },
}

/// One of these follows the end of an actor that was told to end.
#[derive(Debug)]
pub(crate) enum Then<C> {
    /// It is paused.
    Pause {
        backlog: Backlog,
        gone: bool,
        caller: Option<C>,
        /// The runtime shuts down: it leaves, once it is paused.
        leaves: bool,
    },
    /// It is removed.
    Detach(Option<C>),
    /// It gets the place of another subscription, and starts again.
    Reopen(C),
    /// It is another owner's.
    Yield { why: Box<str> },
    /// The runtime shuts down.
    ShutDown,
}

/// A call for one emitter.
#[derive(Debug)]
pub(crate) enum Call<C> {
    /// Have it be there.
    Attach(C),
    /// Have it be like this from now on, whether it is there or not.
    Ensure {
        caller: C,
        /// Set where it wants something else than it does now: how long its attempts may take.
        anew: Option<Duration>,
    },
    /// Pause it.
    Pause {
        caller: C,
        /// `None`: as the store does by default.
        backlog: Option<Backlog>,
        /// The attempts in flight may take this long to finish.
        grace: Duration,
    },
    /// Start it again.
    Restart(C),
    /// Remove it, with what waits for it.
    Detach(C),
}

/// Something happens to an emitter.
#[derive(Debug)]
pub(crate) enum Input<C> {
    /// Somebody calls.
    Call(Call<C>),
    /// An earlier process has left it, and its place is open: paused, if it was.
    Restored(Option<Backlog>),
    /// The place that this caller waits for is open, or can't be.
    Opened(C, Result<(), JournalError>),
    /// The actor of this life has ended, or could not start.
    Ended {
        incarnation: Incarnation,
        /// Its words, if it was not told to end.
        why: String,
        /// This many attempts ended with it.
        aborted: u32,
    },
    /// The delay after this life's crash is over.
    Due(Incarnation),
    /// The receiver told the actor of this life that it wants no more; what is to follow.
    Gone(Incarnation, Gone),
    /// The courier of this life was told that another owner has the emitter: in these words.
    Lost(Incarnation, String),
    /// The store says that its owner may have changed.
    Moved,
    /// It was asked for, by this caller or by its supervisor alone, and can be had, or not.
    Claimed(Option<C>, Result<(), JournalError>),
    /// The runtime shuts down. What is in flight may take this long.
    ShutDown(Duration),
}

/// The supervisor does one of these for an emitter.
#[derive(Debug)]
pub(crate) enum Effect<C> {
    /// Has the store open the place that this caller wants: [`Input::Opened`] follows.
    Open(C),
    /// Asks the store for an emitter that another owner has: [`Input::Claimed`] follows. For a
    /// caller it is taken, where that can be; otherwise only if it is free.
    Claim(Option<C>),
    /// Has it look whether it can still be read.
    Wake,
    /// Has the store forget the spec of an emitter that was not attached after all.
    Withdraw,
    /// Starts the actor of this life. It can be woken from then on.
    Start(Incarnation),
    /// Lets no event wake it any more.
    Hush,
    /// Has the actor end, once what is in flight is done or this time is over: [`Input::Ended`]
    /// follows.
    Drain(Duration),
    /// Has [`Input::Due`] come after this time.
    Arm(Duration, Incarnation),
    /// Has it not come after all.
    Disarm,
    /// Has the journal keep or drop what waits and what comes.
    Rest(Backlog),
    /// Has the journal keep what comes again, and forget this of the failures.
    Resume(Forgive),
    /// Has it deliver as this caller wants from the next attempt on, and answers once that is safe.
    Retarget(C),
    /// Remembers what it died of.
    Blame(Box<str>),
    /// Has the store keep its spec as it is now, and answers once that is safe.
    Keep(Option<C>),
    /// Takes it out of the tree: nothing waits for it any more.
    Remove,
    /// Has the store forget it and what it has not settled, and answers once that is safe.
    Forget(Option<C>),
    /// Writes into the report of the shutdown what it leaves, and takes it out of the tree.
    Leave { aborted: u32 },
    /// Tells those who watch.
    Tell(RuntimeEvent),
    /// Answers a caller.
    Answer(C, Result<(), Refusal>),
    /// Takes a call that has waited, as if it came now.
    Take(Call<C>),
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such emitter.
    Absent,
    /// There is one, in this status.
    Is(Status),
    /// The store can't do its part.
    Store(JournalError),
    /// The runtime shuts down, or has.
    ShutDown,
}

/// An emitter's life, and what of its earlier ones still matters.
#[derive(Debug)]
pub(crate) struct Lives<C> {
    pub(crate) life: Life<C>,
    /// Since when its status is what it is.
    pub(crate) since: Duration,
    /// The number of its actor, or of its last one: zero before the first.
    pub(crate) incarnation: Incarnation,
    /// Counts the starts after a crash.
    pub(crate) restarts: u64,
    /// The crashes that count against its restart budget: nearly always there are none.
    crashes: Option<Box<RestartLog>>,
}

/// A life depends on this, beside what happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) emitter: &'a EmitterId,
    /// The time, from any fixed start.
    pub(crate) now: Duration,
    pub(crate) budget: &'a RestartBudget,
    /// The journal does this with a paused emitter's backlog where its caller does not say.
    pub(crate) backlog: Backlog,
}

impl<C> Life<C> {
    /// The life as callers see it.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Opening { .. } => Status::Opening,
            Self::Running => Status::Running,
            Self::Stopping { .. } => Status::Stopping,
            Self::Restarting { .. } => Status::Restarting,
            Self::Paused { .. } => Status::Paused,
            Self::Failed { .. } => Status::Failed,
            Self::Elsewhere { .. } => Status::Elsewhere,
        }
    }

    /// The emitter is meant to do this, and the journal does that with its backlog meanwhile.
    pub(crate) fn desired(&self) -> (Desired, Backlog) {
        match self {
            Self::Paused { backlog, .. }
            | Self::Opening { then: Goal::Pause { backlog, .. }, .. }
            | Self::Stopping { then: Then::Pause { backlog, .. }, .. } => {
                (Desired::Paused, *backlog)
            }
            _ => (Desired::Running, Backlog::Keep),
        }
    }

    /// Why it is as it is, where there is more to say than its status does.
    pub(crate) fn reason(&self) -> Option<&str> {
        const GONE: &str = "its receiver answered 410: it wants no more";
        match self {
            Self::Opening { then: Goal::Attach, .. } => Some("it is being attached"),
            Self::Opening { .. } | Self::Stopping { then: Then::Reopen(_), .. } => {
                Some("it is getting another subscription")
            }
            Self::Stopping { then: Then::Pause { gone: true, .. }, .. }
            | Self::Paused { gone: true, .. } => Some(GONE),
            Self::Stopping { then: Then::Pause { .. }, .. } => Some("it is being paused"),
            Self::Stopping { then: Then::Detach(_), .. } => Some("it is being detached"),
            Self::Stopping { then: Then::ShutDown, .. } => Some("the runtime shuts down"),
            Self::Restarting { why, .. }
            | Self::Failed { why }
            | Self::Elsewhere { why }
            | Self::Stopping { then: Then::Yield { why }, .. } => Some(why),
            Self::Running | Self::Paused { .. } => None,
        }
    }
}

impl<C> Call<C> {
    /// Says whether it lets nothing in flight finish.
    fn stops_at_once(&self) -> bool {
        match self {
            Self::Pause { grace, .. } => grace.is_zero(),
            Self::Detach(_) => true,
            _ => false,
        }
    }

    /// Its caller, who waits for an answer.
    pub(crate) fn into_caller(self) -> C {
        match self {
            Self::Attach(caller)
            | Self::Ensure { caller, .. }
            | Self::Pause { caller, .. }
            | Self::Restart(caller)
            | Self::Detach(caller) => caller,
        }
    }
}
