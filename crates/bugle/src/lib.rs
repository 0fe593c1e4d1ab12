//! Supervised webhook emitters: tell other systems what happened, reliably, from inside your
//! service.
//!
//! ```no_run
//! use std::time::Duration;
//! use bugle::{EmitterConfig, Runtime, Secret};
//! use serde::Serialize;
//!
//! #[derive(Serialize)]
//! struct Invoice { id: u64, total: f64 }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().start().await?;
//!
//! let config = EmitterConfig::new("https://example.com/hooks")?
//!     .secret(Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?);
//! runtime.attach("billing", "invoice.paid", config).await?;
//!
//! let receipt = runtime.emit("invoice.paid", &Invoice { id: 7, total: 12.5 }).await?;
//! println!("accepted as {}", receipt.request_id());
//!
//! runtime.shutdown(Duration::from_secs(15)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! The journal is the truth; actors are disposable. [`Runtime::emit`](RuntimeHandle::emit) encodes
//! the payload once and appends the event to a journal. Each *emitter* is an actor with a *cursor*
//! into that journal: everything up to the cursor is settled, which is delivered or dead-lettered.
//! A crash, a pause and a restart are all "read again from the cursor", so an emitter's trouble
//! loses nothing, and is never another emitter's.
//!
//! # Guarantees
//!
//! - **Order.** Each emitter delivers in the journal's order, one at a time, unless its
//!   [`Order`] is a window.
//! - **At least once.** What `emit` accepted is delivered, or ends in the emitter's dead letters
//!   with its attempts on record, from where [`replay`](RuntimeHandle::replay) and
//!   [`replay_since`](RuntimeHandle::replay_since) deliver it again. A receiver may get an event
//!   twice, under the same request id. The memory store, which is the default, keeps this as long
//!   as the process lives; [`Store::open`], on disk, also through `kill -9`.
//! - **Isolation.** A panic, a hung receiver or a poison event of one emitter delays no other.
//! - **Bounds.** Memory, response bodies, deadlines and connections have limits with documented
//!   defaults: see [`MemoryOptions`], [`EmitterConfig`] and [`HttpTransport`].
//!
//! # Supervision
//!
//! A root supervisor starts one actor per emitter. [`pause`](RuntimeHandle::pause) stops the actor
//! and keeps its spec; [`restart`](RuntimeHandle::restart) starts it again;
//! [`detach`](RuntimeHandle::detach) removes both. A crash restarts that emitter after a short
//! growing delay, 3 times in 5 seconds by default ([`RestartBudget`]); over its budget it becomes
//! [`Status::Failed`], its backlog waits, and `restart` brings it back. An event that crashes its
//! emitter three times in a row is dead-lettered. Supervision needs unwinding panics: a profile
//! with `panic = "abort"` disables it.
//!
//! # In-process handlers
//!
//! [`attach_handler`](RuntimeHandle::attach_handler) puts a function in the place of a receiver,
//! with the same lane, retries and supervision.
//!
//! # Testing
//!
//! The crate `bugle-testkit` has a receiver that misbehaves on request, a transport for paused
//! time, and more. Wait on [`watch`](RuntimeHandle::watch) or a receipt's
//! [`settled`](Receipt::settled), never on sleeps.

#[cfg(feature = "events")]
pub mod events;
mod runtime;

/// The parts of a store, for those who write one: [`Store`](ports::Store) yields all other ports.
/// The crate `bugle-testkit` has the conformance suite that each passes.
pub mod ports {
    pub use bugle_core::{
        Announcer, Answer, Appended, AttemptLog, Batch, Capabilities, DeadLetters, EmitterSpecs,
        Entry, EventLog, Expired, Forgive, Journal, News, Positions, Reader, ReaderInfo, Replay,
        Replayed, Setback, Setbacks, Settlement, Store, StoreInfo, Tries,
    };
}

pub use bugle_core::payload::{self, PayloadError};
pub use bugle_core::{
    Advice, Answer, AppendError, Attempt, AttemptCode, AttemptId, AttemptLog, AttemptLogPolicy,
    AttemptQuery, Backlog, Batch, Blocked, BoxFuture, ClientIdentity, ConfigError,
    DEFAULT_TOLERANCE, DeadLetter, DeadLetterId, DeadLetterQuery, Delivery, DestinationPolicy,
    Elapsed, EmitterConfig, EmitterId, EmitterSpec, EmitterSpecs, Entry, ErrorKind, Event,
    EventCheck, EventLog, EventName, EventNames, EventQuery, Exchange, Expired, Failure, Fate,
    Gone, HttpVersion, IdError, Incarnation, Journal, JournalError, JournalStats, LogError,
    LoggedEvent, NewAttempt, Order, OrderingKey, Outcome, Overflow, Page, PageCursor, PageError,
    PointInTime, Position, Proxy, RateLimit, Reader, Refused, Replay, ReplayError, Replayed,
    RequestId, ResponseHead, Restart, RestartBudget, RestartLog, RetryPolicy, Secret, SecretError,
    Sequence, Session, Settlement, SignatureHeaders, SourceId, SourcePosition, SpecError,
    SpokenVersion, Subscription, SubscriptionError, TimeError, TraceContext, Transport, Verifier,
    VerifyError, VerifyingKey, sign_plain, verify_plain, verify_standard,
};
pub use bugle_http::{
    ConnectionStats, HttpTransport, HttpTransportBuilder, Resolve, SystemResolver,
};
pub use bugle_runtime::{
    AttachError, Attempts, ControlError, DeadLetters, Desired, EmitBatch, EmitError, EmitOptions,
    EmitterDescription, EmitterLeft, Events, Handled, Handler, HandlerConfig, HandlerError,
    LastFailure, Pause, Receipt, ReplayFates, ReplayProgress, ReplayReceipt, ReplayReport,
    ReplaySince, RestartError, RuntimeEvent, SettledAt, ShutdownReport, StartError, Status,
    WaitKind, WaitingFor, Watch,
};
#[cfg(feature = "sqlite")]
pub use bugle_store::{Durability, Repair, SqliteOptions, StoreError};
pub use bugle_store::{MemoryOptions, Store};
/// The bytes of a payload, or of a response's body.
pub use bytes::Bytes;
/// A stream of pages' items, one page after the other: the answer of each log's `query`.
pub use futures_core::Stream;
/// A network, as `10.0.0.0/8`, for [`EmitterConfig::allow_destinations`].
pub use ipnet::IpNet;
/// Points in time: an instant, as in attempts and the expiry of keys; a date; and an instant with
/// its time zone.
pub use jiff::{Timestamp, Zoned, civil::Date};
pub use runtime::{Builder, Runtime, RuntimeHandle};
/// The URL of a receiver.
pub use url::Url;

/// Serves the workspace's other crates, which depend on this one alone. It is no part of the API,
/// and may change with any version.
#[doc(hidden)]
pub use bugle_http::__private;
