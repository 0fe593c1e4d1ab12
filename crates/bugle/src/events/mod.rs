//! Typed events, change events and resthooks, connected to the runtime.
//!
//! The crate [`bugle_events`], which is re-exported here, describes event types. A runtime accepts
//! their events with [`EmitEvent::emit_event`]:
//!
//! ```
//! use bugle::Runtime;
//! use bugle::events::{EmitEvent as _, RegistryCheck, Rules, event, flow};
//!
//! event! {
//!     /// An order was placed.
//!     pub struct OrderPlaced = "order.placed" {
//!         /// The order's number.
//!         order: String => Rules::REQUIRED,
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut registry = flow::registry();
//! registry.register::<OrderPlaced>()?;
//! let runtime = Runtime::builder()
//!     .event_check(RegistryCheck::new(registry).registered_only())
//!     .start()
//!     .await?;
//!
//! runtime.emit_event(&OrderPlaced { order: "A-7".to_owned(), ..OrderPlaced::now() }).await?;
//!
//! let error = runtime.emit_event(&OrderPlaced::now()).await.unwrap_err();
//! assert_eq!(error.to_string(), "field 'order' is required");
//! let error = runtime.emit("order.payed", &OrderPlaced::now()).await.unwrap_err();
//! assert!(error.to_string().starts_with("no event type 'order.payed' is registered"));
//! # Ok(())
//! # }
//! ```

mod calls;
mod changes;
mod claims;
mod emit;
mod resthooks;

pub use bugle_events::*;

pub use calls::{CallRecorder, RecordCalls};
pub use changes::{
    ChangeHandler, Changes, HandlerErrors, NoHandler, SentChanges, SetAside, SubscriberError,
};
pub use claims::Claim;
pub use emit::{EmitEvent, EmitEventBatch};
pub use resthooks::{ResthookError, Resthooks};
