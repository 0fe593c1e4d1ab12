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
//! It has four rooms, and each knows only those after it: the calls (`api`), the supervision tree
//! (`tree`), one emitter (`emitter`), and the words that all of them use (`words`).
//!
//! This is the only crate that knows ractor, and none of its types are in the API. Services use
//! the crate `bugle`, which adds the defaults.

mod api;
mod emitter;
mod tree;
mod words;

pub use api::attempts::Attempts;
pub use api::builder::RuntimeBuilder;
pub use api::dead_letters::DeadLetters;
pub use api::emit::EmitOptions;
pub use api::emit_batch::EmitBatch;
pub use api::events::Events;
pub use api::pause::Pause;
pub use api::receipt::{Receipt, SettledAt};
pub use api::replay::ReplayReceipt;
pub use api::replay_since::{ReplayFates, ReplayProgress, ReplayReport, ReplaySince};
pub use api::runtime::Runtime;
pub use bugle_core::Desired;
pub use words::description::{EmitterDescription, LastFailure, Status, WaitKind, WaitingFor};
pub use words::error::{AttachError, ControlError, EmitError, RestartError, StartError};
pub use words::event::RuntimeEvent;
pub use words::handler::{Handled, Handler, HandlerConfig, HandlerError};
pub use words::report::{EmitterLeft, ShutdownReport};
pub use words::watch::Watch;
