//! Judges the events of a runtime by a registry.

use std::sync::Arc;

use bugle_core::{EventCheck, EventName, Refused};

use crate::Registry;

/// Judges a runtime's events by a registry. Give it to the runtime's builder as `event_check`.
///
/// Payloads of registered names are read as their types and checked; events of other names are
/// accepted as they are. [`RegistryCheck::registered_only`] and [`RegistryCheck::names_only`]
/// change that.
#[derive(Debug, Clone)]
#[must_use]
pub struct RegistryCheck {
    registry: Arc<Registry>,
    registered_only: bool,
    names_only: bool,
}

impl RegistryCheck {
    /// Judges by this registry.
    pub fn new(registry: impl Into<Arc<Registry>>) -> Self {
        Self { registry: registry.into(), registered_only: false, names_only: false }
    }

    /// Refuses events whose names are not registered. Default: they are accepted.
    pub fn registered_only(mut self) -> Self {
        self.registered_only = true;
        self
    }

    /// Accepts payloads unread. Default: those of registered names are checked.
    pub fn names_only(mut self) -> Self {
        self.names_only = true;
        self
    }
}

impl EventCheck for RegistryCheck {
    fn check(&self, name: &EventName, payload: &[u8]) -> Result<(), Refused> {
        if !self.registry.contains(name.as_str()) {
            if self.registered_only {
                return Err(Refused::new(format_args!(
                    "no event type '{name}' is registered, and this runtime accepts no other: \
                     register it, or correct the name"
                )));
            }
            return Ok(());
        }
        if self.names_only {
            return Ok(());
        }
        let event = self.registry.read_event(payload).map_err(Refused::new)?;
        if event.name() != name.as_str() {
            return Err(Refused::new(format_args!(
                "the payload is an event of the type '{}', and is emitted as '{name}': emit it \
                 under its own name",
                event.name()
            )));
        }
        Ok(())
    }
}
