//! The vocabulary and the decisions of Bugle.
//!
//! Everything here is pure: no clock is read, no socket opened, no task spawned. The decisions live
//! here ([`Lane`], [`RestartBudget`], [`RetryPolicy`], [`DestinationPolicy`], the encoder in
//! [`payload`]), and so do the ports that the other crates implement: a [`Store`] and the ports
//! that it yields, [`Transport`] and [`Session`].
//!
//! Services depend on the crate `bugle`, which re-exports what they need.

mod answer;
mod attempt;
mod batch;
mod check;
mod config;
mod dead_letter;
mod destination;
mod emitter_spec;
mod event;
mod frame;
mod header;
mod held;
mod id;
mod lane;
mod logged_event;
mod milliseconds;
mod name_index;
mod outcome;
mod page;
pub mod payload;
mod ports;
mod queue;
mod receiver_url;
mod replay;
mod restart;
mod retry;
mod secret;
mod setback;
mod setting;
mod signature;
pub mod stored;
mod subscription;
mod time;
mod verify;
mod waits;

pub use answer::{Answer, BoxFuture};
pub use attempt::{Attempt, AttemptId, AttemptLogPolicy, AttemptQuery, NewAttempt};
pub use batch::{Batch, SourcePosition};
pub use check::{EventCheck, Refused};
pub use config::EmitterConfig;
pub use dead_letter::{DeadLetter, DeadLetterId, DeadLetterQuery};
pub use destination::{Blocked, DestinationPolicy};
pub use emitter_spec::{Desired, EmitterSpec};
pub use event::{Event, TraceContext};
pub use frame::{
    Frame, FrameError, FrameTable, FramedEvent, PartDamaged, ReplayOf, decode_event, encode_event,
    encode_frame,
};
pub use id::{
    EmitterId, EventName, IdError, Incarnation, OrderingKey, Position, RequestId, Sequence,
    SourceId,
};
pub use lane::{Lane, Step, Verdict};
pub use logged_event::{EventQuery, LoggedEvent};
pub use name_index::NameIndex;
pub use outcome::{
    Advice, AttemptCode, Elapsed, Exchange, Failure, Outcome, ResponseHead, SpokenVersion,
};
pub use page::{LogError, Page, PageCursor, PageError};
pub use ports::{
    Announcer, AppendError, Appended, AttemptLog, Backlog, Capabilities, DeadLetters, Delivery,
    EmitterSpecs, Entry, ErrorKind, EventLog, Expired, Fate, Forgive, Journal, JournalError,
    JournalStats, News, Overflow, Positions, Reader, ReaderInfo, Session, Settlement, SpecError,
    Store, StoreInfo, Transport,
};
pub use replay::{Replay, ReplayError, Replayed};
pub use restart::{Restart, RestartBudget, RestartLog};
pub use retry::RetryPolicy;
pub use secret::{Secret, SecretError, VerifyingKey};
pub use setback::{Setback, Setbacks, Tries};
pub use setting::{ClientIdentity, ConfigError, Gone, HttpVersion, Order, Proxy, RateLimit};
pub use signature::{SignatureHeaders, sign_plain};
pub use subscription::{EventNames, Subscription, SubscriptionError};
pub use time::{PointInTime, TimeError};
pub use verify::{DEFAULT_TOLERANCE, Verifier, VerifyError, verify_plain, verify_standard};
