//! A service that is killed again and again, and a receiver that fails: the count of attempts and
//! the wait that the receiver asked for survive.
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bugle::{DeadLetterQuery, EmitterConfig, Runtime, RuntimeEvent, Store};
use bugle_testkit::{Act, Receiver, Reply, ScriptedTransport};
use support::{config, emit, every, wait, within};

const DIRECTORY: &str = "BUGLE_RETRIES_TEST_DIRECTORY";
const URL: &str = "BUGLE_RETRIES_TEST_URL";
const MAX_ATTEMPTS: u32 = 8;
const LIVES: usize = 20;

fn failing(url: &str) -> EmitterConfig {
    config(url).retry(every(Duration::from_millis(1)).max_attempts(MAX_ATTEMPTS))
}

/// The process that is killed.
#[tokio::test]
#[ignore = "the child of the other test"]
async fn child() {
    let (Ok(directory), Ok(url)) = (std::env::var(DIRECTORY), std::env::var(URL)) else { return };
    let store = Store::open(directory).unwrap();
    let runtime = Runtime::builder().store(store).start().await.unwrap();
    runtime.attach("a", "invoice.paid", failing(&url)).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn an_event_is_given_up_after_its_attempts_however_often_the_service_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    receiver.otherwise(Reply::status(500));
    let url = receiver.url("/");
    {
        // The event waits before the first life.
        let store = Store::open(directory.path()).unwrap();
        let runtime = Runtime::builder().store(store).start().await.unwrap();
        runtime.attach("a", "invoice.paid", failing(&url)).await.unwrap();
        runtime.pause("a").await.unwrap();
        emit(&runtime, "invoice.paid", "1").await;
        runtime.shutdown(Duration::ZERO).await;
    }
    let mut kills = 0;
    for _ in 0..LIVES {
        let before = receiver.requests().len();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env(URL, &url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The second attempt of a life begins when the first is recorded; a life that has given the
        // event up makes none.
        let deadline = std::time::Instant::now() + Duration::from_secs(3);
        while receiver.requests().len() < before + 2 && std::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if receiver.requests().len() < before + 2 {
            break;
        }
    }
    let runtime = reopened(directory.path(), &url).await;
    let mut watch = runtime.watch();
    within("the dead letter", async {
        while runtime.describe("a").unwrap().dead_letters == 0 {
            watch.next().await.unwrap();
        }
    })
    .await;
    let letters = runtime.dead_letters().page(DeadLetterQuery::new(), None).await.unwrap().items;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].attempts >= MAX_ATTEMPTS);
    let requests = receiver.requests().len();
    let most = MAX_ATTEMPTS as usize + kills + 1;
    assert!((MAX_ATTEMPTS as usize..=most).contains(&requests), "{requests} in {kills} kills");
    assert!(kills < LIVES, "the count went on from life to life");
}

async fn reopened(directory: &Path, url: &str) -> Runtime {
    let runtime = Runtime::builder().store(Store::open(directory).unwrap()).start().await.unwrap();
    runtime.attach("a", "invoice.paid", failing(url)).await.unwrap();
    runtime
}

#[tokio::test]
async fn what_a_receiver_asked_for_survives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let transport = ScriptedTransport::new();
    let hour = Duration::from_secs(3_600);
    transport.at("down.example.com").otherwise(Act::retry_after(hour));
    for life in 0..3 {
        let store = Store::open(directory.path()).unwrap();
        let builder = Runtime::builder().store(store).transport(transport.clone());
        let runtime = builder.start().await.unwrap();
        let mut watch = runtime.watch();
        runtime.attach("down", "a", failing("https://down.example.com/")).await.unwrap();
        runtime.attach("well", "a", failing("https://well.example.com/")).await.unwrap();
        emit(&runtime, "a", &format!("event-{life}")).await;
        if life == 0 {
            wait(&mut watch, |it| matches!(it, RuntimeEvent::AttemptFailed { .. })).await;
        }
        within("the other emitter", async {
            while runtime.describe("well").unwrap().depth > 0 {
                watch.next().await.unwrap();
            }
        })
        .await;
        let down = runtime.describe("down").unwrap();
        assert_eq!((down.failures_in_a_row, down.depth), (1, life + 1), "life {life}");
        assert_eq!(transport.attempts_of("down").len(), 1, "life {life}");
        if life < 2 {
            runtime.shutdown(Duration::ZERO).await;
            continue;
        }
        // An operator who restarts it wants to see it try.
        transport.at("down.example.com").otherwise(Act::deliver());
        runtime.pause("down").await.unwrap();
        runtime.restart("down").await.unwrap();
        within("the backlog", async {
            while runtime.describe("down").unwrap().depth > 0 {
                watch.next().await.unwrap();
            }
        })
        .await;
        assert_eq!(transport.attempts_of("down").len(), 4);
    }
}
