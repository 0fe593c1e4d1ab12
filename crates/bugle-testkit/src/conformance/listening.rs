//! The promises of every [`Journal`](bugle_core::Journal) to those who listen.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bugle_core::{
    Appended, Backlog, Batch, DeadLetterQuery, EmitterId, News, Reader, Replay, RequestId,
    Sequence, Subscription,
};

use super::journal::{append, deliver, give_up, pause, reader};
use super::{MakeStore, StoreLimits, event_of, under_test, with_events};

/// Makes a `#[test]` of each check of [`listening`](crate::conformance::listening). It takes an
/// `async fn(StoreLimits) -> Arc<dyn Store>` that makes a new, empty store.
#[macro_export]
macro_rules! listening_conformance {
    ($make:expr) => {
        $crate::__conformance_tests! { listening, $make,
            all_who_listen_hear_of_an_append
            what_comes_meanwhile_is_told_together
            what_is_told_can_be_read
            a_batch_tells_each_of_its_names
            what_nobody_wants_is_not_told
            too_many_names_are_told_as_all
            a_replay_tells_its_emitter
            a_taken_event_is_told
            an_emitter_that_changes_hands_is_told
            listening_ends_with_the_journal
        }
    };
}

/// Waits until something is told that fits.
async fn hear(appended: &mut Appended, mut fits: impl FnMut(&News) -> bool) -> News {
    let mut news = News::default();
    while appended.next(&mut news).await {
        if fits(&news) {
            return news;
        }
    }
    panic!("the journal is gone");
}

fn names(news: &News) -> Vec<String> {
    news.names().unwrap().map(ToString::to_string).collect()
}

/// Says whether there is nothing to hear now.
async fn is_quiet(appended: &mut Appended) -> bool {
    let mut news = News::default();
    poll_fn(|context| Poll::Ready(appended.poll_next(context, &mut news).is_pending())).await
}

/// Whoever appends, and however many listen.
pub async fn all_who_listen_hear_of_an_append(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let _one = reader(&journal, "one", &["a", "b"]).await;
    let (mut here, mut there) = (journal.appended(), journal.store.journal().appended());
    for name in ["a", "b", "a"] {
        append(&journal, name).await;
        for appended in [&mut here, &mut there] {
            let news = hear(appended, |news| news.names().is_none_or(|it| it.len() > 0)).await;
            assert_eq!(names(&news), [name]);
        }
    }
    drop(here);
    append(&journal, "b").await;
    hear(&mut there, |news| names(news) == ["b"]).await;
}

/// However much is appended while nobody looks, each name is told once.
pub async fn what_comes_meanwhile_is_told_together(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let _one = reader(&journal, "one", &["a", "b"]).await;
    let mut appended = journal.appended();
    for number in 0..500 {
        append(&journal, if number % 2 == 0 { "a" } else { "b" }).await;
    }
    let (mut told, mut heard) = (0, Vec::new());
    let all = |heard: &Vec<String>| ["a", "b"].iter().all(|name| heard.iter().any(|it| it == name));
    while !all(&heard) {
        let news = hear(&mut appended, |_| true).await;
        told += names(&news).len();
        heard.extend(names(&news));
    }
    assert!(told <= 20, "{told} names were told");
}

/// An event that is told of was appended before: it is there for who looks.
pub async fn what_is_told_can_be_read(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut appended = journal.appended();
    let writer = {
        let journal = journal.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                append(&journal, "a").await;
            }
        })
    };
    let (mut last, mut count) = (Sequence::START, 0);
    while count < 200 {
        hear(&mut appended, |_| true).await;
        let entries = one.read(last, 1_000).await.unwrap();
        count += entries.len();
        last = entries.last().map_or(last, |entry| entry.sequence);
    }
    writer.await.unwrap();
}

/// Each name of a batch, once.
pub async fn a_batch_tells_each_of_its_names(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let _all = reader(&journal, "all", &[">"]).await;
    let mut appended = journal.appended();
    let batch = ["a", "b", "a", "c"].map(|name| event_of(name, 1)).to_vec();
    journal.append_all(Batch::new(batch)).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.extend(names(&hear(&mut appended, |_| true).await));
    }
    heard.sort();
    assert_eq!(heard, ["a", "b", "c"]);
}

/// An event that no emitter waits for wakes nobody.
pub async fn what_nobody_wants_is_not_told(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let _one = reader(&journal, "one", &["a"]).await;
    let discards = reader(&journal, "discards", &["b"]).await;
    pause(&discards, Backlog::Discard).await;
    let mut appended = journal.appended();
    for name in ["b", "c", "a"] {
        append(&journal, name).await;
    }
    let news = hear(&mut appended, |news| news.names().is_none_or(|it| it.len() > 0)).await;
    assert_eq!(names(&news), ["a"]);
    assert!(is_quiet(&mut appended).await);
}

/// The news are bounded: of very many names it is said that everyone is to look.
pub async fn too_many_names_are_told_as_all(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let _all = reader(&journal, "all", &[">"]).await;
    let mut appended = journal.appended();
    let batch = (0..3_000).map(|number| event_of(&format!("n{number}"), 1)).collect();
    journal.append_all(Batch::new(batch)).await.unwrap();
    let mut told = 0;
    while told < 3_000 {
        let news = hear(&mut appended, |_| true).await;
        match news.names() {
            Some(names) => told += names.len(),
            None => return,
        }
        assert!(told < 3_000, "three thousand names were told one by one");
    }
}

/// A replay wakes its emitter, whatever that wants by now.
pub async fn a_replay_tells_its_emitter(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    append(&journal, "a").await;
    let entry = one.read(Sequence::START, 1).await.unwrap().remove(0);
    give_up("one", &one, &entry).await;
    let _one = reader(&journal, "one", &["other"]).await;
    let letter = journal.letters.page(&DeadLetterQuery::new(), None).await.unwrap().items.remove(0);
    let mut appended = journal.appended();
    let id = EmitterId::new("one").unwrap();
    journal.replay(&id, vec![Replay::new(letter.event, letter.origin)]).await.unwrap();
    let of_it = |news: &News| news.emitters().is_none_or(|mut all| all.any(|it| *it == id));
    hear(&mut appended, of_it).await;
}

/// An event that is marked as delivered, or deleted, is told of: who has read it looks again.
pub async fn a_taken_event_is_told(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let _one = reader(&journal, "one", &["a"]).await;
    let ids: Vec<RequestId> = ["e1", "e2"].map(|id| RequestId::new(id).unwrap()).to_vec();
    for id in &ids {
        let mut event = bugle_core::Event::clone(&event_of("a", 1));
        event.request_id = id.clone();
        journal.append(Arc::new(event)).await.unwrap();
    }
    let mut appended = journal.appended();
    assert!(log.mark_delivered(&ids[0]).await.unwrap());
    hear(&mut appended, |news| news.taken() > 0).await;
    assert!(log.delete(&ids[1]).await.unwrap());
    hear(&mut appended, |news| news.taken() > 0).await;
}

/// An owner that has lost an emitter hears of it, and one that waits for it, when it is free.
pub async fn an_emitter_that_changes_hands_is_told(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let id = EmitterId::new("one").unwrap();
    let moved = |news: &News| news.moved().is_none_or(|mut all| all.any(|it| *it == id));
    let mut appended = journal.appended();
    let before = reader(&journal, "one", &["a"]).await;
    append(&journal, "a").await;
    hear(&mut appended, |news| !moved(news)).await;
    let after = reader(&journal, "one", &["a"]).await;
    hear(&mut appended, moved).await;
    drop(before);
    let first = after.read(Sequence::START, 1).await.unwrap().remove(0).sequence;
    deliver(&after, first).await;
    drop(after);
    hear(&mut appended, moved).await;
    let wanted = Subscription::new(["a"]).unwrap();
    let again: Arc<dyn Reader> = journal.reader_if_free(&id, &wanted).await.unwrap();
    assert_eq!(again.read(Sequence::START, 1).await.unwrap().len(), 0);
}

/// Nobody waits for a journal that is no more.
pub async fn listening_ends_with_the_journal(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let mut appended = journal.appended();
    drop(journal);
    let mut news = News::default();
    while appended.next(&mut news).await {}
}
