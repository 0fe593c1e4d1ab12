//! The trait of all event types.

use std::fmt::Debug;

use garde::Validate;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{CreatedOn, Invalid, Uuid4};

/// A type of events: its name, its JSON both ways, its rules and its JSON Schema.
///
/// The macro [`event!`](crate::event) makes event types that keep the fields that they don't know.
/// For a type that exists already, implement this trait over the derives of serde, schemars and
/// garde:
///
/// ```
/// use bugle_events::{BaseEvent, CreatedOn, EventType, Uuid4, rules};
///
/// #[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema, garde::Validate)]
/// # #[schemars(crate = "bugle_events::schemars")]
/// struct UserInvited {
///     #[serde(flatten)]
///     #[garde(dive)]
///     base: BaseEvent,
///     #[serde(default)]
///     #[garde(custom(rules::required))]
///     email: String,
/// }
///
/// impl EventType for UserInvited {
///     const NAME: &'static str = "user.invited";
///     fn created_on(&self) -> CreatedOn {
///         self.base.created_on
///     }
///     fn step_uuid(&self) -> Option<&str> {
///         self.base.step_uuid.as_deref()
///     }
///     fn set_step_uuid(&mut self, step: Uuid4) {
///         self.base.step_uuid = Some(step);
///     }
/// }
///
/// let nobody = UserInvited { base: BaseEvent::new(UserInvited::NAME), email: String::new() };
/// assert_eq!(nobody.check().unwrap_err().to_string(), "field 'email' is required");
/// ```
pub trait EventType:
    // Its JSON both ways, its rules, and its schema.
    Serialize
    + DeserializeOwned
    + Validate<Context = ()>
    + JsonSchema
    + Debug
    + Send
    + Sync
    + 'static
{
    /// The name, which the events carry in their field `type`. It is the name that they are emitted
    /// under, too: tokens of `[A-Za-z0-9_-]` joined by dots.
    const NAME: &'static str;

    /// When the event was created.
    fn created_on(&self) -> CreatedOn;

    /// The step in the path where the event occurred, when it has one.
    fn step_uuid(&self) -> Option<&str>;

    /// Sets the step in the path where the event occurred.
    fn set_step_uuid(&mut self, step: Uuid4);

    /// Checks the event against the rules of its type.
    ///
    /// # Errors
    /// [`Invalid`] names every field that fails.
    fn check(&self) -> Result<(), Invalid> {
        Ok(self.validate()?)
    }
}
