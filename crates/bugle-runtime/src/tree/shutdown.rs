//! Shutting down: what is in flight finishes within the grace, and what is left is reported.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{EmitterId, Journal, JournalError};

use crate::emitter::consequence::Consequence;
use crate::tree::caller::Reply;
use crate::tree::life::Input;
use crate::tree::{ShuttingDown, Tree};
use crate::words::event::RuntimeEvent;
use crate::words::report::ShutdownReport;

/// The store is asked this often to make everything safe, and rests between.
const FLUSHES: u32 = 4;
const FLUSH_REST: Duration = Duration::from_millis(50);

impl Tree {
    pub(crate) async fn shut_down(&mut self, grace: Duration, reply: Reply<ShutdownReport>) {
        self.shutting_down.get_or_insert_default().replies.push(reply);
        let ids: Vec<EmitterId> = self.children.keys().cloned().collect();
        for id in ids {
            self.go_on(&id, Input::ShutDown(grace)).await;
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
        self.shutting_down = Some(ShuttingDown::default());
        let listener = self.listener.take();
        tokio::spawn(async move {
            let mut report = report;
            report.flush_error = flush(&*journal).await.err();
            drop(journal);
            if let Some(listener) = listener {
                listener.abort();
                // An error says that it was aborted, which is what was asked for.
                let _ = listener.await;
            }
            teller.tell(|| RuntimeEvent::ShutDown);
            for reply in shutting_down.replies {
                let _ = reply.send(report.clone());
            }
            root.stop(None);
        });
    }
}

/// An error that may pass is no reason to report that something may be lost: not at once.
async fn flush(journal: &dyn Journal) -> Result<(), JournalError> {
    for _ in 1..FLUSHES {
        match journal.flush().await {
            Err(error) if Consequence::of(error.kind) == Consequence::AskAgain => {
                tokio::time::sleep(FLUSH_REST).await;
            }
            answer => return answer,
        }
    }
    journal.flush().await
}
