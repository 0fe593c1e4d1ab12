//! `bugle deliver --store`: what an interrupted run leaves, and how the next one goes on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bugle_testkit::{Received, Receiver, Reply};
use common::{DEADLINE, Ran, bugle, finish, run, signal};
use serde_json::{Value, json};

fn lines(numbers: impl IntoIterator<Item = u64>) -> String {
    let line = |id| format!("{{\"name\":\"invoice.paid\",\"payload\":{{\"id\":{id}}}}}\n");
    numbers.into_iter().map(line).collect()
}

/// A directory with a file of events in it, and room for a store.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn with(events: &str) -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        place.write(events);
        place
    }

    fn write(&self, events: &str) {
        fs::write(self.path("events.ndjson"), events).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// `deliver FILE --store DIR --json`, and more.
    fn args(&self, more: &[&str]) -> Vec<String> {
        let (file, store) = (self.path("events.ndjson"), self.path("store"));
        let args = ["deliver", &file, "--store", &store, "--json"];
        args.iter().chain(more).map(ToString::to_string).collect()
    }

    async fn deliver(&self, more: &[&str]) -> Ran {
        let args = self.args(more);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>(), "").await
    }

    /// Delivers the events that the store still has, without a file.
    async fn deliver_left(&self) -> Ran {
        run(&["deliver", "--store", &self.path("store"), "--json"], "").await
    }
}

fn id(request: &Received) -> u64 {
    serde_json::from_slice::<Value>(&request.body).unwrap()["id"].as_u64().unwrap()
}

/// The events in the order in which each came first, after a look at their request ids: a line
/// that was accepted twice would come under two.
fn first_arrivals(receiver: &Receiver) -> Vec<u64> {
    let mut under = BTreeMap::new();
    let mut order = Vec::new();
    for request in receiver.requests() {
        let request_id = request.request_id().unwrap().to_owned();
        let known = under.entry(id(&request)).or_insert_with(|| {
            order.push(id(&request));
            request_id.clone()
        });
        assert_eq!(*known, request_id, "event {} was accepted twice", id(&request));
    }
    order
}

#[tokio::test]
async fn a_run_that_is_killed_again_and_again_delivers_every_line_once_and_in_order() {
    const EVENTS: u64 = 3_000;
    let place = Place::with(&lines(1..=EVENTS));
    let receiver = Receiver::start().unwrap();
    let url = receiver.url("/hooks");
    let args = place.args(&["--to", &url, "--allow-private", "--retry-first", "10ms"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut kills = 0;
    for target in [1, 40, 300, 301, 900, 1_500, 1_501, 2_200] {
        let mut child = bugle(&args).spawn().unwrap();
        let seen = receiver.requests().len();
        receiver.wait_for(usize::max(target, seen + 1), DEADLINE).await.unwrap();
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        kills += 1;
    }
    let ran = place.deliver(&["--to", &url, "--allow-private"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(first_arrivals(&receiver), (1..=EVENTS).collect::<Vec<_>>());
    let repeated = receiver.requests().len() as u64 - EVENTS;
    assert!(repeated <= kills, "a kill repeats what was in flight: {repeated} of {kills}");

    // All of it was accepted, so there is nothing to do.
    let ran = place.deliver(&[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["accepted"], 0);
    assert!(ran.stderr.contains("going on behind line 3000"), "{}", ran.stderr);
    // A file that grows is gone on with.
    place.write(&lines(1..=EVENTS + 2));
    let ran = place.deliver(&[]).await;
    assert_eq!((ran.code, &ran.json()["accepted"]), (0, &json!(2)), "{ran:?}");
    assert_eq!(first_arrivals(&receiver), (1..=EVENTS + 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_stop_leaves_is_delivered_by_a_store_alone() {
    let place = Place::with(&lines(1..=50));
    let receiver = Receiver::builder().replies(10, Reply::status(204));
    let receiver = receiver.otherwise(Reply::status(503)).start().unwrap();
    let url = receiver.url("/hooks?token=s3cret");
    let more = ["--to", &url, "--allow-private", "--max-attempts", "1000", "--retry-first", "10ms"];
    let args = place.args(&[&more[..], &["--retry-max", "20ms"]].concat());
    let child = bugle(&args.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap();
    receiver.wait_for(14, DEADLINE).await.unwrap();
    signal(&child, "TERM").await;
    let ran = finish(child).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let summary = ran.json();
    assert_eq!(summary["accepted"], 50);
    assert_eq!(summary["emitters"][0]["delivered"], 10);
    assert_eq!(summary["emitters"][0]["pending"], 40);
    assert!(ran.stderr.contains("what is left is kept: bugle deliver --store"), "{}", ran.stderr);

    receiver.otherwise(Reply::status(204));
    let ran = place.deliver_left().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let summary = ran.json();
    assert_eq!(summary["accepted"], 0);
    assert_eq!(summary["emitters"][0]["delivered"], 40);
    assert_eq!(first_arrivals(&receiver), (1..=50).collect::<Vec<_>>());
    assert!(!ran.all().contains("s3cret"), "{ran:?}");
}

#[tokio::test]
async fn a_file_that_has_changed_is_refused_unless_it_is_to_be_accepted_again() {
    let place = Place::with(&lines(1..=5));
    let receiver = Receiver::start().unwrap();
    let to = ["--to", &receiver.url("/"), "--allow-private"];
    assert_eq!(place.deliver(&to).await.code, 0);

    for (events, why) in [
        (lines(2..=6), "are not the same any more"),
        (lines(1..=4), "it is shorter than what an earlier run has accepted"),
    ] {
        place.write(&events);
        let ran = place.deliver(&to).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        let summary = ran.json();
        assert_eq!(summary["accepted"], 0);
        assert_eq!(summary["errors"][0]["code"], "inputBroken");
        let message = summary["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(why) && message.contains("--again"), "{message}");
    }
    let ran = place.deliver(&[&to[..], &["--again"]].concat()).await;
    assert_eq!((ran.code, &ran.json()["accepted"]), (0, &json!(4)), "{ran:?}");
    let ran = place.deliver(&[&to[..], &["--source", "another"]].concat()).await;
    assert_eq!((ran.code, &ran.json()["accepted"]), (0, &json!(4)), "{ran:?}");
    let ran = place.deliver(&[&to[..], &["--source", "another"]].concat()).await;
    assert_eq!((ran.code, &ran.json()["accepted"]), (0, &json!(0)), "{ran:?}");
}

#[tokio::test]
async fn a_line_that_is_mended_is_gone_on_from() {
    let place = Place::with(&format!("{}oops\n{}", lines(1..=3), lines(5..=6)));
    let receiver = Receiver::start().unwrap();
    let to = ["--to", &receiver.url("/"), "--allow-private", "--strict"];
    let ran = place.deliver(&to).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("line 4:"), "{}", ran.stderr);
    assert_eq!(first_arrivals(&receiver), [1, 2, 3]);

    place.write(&lines(1..=6));
    assert_eq!(place.deliver(&to).await.code, 0);
    assert_eq!(first_arrivals(&receiver), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_receiver_of_an_earlier_run_gets_what_waits_for_it_and_nothing_new() {
    let place = Place::with(&lines(1..=3));
    let (one, other) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    one.otherwise(Reply::status(503));
    let to = ["--to", &one.url("/"), "--allow-private", "--max-attempts", "1000"];
    let args = place.args(&[&to[..], &["--retry-first", "10ms", "--retry-max", "20ms"]].concat());
    let child = bugle(&args.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap();
    one.wait_for(2, DEADLINE).await.unwrap();
    signal(&child, "TERM").await;
    assert_eq!(finish(child).await.json()["emitters"][0]["pending"], 3);

    one.otherwise(Reply::status(204));
    place.write(&lines(7..=8));
    let to = ["--to", &other.url("/"), "--allow-private", "--again"];
    let ran = place.deliver(&to).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("gets what waits for it and nothing new"), "{}", ran.stderr);
    assert_eq!(first_arrivals(&one), [1, 2, 3]);
    assert_eq!(first_arrivals(&other), [7, 8]);
}

#[tokio::test]
async fn what_can_not_be_is_said_before_anything_is_done() {
    let place = Place::with(&lines(1..=3));
    let store = place.path("store");
    let missing = place.path("missing");
    for (args, why) in [
        (vec!["deliver", "--store", &*store], "there is no store in"),
        (vec!["deliver", &*missing, "--store", &*store, "--to", "http://a.com"], "can't be read"),
        (vec!["deliver", "--to", "http://a.com", "--again"], "--store"),
        (vec!["deliver", "--source", "x", "--to", "http://a.com"], "--store"),
    ] {
        let ran = run(&args, "").await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(!Path::new(&store).exists());
    }
    fs::create_dir(&store).unwrap();
    let ran = run(&["deliver", "--store", &store], "").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("there is no store in"), "{}", ran.stderr);
    assert_eq!(fs::read_dir(&store).unwrap().count(), 0, "nothing was made there");
}

#[tokio::test]
async fn what_no_receiver_of_a_store_wants_is_counted_and_told() {
    let place = Place::with(&lines(1..=3));
    let receiver = Receiver::start().unwrap();
    // A service's emitters: one wants other events, one is paused.
    let store = bugle::Store::open(place.path("store")).unwrap();
    let runtime = bugle::Runtime::builder().store(store).start().await.unwrap();
    let config = |path: &str| {
        bugle::EmitterConfig::new(receiver.url(path)).unwrap().allow_private_destinations()
    };
    runtime.attach("crm", "member.*", config("/crm")).await.unwrap();
    runtime.attach("asleep", "member.*", config("/asleep")).await.unwrap();
    runtime.pause_with("asleep", bugle::Backlog::Keep).await.unwrap();
    runtime.shutdown(DEADLINE).await;
    drop(runtime);

    let member = "{\"name\":\"member.created\",\"payload\":{\"id\":4}}\n";
    place.write(&format!("{}{member}", lines(1..=3)));
    let ran = place.deliver(&[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let summary = ran.json();
    assert_eq!((&summary["accepted"], &summary["unwanted"]), (&json!(4), &json!(3)), "{summary}");
    assert!(ran.stderr.contains("no receiver of the store wants \"invoice.paid\" (line 1)"));
    assert!(ran.stderr.contains("asleep is paused: what is for it waits"), "{}", ran.stderr);
    assert_eq!(first_arrivals(&receiver), [4]);
}

#[tokio::test]
async fn an_input_without_an_event_is_told() {
    let receiver = Receiver::start().unwrap();
    let place = Place::with("\n  \n");
    let ran = place.deliver(&["--to", &receiver.url("/"), "--allow-private"]).await;
    assert_eq!((ran.code, &ran.json()["accepted"]), (0, &json!(0)), "{ran:?}");
    assert!(ran.stderr.contains("there was no event to read"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_store_in_use_is_said_to_be() {
    let place = Place::with(&lines(1..=1));
    let receiver = Receiver::start().unwrap();
    let _held = receiver.hold();
    let to = ["--to", &receiver.url("/"), "--allow-private", "--timeout", "60s"];
    let args = place.args(&to);
    let mut child = bugle(&args.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap();
    receiver.wait_for(1, DEADLINE).await.unwrap();
    let ran = place.deliver_left().await;
    assert_eq!(ran.code, 3, "{ran:?}");
    let error = &ran.json()["errors"][0];
    assert_eq!(error["code"], "storeUnusable");
    assert!(error["message"].as_str().unwrap().contains("is open already"), "{error}");
    child.start_kill().unwrap();
    child.wait().await.unwrap();
}
