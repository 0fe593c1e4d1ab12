//! Typed events for Bugle.
//!
//! An *event type* ([`EventType`]) has a name, a JSON form, rules and a JSON Schema. A [`Registry`]
//! knows types by name: it reads an event as the type that its field `type` names, checks it, and
//! reports every failing field at once. [`flow`] has the 23 types of the flow engine; [`event!`]
//! makes types of your own.
//!
//! Reading and writing back loses nothing. A type keeps the fields that it does not know; a field
//! that was `null`, empty or missing is written so again; numbers that no type reads keep their
//! digits; a time keeps the form that it was written in. Strings may be escaped differently, and
//! fields come in the order of their type.
//!
//! Services depend on the crate `bugle`, which re-exports this one with its feature `events`.

mod any_event;
mod base;
mod borrowed;
mod casing;
mod change;
mod created_on;
mod error;
mod event_type;
pub mod flow;
mod json;
mod record;
mod registry;
mod registry_check;
mod rfc3339;
pub mod rules;
mod status;
mod text;
mod urn;

pub use any_event::AnyEvent;
pub use base::BaseEvent;
pub use change::{AuditRow, Change, ChangeError, ChangeEvent, ChangeTarget, Row};
pub use created_on::{CreatedOn, CreatedOnError};
pub use error::{Invalid, Problem, ReadError, RegisterError};
pub use event_type::EventType;
pub use json::Json;
pub use record::{Field, Rules};
pub use registry::Registry;
pub use registry_check::RegistryCheck;
pub use status::WebhookStatus;
pub use text::{Attachment, HintType, Urn, Uuid, Uuid4};

/// Re-exports the libraries whose types stand in this crate's API, at the versions that it uses.
pub use {garde, schemars};

/// Serves the code that the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::record::{
        AsRead, FieldSchema, Record, check_exactly_one, check_field, deserialize, read_field,
        record_schema, serialize, write_field,
    };
    pub use serde;
}
