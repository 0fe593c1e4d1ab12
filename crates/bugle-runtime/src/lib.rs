//! The supervision tree of Bugle: a root supervisor, one actor per emitter, one courier for each
//! emitter at work.
//!
//! ```text
//! root supervisor
//! ├── emitter "billing"   ── its courier, while it is busy
//! ├── emitter "crm"
//! └── …
//! ```
//!
//! The journal is the truth; actors are disposable. An emitter owns no queue but a cursor into the
//! journal, so a crash, a pause and a restart are all "read again from the cursor".
//!
//! This is the only crate that knows ractor, and none of its types are in the API. Services use
//! the crate `bugle`, which adds the defaults.

mod attach;
mod attempts;
mod builder;
mod caller;
mod courier;
mod dead_letters;
mod description;
mod doorbell;
mod emit;
mod emit_batch;
mod emitter;
mod ensure;
mod error;
mod events;
mod expiry;
mod handler;
mod hindrance;
mod life;
mod lifecycle;
mod limiter;
mod log;
mod message;
mod pages;
mod pause;
mod receipt;
mod replay;
mod replay_since;
mod report;
mod restore;
mod router;
mod runtime;
mod shutdown;
mod size_hint;
mod spec;
mod supervisor;
mod target;
mod trace;
mod tree;
mod verdict;
mod watch;

pub use attempts::Attempts;
pub use bugle_core::Desired;
pub use builder::RuntimeBuilder;
pub use dead_letters::DeadLetters;
pub use description::{EmitterDescription, LastFailure, Status, WaitKind, WaitingFor};
pub use emit::EmitOptions;
pub use emit_batch::EmitBatch;
pub use error::{AttachError, ControlError, EmitError, RestartError, StartError};
pub use events::Events;
pub use handler::{Handled, Handler, HandlerConfig, HandlerError};
pub use pause::Pause;
pub use receipt::{Receipt, SettledAt};
pub use replay::ReplayReceipt;
pub use replay_since::{ReplayFates, ReplayProgress, ReplayReport, ReplaySince};
pub use report::{EmitterLeft, ShutdownReport};
pub use runtime::Runtime;
pub use watch::{RuntimeEvent, Watch};
