//! `bugle replay`: after a receiver's outage.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use bugle_testkit::{Receiver, Reply};
use common::{Ran, run};
use serde_json::json;

/// A store whose one emitter gave up on ten events, r-1 to r-10, and its receiver, which is back.
struct Outage {
    directory: tempfile::TempDir,
    receiver: Receiver,
}

impl Outage {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let receiver = Receiver::builder().otherwise(Reply::status(503)).start().unwrap();
        let outage = Self { directory, receiver };
        let line = |id: u64| {
            let name = if id.is_multiple_of(2) { "invoice.paid" } else { "member.created" };
            format!(
                "{{\"name\":\"{name}\",\"request_id\":\"r-{id}\",\"payload\":{{\"id\":{id}}}}}\n"
            )
        };
        let lines: String = (1..=10).map(line).collect();
        let url = outage.receiver.url("/hooks");
        let store = outage.store();
        let args = ["deliver", "-", "--to", &url, "--allow-private", "--store", &store];
        let more = ["--max-attempts", "1", "--retry-first", "1ms", "--retry-max", "1ms"];
        let ran = run(&[&args[..], &more].concat(), lines).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        outage.receiver.otherwise(Reply::status(204));
        outage
    }

    fn store(&self) -> String {
        self.directory.path().join("store").to_str().unwrap().to_owned()
    }

    /// `replay --emitter ID --store DIR --json`, and more.
    async fn replay(&self, more: &[&str]) -> Ran {
        let (store, emitter) = (self.store(), self.receiver.address().to_string());
        let args = ["replay", "--store", &store, "--emitter", &emitter, "--json"];
        run(&[&args[..], more].concat(), "").await
    }

    /// The request ids that have arrived since the outage.
    fn arrived(&self) -> String {
        let requests = self.receiver.requests();
        let ids = requests.iter().skip(10).map(|it| it.request_id().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    }
}

#[tokio::test]
async fn all_since_an_outage_is_counted_and_then_delivered_in_order() {
    let outage = Outage::new().await;
    let ran = outage.replay(&["--since", "1h", "--dry-run"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let counted =
        json!({"found": 10, "queued": 0, "delivered": 0, "dead_lettered": 0, "pending": 0});
    assert_eq!(ran.json(), counted);
    assert_eq!(outage.arrived(), "");

    let ran = outage.replay(&["--since", "1h", "--name", "invoice.*", "--rate", "1000"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((&ran.json()["found"], &ran.json()["delivered"]), (&json!(5), &json!(5)));
    assert_eq!(outage.arrived(), "r-2 r-4 r-6 r-8 r-10");

    let ran = outage.replay(&["r-9", "r-1"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["delivered"], 2);
    assert_eq!(outage.arrived(), "r-2 r-4 r-6 r-8 r-10 r-9 r-1");

    let ran = outage.replay(&["--since", "1h"]).await;
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &json!(3)), "{ran:?}");
    let ran = outage.replay(&["--since", "1h"]).await;
    assert_eq!((ran.code, &ran.json()["found"]), (0, &json!(0)), "{ran:?}");
    // And all that happened, whether it has arrived or not.
    let ran = outage.replay(&["--since", "1h", "--all", "--name", "member.>"]).await;
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &json!(5)), "{ran:?}");
    assert!(outage.arrived().ends_with("r-1 r-3 r-5 r-7 r-9"), "{}", outage.arrived());
}

#[tokio::test]
async fn what_fails_again_is_a_dead_letter_again() {
    let outage = Outage::new().await;
    outage.receiver.otherwise(Reply::status(500));
    let ran = outage.replay(&["r-5"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["dead_lettered"], 1);
    outage.receiver.otherwise(Reply::status(204));
    let ran = outage.replay(&["--since", "1h"]).await;
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &json!(10)), "{ran:?}");
}

#[tokio::test]
async fn what_can_not_be_replayed_is_said() {
    let outage = Outage::new().await;
    let ran = outage.replay(&["r-77"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["errors"][0]["code"], "notFound");
    assert!(ran.stdout.contains("no event \\\"r-77\\\""), "{}", ran.stdout);
    let store = outage.store();
    let missing = format!("{store}-none");
    for (args, code, why) in [
        (vec!["replay", "r-1", "--store", &store, "--emitter", "crm"], 1, "no emitter \"crm\""),
        (vec!["replay", "r-1", "--store", &missing, "--emitter", "a"], 2, "there is no store in"),
        (vec!["replay", "--store", &store, "--emitter", "a"], 2, "<ID>..."),
        (vec!["replay", "r-1", "--dry-run", "--store", &store, "--emitter", "a"], 2, "--since"),
    ] {
        let ran = run(&args, "").await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
    }
    assert_eq!(outage.arrived(), "");
}
