//! The words of an emitter's actor: what it is told, and what it tells its supervisor.

use std::time::Duration;

use ractor::ActorId;

/// An emitter's actor is told one of these.
#[derive(Debug)]
pub(crate) enum EmitterMessage {
    /// There may be something to deliver, and there is no courier.
    Wake,
    /// A courier ended.
    CourierEnded { number: u64, exit: Exit },
    /// Finish what is in flight within this time, then stop.
    Drain(Duration),
    /// The time for that is over.
    DrainOver,
    /// Crash, for a test of what happens then.
    Crash(String),
}

/// A courier ended for one of these reasons.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It had nothing to do for a while.
    Idle,
    /// It was asked to finish what was in flight, or has an old target.
    Finished,
    /// The receiver is gone.
    Gone,
    /// Another owner has the emitter: what the store says.
    Lost(String),
    /// A delivery, the store or the courier itself broke: what it says.
    Crashed(String),
}

/// An emitter's actor tells its supervisor one of these.
#[derive(Debug)]
pub(crate) enum EmitterReport {
    /// The receiver of this actor's emitter answered 410, and the configuration minds.
    Gone(ActorId),
    /// The courier of this actor's emitter was told that another owner has it: in these words.
    Lost(ActorId, String),
}
