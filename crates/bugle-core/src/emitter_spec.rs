//! All that is needed to attach an emitter as it was.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Backlog, EmitterConfig, EmitterId, Subscription};

/// The state that an emitter is meant to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Desired {
    /// The emitter should run.
    Running,
    /// The emitter was paused.
    Paused,
}

/// The settings that are needed to attach an emitter as it was.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmitterSpec {
    /// The emitter's id.
    pub id: EmitterId,
    /// The names and patterns of the events that it wants.
    pub subscription: Subscription,
    /// The way it delivers, with the keys that it signs with.
    pub config: Arc<EmitterConfig>,
    /// The state that it is meant to be in.
    pub desired: Desired,
    /// The treatment of its backlog while it is paused.
    pub backlog: Backlog,
}

impl EmitterSpec {
    /// Makes the spec of an emitter that is meant to run.
    pub fn new(
        id: EmitterId,
        subscription: Subscription,
        config: impl Into<Arc<EmitterConfig>>,
    ) -> Self {
        Self {
            id,
            subscription,
            config: config.into(),
            desired: Desired::Running,
            backlog: Backlog::Keep,
        }
    }

    /// Makes it the spec of an emitter that is paused.
    #[must_use]
    pub fn paused(mut self, backlog: Backlog) -> Self {
        self.desired = Desired::Paused;
        self.backlog = backlog;
        self
    }
}
