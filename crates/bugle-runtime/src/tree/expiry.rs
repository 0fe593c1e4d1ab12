//! Telling of events that waited too long: the store drops them, and those who watch or wait for a
//! receipt are to know.

use std::sync::Arc;

use bugle_core::{Expired, OnExpired};

use crate::emitter::tools::Tools;
use crate::tree::Specs;
use crate::words::event::RuntimeEvent;

/// A runtime has its journal call this. It keeps nothing of the runtime: a store may outlive it.
pub(crate) fn teller(tools: &Arc<Tools>, specs: &Arc<Specs>) -> OnExpired {
    let (tools, specs) = (Arc::downgrade(tools), Arc::downgrade(specs));
    Arc::new(move |expired| {
        let (Some(tools), Some(specs)) = (tools.upgrade(), specs.upgrade()) else { return };
        let Expired { emitter, sequence, name, request_id, .. } = expired;
        let spec = specs.read().get(&emitter).cloned();
        tools.teller.tell(|| RuntimeEvent::Expired { emitter, sequence, name, request_id });
        if let Some(spec) = spec {
            spec.settlements.tell();
        }
    })
}
