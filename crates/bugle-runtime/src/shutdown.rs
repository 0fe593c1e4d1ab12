//! Shutting down: what is in flight finishes within the grace, and what is left is reported.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::EmitterId;

use crate::message::{EmitterMessage, Reply, refuse};
use crate::report::ShutdownReport;
use crate::tree::{ShuttingDown, Then, Tree};
use crate::watch::RuntimeEvent;

impl Tree {
    pub(crate) async fn shut_down(&mut self, grace: Duration, reply: Reply<ShutdownReport>) {
        let shutting_down = self
            .shutting_down
            .get_or_insert_with(|| ShuttingDown { replies: Vec::new(), left: Vec::new() });
        shutting_down.replies.push(reply);
        self.refuse_opening();
        let ids: Vec<EmitterId> = self.children.keys().cloned().collect();
        for id in ids {
            let Some(child) = self.children.get_mut(&id) else { continue };
            for message in child.waiting.drain(..) {
                refuse(message);
            }
            if child.stopping.is_some() {
                // Already ending; a second call may shorten its grace.
                if let Some(actor) = &child.spec.state.lock().actor {
                    let _ = actor.send_message(EmitterMessage::Drain(grace));
                }
            } else {
                self.stop(&id, grace, Then::ShutDown).await;
            }
        }
        self.report_if_done();
    }

    pub(crate) fn report_if_done(&mut self) {
        if self.shutting_down.is_none() || !self.by_actor.is_empty() {
            return;
        }
        let Some(mut shutting_down) = self.shutting_down.take() else { return };
        shutting_down.left.sort_by(|one, other| one.id.cmp(&other.id));
        let report = ShutdownReport::new(shutting_down.left);
        let (journal, teller, root) =
            (Arc::clone(&self.journal), self.tools.teller.clone(), self.root.clone());
        // Refuses what comes between now and the end.
        self.shutting_down = Some(ShuttingDown { replies: Vec::new(), left: Vec::new() });
        tokio::spawn(async move {
            let mut report = report;
            report.flush_error = journal.flush().await.err();
            drop(journal);
            teller.tell(|| RuntimeEvent::ShutDown);
            for reply in shutting_down.replies {
                let _ = reply.send(report.clone());
            }
            root.stop(None);
        });
    }
}
