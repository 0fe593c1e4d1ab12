//! The way from an event's name to the emitters that are woken for it.

use std::sync::Arc;

use bugle_core::{EmitterId, EventName, NameIndex};
use parking_lot::RwLock;

use crate::emitter::spec::Spec;

/// The emitters that run, by what they want.
#[derive(Debug, Default)]
pub(crate) struct Router {
    running: RwLock<NameIndex<EmitterId, Arc<Spec>>>,
}

impl Router {
    pub(crate) fn insert(&self, spec: &Arc<Spec>) {
        spec.with_subscription(|wanted| self.running.write().insert(wanted, &spec.id, spec));
    }

    pub(crate) fn remove(&self, spec: &Spec) {
        spec.with_subscription(|wanted| self.running.write().remove(wanted, &spec.id));
    }

    /// Wakes every emitter whose subscription matches.
    pub(crate) fn wake(&self, name: &EventName) {
        self.running.read().for_each(name, |_, spec| spec.wake());
    }
}
