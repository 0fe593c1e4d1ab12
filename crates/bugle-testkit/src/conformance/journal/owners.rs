//! The owner of an emitter: one reader, whoever opened it.

use bugle_core::{Backlog, EmitterId, ErrorKind, Sequence, Settlement, Subscription};

use super::super::{MakeStore, StoreLimits, eventually, under_test};
use super::{append, deliver, is_fenced, read, reader};

/// A reader that another one has followed is fenced: what it is asked to do is refused, and changes
/// nothing.
pub async fn who_opens_last_has_the_emitter(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let before = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let second = append(&journal, "a").await;
    deliver(&before, first).await;
    let after = reader(&journal, "one", &["a"]).await;
    assert!(is_fenced(&before).await && !is_fenced(&after).await);
    for answer in [
        before.settle(second, Settlement::Delivered).await,
        before.pause(Backlog::Discard).await,
        before.resume().await,
        before.forgive(bugle_core::Forgive::All).await,
        before.read(Sequence::START, 1).await.map(drop),
    ] {
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Fenced);
    }
    assert_eq!(read(&after).await, [second], "nothing was changed");
    deliver(&after, second).await;
    assert_eq!(read(&after).await, []);
}

/// An emitter is given to one who asks on his own once nobody has it any more, and not before.
pub async fn a_reader_that_is_gone_leaves_the_emitter_free(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let id = EmitterId::new("one").unwrap();
    let wanted = Subscription::new(["a"]).unwrap();
    let ask = async || journal.reader_if_free(&id, &wanted).await;
    let unknown = ask().await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::Refused, "there is no such emitter");
    let before = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    assert_eq!(ask().await.unwrap_err().kind, ErrorKind::Fenced);
    assert_eq!(read(&before).await, [first], "asking takes nothing");
    drop(before);
    let mut free = None;
    eventually("a free emitter", async || {
        free = ask().await.ok();
        free.is_some()
    })
    .await;
    assert_eq!(read(&free.unwrap()).await, [first]);
}
