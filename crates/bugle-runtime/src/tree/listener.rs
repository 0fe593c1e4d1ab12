//! The task that listens to the store, and hands its news on to the emitters.

use std::sync::Arc;

use bugle_core::{Appended, EmitterId, Expired, News};
use ractor::ActorRef;
use tokio::task::JoinHandle;

use crate::emitter::spec::Spec;
use crate::emitter::tools::Tools;
use crate::tree::Specs;
use crate::tree::message::SupervisorMessage;
use crate::tree::router::Router;
use crate::words::event::RuntimeEvent;

/// The one task that listens to the store works with these.
pub(crate) struct Ears {
    pub(crate) router: Arc<Router>,
    pub(crate) specs: Arc<Specs>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) root: ActorRef<SupervisorMessage>,
}

impl Ears {
    /// Listens until the store is closed, or the task is aborted. It is the only one that wakes
    /// emitters for what was appended, by whichever runtime that was.
    pub(crate) fn listen(self, mut appended: Appended) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut news = News::default();
            while appended.next(&mut news).await {
                self.hear(&news);
                tokio::task::coop::consume_budget().await;
            }
        })
    }

    fn hear(&self, news: &News) {
        if news.taken() > 0 {
            self.tools.count_taken();
        }
        match (news.names(), news.emitters()) {
            (Some(names), Some(emitters)) => {
                names.for_each(|name| self.router.wake(name));
                emitters.for_each(|emitter| self.with(emitter, Spec::wake));
            }
            // Too many to tell: who has nothing to read finds that out.
            _ => self.specs.read().values().for_each(|spec| spec.wake()),
        }
        let (expired, _untold) = news.expired();
        expired.iter().for_each(|expired| self.tell(expired));
        if news.taken() > 0 {
            self.specs.read().values().for_each(|spec| spec.settlements.tell());
        }
        match news.moved() {
            Some(moved) => moved.for_each(|emitter| self.moved(emitter)),
            None => {
                let all: Vec<EmitterId> = self.specs.read().keys().cloned().collect();
                all.iter().for_each(|emitter| self.moved(emitter));
            }
        }
    }

    fn with(&self, emitter: &EmitterId, act: impl FnOnce(&Spec)) {
        let spec = self.specs.read().get(emitter).cloned();
        if let Some(spec) = spec {
            act(&spec);
        }
    }

    fn moved(&self, emitter: &EmitterId) {
        self.with(emitter, |spec| {
            // Fails only when the whole runtime has stopped.
            let _ = self.root.send_message(SupervisorMessage::Moved(spec.id.clone()));
        });
    }

    /// An event waited too long: those who watch or wait for a receipt are to know.
    fn tell(&self, expired: &Expired) {
        let Expired { emitter, sequence, name, request_id, .. } = expired.clone();
        self.tools.teller.tell(|| RuntimeEvent::Expired {
            emitter: emitter.clone(),
            sequence,
            name,
            request_id,
        });
        self.with(&emitter, |spec| spec.settlements.tell());
    }
}
