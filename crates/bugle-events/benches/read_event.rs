//! Measures `read_event` of the 23 samples against `serde_json::from_slice` into their types.
//!
//! ```sh
//! cargo bench -p bugle-events
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bugle_events::flow::{self, *};
use serde_json::Value as JsonValue;

const ROUNDS: u32 = 20_000;
const REPEATS: usize = 9;

fn time(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        work();
    }
    start.elapsed()
}

fn main() {
    let data: JsonValue =
        serde_json::from_str(include_str!("../tests/data/flow_events.json")).unwrap();
    let samples = data["samples"].as_object().unwrap();
    // In the order of GoFlow's own JSON: the type first.
    let text = |name: &str| {
        let mut fields = samples[name].as_object().unwrap().clone();
        let type_name = fields.remove("type").unwrap();
        let rest = serde_json::to_string(&fields).unwrap();
        format!("{{\"type\":{type_name},{}", &rest[1..]).into_bytes()
    };
    let registry = flow::registry();
    let (mut concrete, mut read) = (vec![Duration::ZERO; REPEATS], vec![Duration::ZERO; REPEATS]);
    macro_rules! measure {
        ($($name:literal => $Type:ty),* $(,)?) => {$(
            let json = text($name);
            for repeat in 0..REPEATS {
                concrete[repeat] += time(|| {
                    black_box(serde_json::from_slice::<$Type>(black_box(&json)).unwrap());
                });
                read[repeat] += time(|| {
                    black_box(registry.read_event(black_box(&json)).unwrap());
                });
            }
        )*};
    }
    measure! {
        "broadcast_created" => BroadcastCreated,
        "contact_field_changed" => ContactFieldChanged,
        "contact_groups_changed" => ContactGroupsChanged,
        "contact_language_changed" => ContactLanguageChanged,
        "contact_name_changed" => ContactNameChanged,
        "contact_refreshed" => ContactRefreshed,
        "contact_timezone_changed" => ContactTimezoneChanged,
        "contact_urns_changed" => ContactUrnsChanged,
        "email_created" => EmailCreated,
        "environment_refreshed" => EnvironmentRefreshed,
        "error" => ErrorEvent,
        "flow_entered" => FlowEntered,
        "input_labels_added" => InputLabelsAdded,
        "ivr_created" => IvrCreated,
        "msg_created" => MsgCreated,
        "msg_received" => MsgReceived,
        "msg_wait" => MsgWait,
        "resthook_called" => ResthookCalled,
        "run_expired" => RunExpired,
        "run_result_changed" => RunResultChanged,
        "session_triggered" => SessionTriggered,
        "wait_timed_out" => WaitTimedOut,
        "webhook_called" => WebhookCalled,
    }
    concrete.sort();
    read.sort();
    let each = |total: Duration| total.as_nanos() as f64 / f64::from(ROUNDS) / 23.0;
    let (concrete, read) = (each(concrete[REPEATS / 2]), each(read[REPEATS / 2]));
    println!("from_slice into the type: {concrete:.0} ns an event");
    println!(
        "read_event:               {read:.0} ns an event, {:.2} times as long",
        read / concrete
    );
}
