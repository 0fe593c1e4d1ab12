//! The fields that every event has, for types that are derived.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CreatedOn, Uuid4, rules};

/// The fields that every event has, to be flattened into a type that is derived rather than made
/// with [`event!`](crate::event). See [`EventType`](crate::EventType).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BaseEvent {
    /// The name of the event's type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// When the event was created.
    #[serde(default)]
    pub created_on: CreatedOn,
    /// The step in the path where the event occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_uuid: Option<Uuid4>,
}

impl BaseEvent {
    /// The base of an event of this type that is created now.
    pub fn new(type_name: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), created_on: CreatedOn::now(), step_uuid: None }
    }
}

impl Validate for BaseEvent {
    type Context = ();

    fn validate_into(
        &self,
        context: &(),
        parent: &mut dyn FnMut() -> garde::error::Path,
        report: &mut garde::Report,
    ) {
        // Its fields stand beside those of the event, so its own name is no part of their paths.
        let _ = parent;
        let step = self.step_uuid.clone().unwrap_or_default();
        for (field, problem) in [
            ("type", rules::required(&self.type_name, context).err()),
            ("created_on", rules::required(&self.created_on, context).err()),
            ("step_uuid", rules::valid(&step, context).err()),
        ] {
            if let Some(problem) = problem {
                report.append(garde::Path::new(field), problem);
            }
        }
    }
}
