//! Tests a service against receivers that misbehave: with the scripted receiver of bugle-testkit,
//! and on paused time with its scripted transport.
//!
//! ```sh
//! cargo test -p bugle-examples --test fault_injection
//! ```
//!
//! No test here sleeps: each waits for receipts, for runtime events, or for the receiver's ledger,
//! and each wait has a deadline.

use std::error::Error;
use std::time::Duration;

use bugle::{EmitError, Fate, Receipt, RetryPolicy, Runtime, RuntimeEvent, Status};
use bugle_testkit::{Act, Receiver, Reply, ScriptedTransport, Stage};
use serde::Serialize;
use tokio::time::{Instant, timeout};

type TestResult = Result<(), Box<dyn Error>>;
const DEADLINE: Duration = Duration::from_secs(30);

/// The service under test, reduced to its use of Bugle.
struct Shop {
    runtime: Runtime,
}

#[derive(Serialize)]
struct OrderPlaced {
    order: usize,
}

impl Shop {
    /// Announces orders to a receiver, with the retry policy that the operator chose.
    async fn open(receiver: &Receiver, retry: RetryPolicy) -> Result<Self, Box<dyn Error>> {
        let runtime = Runtime::builder().start().await?;
        let config = receiver.emitter_config("/orders")?;
        let config = config.retry(retry).request_timeout(Duration::from_secs(1));
        runtime.attach("warehouse", "order.placed", config).await?;
        Ok(Self { runtime })
    }

    async fn place(&self, orders: usize) -> Result<Vec<Receipt>, EmitError> {
        let mut receipts = Vec::new();
        for order in 1..=orders {
            receipts.push(self.runtime.emit("order.placed", &OrderPlaced { order }).await?);
        }
        Ok(receipts)
    }
}

/// A policy of many attempts soon after one another, so that the test is quick.
fn stubborn() -> RetryPolicy {
    RetryPolicy::exponential(Duration::from_millis(5), Duration::from_millis(20)).max_attempts(100)
}

/// Waits until every order is settled, and asserts that each has this fate.
async fn assert_all(receipts: &[Receipt], fate: Fate) -> TestResult {
    for receipt in receipts {
        let settled = timeout(DEADLINE, receipt.settled()).await?;
        assert!(settled.iter().all(|at| at.fate == Some(fate)), "{settled:?}");
    }
    Ok(())
}

#[tokio::test]
async fn no_order_is_lost_or_overtaken_whatever_the_receiver_does() -> TestResult {
    let receiver = Receiver::builder()
        .reply(Reply::status(204))
        .reply(Reply::reset(Stage::BeforeReading))
        .reply(Reply::reset(Stage::AfterBody))
        .reply(Reply::reset(Stage::InResponseHead))
        .reply(Reply::status(204))
        .reply(Reply::hang())
        .reply(Reply::garbage())
        .replies(3, Reply::status(500))
        .start()?;
    let shop = Shop::open(&receiver, stubborn()).await?;
    let receipts = shop.place(20).await?;
    assert_all(&receipts, Fate::Delivered).await?;

    // Each order came, some more than once, under the same id, and none before its predecessor.
    let requests = receiver.requests();
    let mut ids: Vec<_> = requests.iter().filter_map(|request| request.request_id()).collect();
    ids.dedup();
    let placed: Vec<_> = receipts.iter().map(|receipt| receipt.request_id().as_str()).collect();
    assert_eq!(ids, placed);
    assert!(requests.len() >= 27, "seven were received whole, and sent again all the same");
    assert!(shop.runtime.shutdown(Duration::from_secs(5)).await.is_clean());
    Ok(())
}

#[tokio::test]
async fn orders_wait_for_a_receiver_that_is_down() -> TestResult {
    let receiver = Receiver::start()?;
    let shop = Shop::open(&receiver, stubborn()).await?;
    let mut watch = shop.runtime.watch();
    assert_all(&shop.place(3).await?, Fate::Delivered).await?;

    receiver.go_down().await;
    let waiting = shop.place(10).await?;
    let failed = |event: &RuntimeEvent| matches!(event, RuntimeEvent::AttemptFailed { .. });
    timeout(DEADLINE, watch.wait_for(failed)).await?.ok_or("the runtime is gone")?;
    receiver.come_back()?;

    assert_all(&waiting, Fate::Delivered).await?;
    assert_eq!(receiver.requests().len(), 13);
    Ok(())
}

#[tokio::test]
async fn a_hanging_partner_does_not_delay_the_warehouse() -> TestResult {
    let (warehouse, partner) = (Receiver::start()?, Receiver::start()?);
    let held = partner.hold();
    let shop = Shop::open(&warehouse, stubborn()).await?;
    let config = partner.emitter_config("/orders")?.request_timeout(DEADLINE);
    shop.runtime.attach("partner", "order.placed", config).await?;

    let receipts = shop.place(100).await?;
    warehouse.wait_for(100, DEADLINE).await?;
    partner.wait_in_flight(1, DEADLINE).await?;
    let waiting = shop.runtime.describe("partner").ok_or("it was attached")?;
    assert_eq!((waiting.status, waiting.depth), (Status::Running, 100));

    held.open();
    assert_all(&receipts, Fate::Delivered).await
}

#[tokio::test(start_paused = true)]
async fn a_day_of_outage_passes_in_an_instant() -> TestResult {
    let transport = ScriptedTransport::new();
    transport.at("warehouse.test").then_times(7, Act::refuse()).otherwise(Act::deliver());
    let runtime = Runtime::builder().transport(transport.clone()).start().await?;
    let config = bugle::EmitterConfig::new("https://warehouse.test/orders")?;
    runtime.attach("warehouse", "order.placed", config.retry(RetryPolicy::patient())).await?;
    let shop = Shop { runtime };

    let started = Instant::now();
    let receipts = shop.place(2).await?;
    for receipt in &receipts {
        assert_eq!(receipt.settled().await[0].fate, Some(Fate::Delivered));
    }
    // 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h, each up to a fifth more or less.
    let day = Duration::from_hours(24);
    assert!((day * 9 / 10..day * 14 / 10).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(transport.attempts_of("warehouse").len(), 9);
    assert_eq!(transport.most_in_flight(), 1);
    Ok(())
}
