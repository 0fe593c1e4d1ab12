//! The events that a failing one delays, by the emitter's order.

use std::time::Duration;

use bugle::{Fate, Order};
use bugle_testkit::{Act, Attempted, ScriptedTransport};
use tokio::time::Instant;

use crate::support::{emit, emit_keyed, every, fate, runtime};
use crate::{config, gaps, ms, secs};

/// The start of each attempt, counted from the first.
fn starts(attempts: &[Attempted]) -> Vec<Duration> {
    attempts.iter().map(|attempted| attempted.started - attempts[0].started).collect()
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_sees_one_probe_per_interval() {
    for order in [Order::Strict, Order::PerKey { window: 16 }, Order::Unordered { window: 16 }] {
        let transport = ScriptedTransport::new();
        transport.everywhere().otherwise(Act::refuse());
        let runtime = runtime(transport.clone()).await;
        let config = config().order(order).retry(every(secs(10)).max_attempts(1000));
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        let mut receipts = Vec::new();
        for n in 0..40 {
            let key = format!("customer-{n}");
            receipts.push(emit_keyed(&runtime, "invoice.paid", &n.to_string(), &key).await);
        }
        let hour = Instant::now() + secs(3600);
        tokio::time::sleep_until(hour).await;
        let down = transport.attempts();
        let at_once = down.iter().filter(|it| it.started == down[0].started).count();
        assert!(at_once <= order.window(), "{order:?}");
        let later = &down[at_once..];
        assert!(gaps(later).iter().all(|gap| *gap >= secs(10)), "{order:?}: {:?}", starts(later));
        assert!(later.len() >= 350, "{order:?}: it is probed all the time: {}", later.len());
        assert!(later.iter().all(|it| it.concurrent == 1), "{order:?}");

        // It comes back, slowly, and the window opens again step by step.
        let answers = Act::deliver().after(ms(50));
        transport.everywhere().otherwise(answers);
        let mut fates = Vec::new();
        for receipt in &receipts {
            fates.push(receipt.settled().await[0].fate.unwrap());
        }
        assert_eq!(fates.iter().filter(|fate| **fate == Fate::Delivered).count(), 40, "{order:?}");
        let up = &transport.attempts()[down.len()..];
        let mut answered = 0_usize;
        for attempted in up {
            let opened = 1_usize << answered.min(10);
            assert!(attempted.concurrent <= opened, "{order:?}: {attempted:?}");
            answered = up
                .iter()
                .filter(|it| it.is_delivered() && it.ended.unwrap() <= attempted.started)
                .count();
        }
        assert_eq!(transport.most_in_flight_of("a"), order.window().min(16), "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn per_key_a_failing_event_holds_its_key_only() {
    let transport = ScriptedTransport::new();
    transport.everywhere().choose(|attempted| match attempted.request_id() {
        "bad-1" => Act::status(500),
        _ => Act::deliver().after(ms(5)),
    });
    let runtime = runtime(transport.clone()).await;
    let config = config().order(Order::PerKey { window: 8 }).retry(every(secs(10)).max_attempts(4));
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    let mut receipts = Vec::new();
    for n in 1..=5 {
        for key in ["bad", "good", "fine"] {
            let id = format!("{key}-{n}");
            receipts.push(emit_keyed(&runtime, "invoice.paid", &id, key).await);
        }
        receipts.push(emit(&runtime, "invoice.paid", &format!("keyless-{n}")).await);
    }
    for receipt in &receipts {
        receipt.settled().await;
    }
    let attempts = transport.attempts();
    let of = |key: &str| -> Vec<&Attempted> {
        attempts.iter().filter(|it| it.request_id().starts_with(key)).collect()
    };
    let ids = |list: &[&Attempted]| -> Vec<String> {
        list.iter().map(|it| it.request_id().to_owned()).collect()
    };
    let bad = of("bad");
    assert_eq!(ids(&bad), ["bad-1", "bad-1", "bad-1", "bad-1", "bad-2", "bad-3", "bad-4", "bad-5"]);
    // Its key waits for as long as it is tried, with an interval between each two attempts at
    // least.
    assert!(bad[..4].windows(2).all(|pair| pair[1].started - pair[0].started >= secs(10)));
    let given_up = bad[3].ended.unwrap();
    assert!(bad[4].started >= given_up);
    for key in ["good", "fine"] {
        let list = of(key);
        assert_eq!(ids(&list), (1..=5).map(|n| format!("{key}-{n}")).collect::<Vec<_>>());
        assert!(list.windows(2).all(|pair| pair[1].started >= pair[0].ended.unwrap()));
        assert!(list.iter().all(|it| it.ended.unwrap() < given_up), "{key} waited for bad");
    }
    assert!(of("keyless").iter().all(|it| it.ended.unwrap() < given_up));
    assert_eq!(runtime.describe("a").unwrap().dead_letters, 1);
}

#[tokio::test(start_paused = true)]
async fn unordered_a_failing_event_holds_nothing() {
    let transport = ScriptedTransport::new();
    transport.everywhere().choose(|attempted| match attempted.request_id() {
        "0" => Act::status(500),
        _ => Act::deliver().after(ms(5)),
    });
    let runtime = runtime(transport.clone()).await;
    let config =
        config().order(Order::Unordered { window: 4 }).retry(every(secs(10)).max_attempts(3));
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    let mut receipts = Vec::new();
    for n in 0..50 {
        // All have the same key, which has no effect here.
        receipts.push(emit_keyed(&runtime, "invoice.paid", &n.to_string(), "customer").await);
    }
    assert_eq!(fate(&receipts[0]).await, Some(Fate::DeadLettered));
    let attempts = transport.attempts();
    let last_try = attempts.iter().rfind(|it| it.request_id() == "0").unwrap().started;
    let others: Vec<_> = attempts.iter().filter(|it| it.request_id() != "0").collect();
    assert_eq!(others.len(), 49, "each once");
    assert!(others.iter().all(|it| it.is_delivered() && it.ended.unwrap() < last_try));
    assert_eq!(transport.most_in_flight_of("a"), 4);
}
