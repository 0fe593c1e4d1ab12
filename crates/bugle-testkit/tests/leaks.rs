//! A test that leaks no tasks passes.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bugle_testkit::{Receiver, assert_no_leaks};

#[tokio::test]
async fn tasks_that_end_soon_are_no_leak() {
    let value = assert_no_leaks(async {
        let receiver = Receiver::start().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let _ = told.await;
            tokio::task::yield_now().await;
        });
        drop(tell);
        receiver.requests().len()
    })
    .await;
    assert_eq!(value, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_on_other_threads_are_waited_for() {
    assert_no_leaks(async {
        for _ in 0..100 {
            tokio::spawn(tokio::time::sleep(Duration::from_millis(5)));
        }
    })
    .await;
}
