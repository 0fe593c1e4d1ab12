//! What is announced is heard by all who listen, put together.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bugle_core::{Announcer, Appended, EmitterId, EventName, Expired, News, RequestId, Sequence};
use proptest::prelude::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn name(text: &str) -> EventName {
    EventName::new(text).unwrap()
}

/// Tells, and wakes whom that concerns.
fn tell(tell: impl FnOnce(&mut Vec<Waker>)) {
    let mut woken = Vec::new();
    tell(&mut woken);
    woken.into_iter().for_each(Waker::wake);
}

fn take(appended: &mut Appended, news: &mut News, waker: &Waker) -> Poll<bool> {
    appended.poll_next(&mut Context::from_waker(waker), news)
}

#[test]
fn a_burst_wakes_once_and_is_told_together() {
    let announcer = Announcer::new();
    let mut all = [announcer.listen(), announcer.listen()];
    let woken: [Arc<Woken>; 2] = Default::default();
    let mut news = News::default();
    for (appended, woken) in all.iter_mut().zip(&woken) {
        assert!(take(appended, &mut news, &Waker::from(Arc::clone(woken))).is_pending());
    }
    for round in 0..1_000 {
        let name = name(["a", "b"][round % 2]);
        tell(|woken| announcer.appended(&name, woken));
    }
    for (appended, woken) in all.iter_mut().zip(&woken) {
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(take(appended, &mut news, Waker::noop()), Poll::Ready(true));
        let names: Vec<&str> = news.names().unwrap().map(EventName::as_str).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(take(appended, &mut news, Waker::noop()).is_pending());
    }
}

#[test]
fn it_is_bounded_whatever_is_told() {
    let announcer = Announcer::new();
    let mut appended = announcer.listen();
    let emitter = EmitterId::new("one").unwrap();
    for number in 0..5_000 {
        tell(|woken| announcer.appended(&name(&format!("n{number}")), woken));
        let id = RequestId::new("e").unwrap();
        let expired = Expired::new(emitter.clone(), Sequence(number), name("a"), id);
        tell(|woken| announcer.expired(&expired, woken));
    }
    let mut news = News::default();
    assert_eq!(take(&mut appended, &mut news, Waker::noop()), Poll::Ready(true));
    assert!(news.names().is_none(), "everyone is to look");
    let (told, untold) = news.expired();
    assert_eq!((told.len() as u64 + untold, untold > 0), (5_000, true));
    tell(|woken| announcer.appended(&name("a"), woken));
    assert_eq!(take(&mut appended, &mut news, Waker::noop()), Poll::Ready(true));
    assert_eq!(news.names().unwrap().len(), 1, "and then they are told again");
}

#[test]
fn who_listens_hears_of_the_end_after_the_last_news() {
    let announcer = Announcer::new();
    let mut appended = announcer.listen();
    let woken = Arc::<Woken>::default();
    let mut news = News::default();
    let waker = Waker::from(Arc::clone(&woken));
    assert!(take(&mut appended, &mut news, &waker).is_pending());
    tell(|woken| announcer.taken(woken));
    drop(announcer);
    assert_eq!(take(&mut appended, &mut news, &waker), Poll::Ready(true));
    assert_eq!(news.taken(), 1);
    assert_eq!(take(&mut appended, &mut news, &waker), Poll::Ready(false));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
}

proptest! {
    /// However telling and looking fall, each who listens has heard of every name that was told
    /// since it looked last, and is woken whenever there is something.
    #[test]
    fn nothing_is_missed(steps in prop::collection::vec((0..4_usize, 0..3_usize), 1..80)) {
        let announcer = Announcer::new();
        let mut all = [announcer.listen(), announcer.listen()];
        let woken: [Arc<Woken>; 2] = Default::default();
        let mut due: [Vec<String>; 2] = Default::default();
        let mut asleep = [0; 2];
        let mut news = News::default();
        for (what, which) in steps {
            if what < 2 {
                let waker = Waker::from(Arc::clone(&woken[what]));
                match take(&mut all[what], &mut news, &waker) {
                    Poll::Ready(more) => {
                        prop_assert!(more);
                        let mut heard: Vec<String> =
                            news.names().unwrap().map(ToString::to_string).collect();
                        heard.sort();
                        due[what].sort();
                        due[what].dedup();
                        prop_assert_eq!(&heard, &due[what]);
                        due[what].clear();
                    }
                    Poll::Pending => {
                        prop_assert!(due[what].is_empty());
                        asleep[what] = woken[what].0.load(Ordering::SeqCst) + 1;
                    }
                }
            } else {
                let told = format!("n{which}");
                tell(|woken| announcer.appended(&name(&told), woken));
                due.iter_mut().for_each(|due| due.push(told.clone()));
                for (woken, asleep) in woken.iter().zip(asleep) {
                    prop_assert_eq!(woken.0.load(Ordering::SeqCst), asleep);
                }
            }
        }
    }
}
