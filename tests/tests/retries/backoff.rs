//! The wait of an emitter after a failure.

use std::time::Duration;

use bugle::{AttemptCode, DeadLetterQuery, Fate, RetryPolicy, RuntimeEvent};
use bugle_testkit::{Act, ScriptedTransport};
use tokio::time::Instant;

use crate::support::{emit, fate, runtime, wait};
use crate::{config, gaps, ms, observed, secs};

#[tokio::test(start_paused = true)]
async fn the_gaps_that_were_observed_on_the_original() {
    let name =
        "answers 500,500,200 to the first event, 500,200 to the second, backoff start 200 ms";
    let observed = observed(name)["observed_gaps_ms"].clone();
    let observed: Vec<u64> = serde_json::from_value(observed).unwrap();

    let transport = ScriptedTransport::new();
    for status in [500, 500, 200, 500, 200] {
        transport.everywhere().then(Act::status(status));
    }
    let runtime = runtime(transport.clone()).await;
    // The original's interval grows by a tenth.
    let retry = RetryPolicy::exponential(ms(200), secs(60)).multiplier(1.1).jitter(0.0);
    runtime.attach("a", "invoice.paid", config().retry(retry)).await.unwrap();
    emit(&runtime, "invoice.paid", "first").await;
    let second = emit(&runtime, "invoice.paid", "second").await;
    assert_eq!(fate(&second).await, Some(Fate::Delivered));

    let attempts = transport.attempts();
    assert_eq!(gaps(&attempts), [ms(200), ms(220), ms(0), ms(200)]);
    // The original's own clock adds a millisecond or two.
    for (ours, theirs) in gaps(&attempts).into_iter().zip(observed) {
        assert!((ours..ours + ms(5)).contains(&ms(theirs)), "{ours:?} is not about {theirs} ms");
    }
    let tried: Vec<_> = attempts.iter().map(|it| (it.request_id(), it.attempt)).collect();
    assert_eq!(tried, [("first", 1), ("first", 2), ("first", 3), ("second", 1), ("second", 2)]);
}

#[tokio::test(start_paused = true)]
async fn the_patient_schedule_takes_a_day_and_ends_in_a_dead_letter() {
    let transport = ScriptedTransport::new();
    transport.everywhere().otherwise(Act::status(503));
    let runtime = runtime(transport.clone()).await;
    let retry = RetryPolicy::patient().jitter(0.0);
    runtime.attach("a", "invoice.paid", config().retry(retry)).await.unwrap();

    let started = Instant::now();
    let receipt = emit(&runtime, "invoice.paid", "1").await;
    let settled = receipt.settled().await;
    assert_eq!(settled[0].fate, Some(Fate::DeadLettered));

    let minute = 60;
    let hour = 60 * minute;
    let waits = [5, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 10 * hour];
    let attempts = transport.attempts();
    assert_eq!(gaps(&attempts), waits.map(secs));
    let total: u64 = waits.into_iter().sum();
    assert_eq!(started.elapsed(), secs(total), "the virtual time of it all");

    let letters = runtime.dead_letters().page(DeadLetterQuery::new(), None).await.unwrap().items;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.attempts, letter.code), (8, AttemptCode::BadHttpStatus));
    assert_eq!(letter.message, "HTTP POST request returned status 503");
    assert_eq!(letter.request_id(), receipt.request_id());
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_emitters_within_the_policys_bounds() {
    let transport = ScriptedTransport::new();
    transport.everywhere().otherwise(Act::status(500));
    let runtime = runtime(transport.clone()).await;
    let policy = RetryPolicy::exponential(secs(1), secs(60)).max_attempts(8);
    let ids: Vec<String> = (0..20).map(|n| format!("emitter-{n}")).collect();
    for id in &ids {
        runtime.attach(id, "invoice.paid", config().retry(policy.clone())).await.unwrap();
    }
    let receipt = emit(&runtime, "invoice.paid", "1").await;
    let settled = receipt.settled().await;
    assert!(settled.iter().all(|at| at.fate == Some(Fate::DeadLettered)));

    let mut firsts: Vec<Duration> = Vec::new();
    for id in &ids {
        let gaps = gaps(&transport.attempts_of(id));
        assert_eq!(gaps.len(), 7);
        for (failures, gap) in (1..).zip(&gaps) {
            // Timers tick in milliseconds, and round up.
            let bounds = policy.bounds(failures);
            let late = *bounds.end() + ms(1);
            assert!((*bounds.start()..=late).contains(gap), "{failures} failures: {gap:?}");
        }
        firsts.push(gaps[0]);
    }
    firsts.sort();
    firsts.dedup();
    assert!(firsts.len() > 10, "emitters that failed together come back together: {firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn giving_up_on_an_event_does_not_reset_the_backoff() {
    let transport = ScriptedTransport::new();
    transport.everywhere().then_times(6, Act::status(500)).then(Act::deliver());
    transport.everywhere().then(Act::status(500));
    let runtime = runtime(transport.clone()).await;
    let retry = RetryPolicy::exponential(secs(1), secs(60)).jitter(0.0).max_attempts(2);
    runtime.attach("a", "invoice.paid", config().retry(retry)).await.unwrap();
    let mut receipts = Vec::new();
    for id in ["a", "b", "c", "d", "e"] {
        receipts.push(emit(&runtime, "invoice.paid", id).await);
    }
    let mut seen = Vec::new();
    for receipt in &receipts {
        seen.push(receipt.settled().await[0].fate.unwrap());
    }
    use Fate::{DeadLettered, Delivered};
    assert_eq!(seen, [DeadLettered, DeadLettered, DeadLettered, Delivered, Delivered]);

    let attempts = transport.attempts();
    let tried: Vec<_> = attempts.iter().map(|it| (it.request_id(), it.attempt)).collect();
    let expected =
        [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1), ("c", 2), ("d", 1), ("e", 1), ("e", 2)];
    assert_eq!(tried, expected, "the next event waits behind the one before it");
    // 1, 2, 4, … 32 through three events; the success resets it, and it starts at 1 again.
    assert_eq!(gaps(&attempts), [1, 2, 4, 8, 16, 32, 0, 1].map(secs));
}

#[tokio::test(start_paused = true)]
async fn the_backoff_outlasts_a_courier_that_gives_up_idle() {
    let transport = ScriptedTransport::new();
    transport.everywhere().otherwise(Act::status(500));
    let runtime = runtime(transport.clone()).await;
    let mut watch = runtime.watch();
    let retry = RetryPolicy::exponential(secs(60), secs(600)).jitter(0.0);
    let config = config().retry(retry.max_attempts(1)).idle_timeout(secs(10));
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    emit(&runtime, "invoice.paid", "1").await;
    wait(&mut watch, |event| matches!(event, RuntimeEvent::Idle { .. })).await;
    assert_eq!(transport.sessions_open(), 0);
    // Its receiver still counts as down, and sees no probe before the backoff is over.
    emit(&runtime, "invoice.paid", "2").await.settled().await;
    emit(&runtime, "invoice.paid", "3").await.settled().await;
    assert_eq!(gaps(&transport.attempts()), [secs(60), secs(120)]);
    assert_eq!(runtime.describe("a").unwrap().failures_in_a_row, 3);
}
