//! The state that all connections of a receiver share.

use std::sync::Arc;

use super::ledger::Book;
use super::protocol::Protocol;
use super::reply::Reply;
use super::script::ReplyScript;
use super::tls::PreparedTls;
use crate::gate::Gates;

/// The state that all connections of a receiver share.
#[derive(Debug)]
pub(super) struct ReceiverState {
    pub(super) book: Arc<Book>,
    pub(super) script: ReplyScript,
    pub(super) gates: Arc<Gates>,
    pub(super) requests_per_connection: Option<u64>,
    pub(super) streams_per_connection: u32,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<PreparedTls>,
}

impl ReceiverState {
    /// Waits for as long as the reply says, and then until no gate is closed.
    pub(super) async fn before_answer(&self, reply: &Reply) {
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        self.gates.all_open().await;
    }
}
