//! What is added before it is committed.

use bugle_core::RequestId;
use parking_lot::Mutex;

use super::{Ids, Indexed, Inner, Recent, hash};

/// Rows are found as soon as they are added, and no longer once they are taken back, whether all
/// of them had been added or none.
#[test]
fn rows_that_were_not_committed_are_found_no_longer() {
    let ids = Ids { indexed: Indexed::Events, inner: Mutex::new(Inner::default()) };
    let wanted = RequestId::new("one").unwrap_or_else(|_| RequestId::random());
    let rows = |places: std::ops::Range<i64>| -> Vec<Recent> {
        places.map(|id| Recent { hash: hash(&wanted), id, created: id }).collect()
    };
    let found = || ids.view(std::slice::from_ref(&wanted)).recent;
    ids.add(&rows(1..4));
    ids.take_back(&rows(4..6));
    assert_eq!(found(), [1, 2, 3]);
    ids.add(&rows(4..6));
    assert_eq!(found(), [1, 2, 3, 4, 5]);
    ids.take_back(&rows(4..6));
    ids.take_back(&[]);
    assert_eq!(found(), [1, 2, 3]);
    assert_eq!(ids.in_no_run(), 3);
}
