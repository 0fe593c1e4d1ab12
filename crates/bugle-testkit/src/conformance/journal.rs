//! What every [`Journal`](bugle_core::Journal) does.

mod batches;
mod lives;
mod order;
mod owners;
mod replays;
mod setbacks;
mod settling;

use std::sync::Arc;

use bugle_core::{
    AttemptCode, Backlog, DeadLetter, EmitterId, Entry, ErrorKind, Fate, Reader, ReaderInfo,
    Sequence, Settlement, Subscription,
};
use jiff::Timestamp;

pub use batches::*;
pub use lives::*;
pub use order::*;
pub use owners::*;
pub use replays::*;
pub use setbacks::*;
pub use settling::*;

use super::{UnderTest, event_of};

/// Makes a `#[test]` of each check of [`journal`](crate::conformance::journal). It takes an
/// `async fn(StoreLimits) -> Arc<dyn Store>` that makes a new, empty store.
#[macro_export]
macro_rules! journal_conformance {
    ($make:expr) => {
        $crate::__conformance_tests! { journal, $make,
            appends_are_ordered
            an_event_reaches_every_subscription_that_matches
            a_reader_of_several_names_reads_them_in_one_order
            a_subscription_that_matches_twice_reads_once
            a_new_reader_starts_behind_everything
            reading_goes_on_after_a_place_and_stops_at_a_limit
            the_cursor_is_below_the_first_unsettled
            settling_twice_does_nothing
            what_is_not_settled_is_read_again
            opening_again_goes_on_from_the_cursor
            another_subscription_keeps_what_waits
            pausing_can_keep_the_backlog
            pausing_can_discard_the_backlog
            pausing_twice_is_the_last_pause
            a_forgotten_emitter_reads_nothing
            a_forgotten_emitter_starts_anew
            every_entry_has_a_fate
            dead_letters_are_kept_newest_first
            depth_counts_what_waits
            settled_events_go
            an_event_is_kept_once_for_all
            many_emitters_share_an_event
            concurrent_appends_are_read_once_in_order
            concurrent_settling_loses_nothing
            a_batch_is_appended_in_order
            a_source_is_where_its_last_batch_was
            concurrent_batches_stay_together
            an_abandoned_batch_is_all_or_nothing
            dead_letters_are_filtered
            pages_of_dead_letters_are_stable
            dead_letters_can_be_discarded
            a_replay_goes_behind_what_waits_and_to_nobody_else
            a_replayed_event_has_its_old_fate_and_then_its_new_one
            what_waits_is_not_replayed_again
            a_paused_reader_keeps_its_replays
            a_replay_goes_on_when_something_was_dropped_for_others
            a_replay_of_nobodys_is_an_error
            another_subscription_takes_the_replays_along
            concurrent_replays_queue_each_event_once
            failed_attempts_are_remembered
            a_clock_that_is_set_makes_no_wait_longer
            failed_attempts_are_forgiven
            dead_letters_are_counted
            a_dead_letter_is_found_by_its_id
            who_opens_last_has_the_emitter
            a_reader_that_is_gone_leaves_the_emitter_free
        }
    };
}

pub(super) async fn reader(journal: &UnderTest, emitter: &str, names: &[&str]) -> Arc<dyn Reader> {
    let subscription = Subscription::new(names).unwrap();
    journal.reader(&EmitterId::new(emitter).unwrap(), &subscription).await.unwrap()
}

pub(super) async fn forget(journal: &UnderTest, emitter: &str) {
    journal.forget(&EmitterId::new(emitter).unwrap()).await.unwrap();
}

pub(super) async fn append(journal: &UnderTest, name: &str) -> Sequence {
    journal.append(event_of(name, 16)).await.unwrap()
}

pub(super) async fn read(reader: &Arc<dyn Reader>) -> Vec<Sequence> {
    let entries = reader.read(Sequence::START, 1_000_000).await.unwrap();
    entries.iter().map(|entry| entry.sequence).collect()
}

/// Says whether a reader has lost its emitter.
pub(super) async fn is_fenced(reader: &Arc<dyn Reader>) -> bool {
    let read = reader.read(Sequence::START, 1).await;
    read.is_err_and(|error| error.kind == ErrorKind::Fenced)
}

/// The standing of an emitter. Its reader knows it as of its last answer, so it is asked.
async fn info(reader: &Arc<dyn Reader>) -> ReaderInfo {
    // Who has lost its emitter knows what it knew.
    let _ = reader.read(Sequence::START, 1).await;
    reader.info()
}

pub(super) async fn depth(reader: &Arc<dyn Reader>) -> u64 {
    info(reader).await.depth
}

pub(super) async fn dropped(reader: &Arc<dyn Reader>) -> u64 {
    info(reader).await.dropped
}

pub(super) async fn cursor(reader: &Arc<dyn Reader>) -> Sequence {
    info(reader).await.cursor
}

pub(super) async fn since(reader: &Arc<dyn Reader>) -> Sequence {
    info(reader).await.since
}

pub(super) async fn dead_letters(reader: &Arc<dyn Reader>) -> u64 {
    info(reader).await.dead_letters
}

pub(super) async fn fate(reader: &Arc<dyn Reader>, sequence: Sequence) -> Option<Fate> {
    reader.fate(sequence).await.unwrap()
}

pub(super) async fn pause(reader: &Arc<dyn Reader>, backlog: Backlog) {
    reader.pause(backlog).await.unwrap();
}

pub(super) async fn resume(reader: &Arc<dyn Reader>) {
    reader.resume().await.unwrap();
}

pub(super) async fn deliver(reader: &Arc<dyn Reader>, sequence: Sequence) {
    reader.settle(sequence, Settlement::Delivered).await.unwrap();
}

pub(super) async fn give_up(emitter: &str, reader: &Arc<dyn Reader>, entry: &Entry) {
    let letter = DeadLetter::new(
        EmitterId::new(emitter).unwrap(),
        entry,
        AttemptCode::Timeout,
        "the deadline passed",
        3,
        Timestamp::now(),
    );
    reader.settle(entry.sequence, Settlement::DeadLettered(Box::new(letter))).await.unwrap();
}
