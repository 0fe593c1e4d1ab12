//! One emitter's trouble is never another's: 64 emitters want one event, and some of their
//! receivers misbehave in every possible way, over real connections.

mod support;

use std::fs;
use std::time::Duration;

use bugle::{
    AttemptCode, EmitterConfig, Fate, HttpTransport, Receipt, RetryPolicy, Runtime, Status,
};
use bugle_testkit::{Receiver, Reply, Stage, Tls};
use support::{attempts, config, emit, within};

const EVENT: &str = "invoice.paid";

/// A deadline that is never reached.
const AN_HOUR: Duration = Duration::from_secs(3600);

const STAGES: [Stage; 6] = [
    Stage::OnAccept,
    Stage::BeforeReading,
    Stage::AfterHead,
    Stage::AfterBody,
    Stage::InResponseHead,
    Stage::InResponseBody,
];

/// A receiver that misbehaves, and the code of an attempt to deliver to it.
struct Trouble {
    id: String,
    receiver: Receiver,
    /// The code of its failed attempts; `None` where a good head came, which settles whatever
    /// follows.
    code: Option<AttemptCode>,
}

impl Trouble {
    fn of(id: impl Into<String>, reply: Reply, code: AttemptCode) -> Self {
        let code = Some(code);
        let receiver = Receiver::builder().otherwise(reply).start().unwrap();
        Self { id: format!("bad-{}", id.into()), receiver, code }
    }

    fn of_tls(id: &str, tls: Tls, code: AttemptCode) -> Self {
        let code = Some(code);
        let receiver = Receiver::builder().tls(tls).start().unwrap();
        Self { id: format!("bad-{id}"), receiver, code }
    }

    /// A receiver that answers well, and breaks off in the body.
    fn settles(id: impl Into<String>, reply: Reply) -> Self {
        Self { code: None, ..Self::of(id, reply, AttemptCode::BadConnection) }
    }

    /// A receiver that hangs, resets or closes at a stage.
    fn at(what: &str, stage: Stage, reply: Reply, code: AttemptCode) -> Self {
        let id = format!("{what}-{stage:?}");
        if stage == Stage::InResponseBody {
            return Self::settles(id, reply);
        }
        Self::of(id, reply, code)
    }

    fn config(&self) -> EmitterConfig {
        self.receiver.emitter_config("/").unwrap()
    }
}

/// Receivers that keep a sender waiting for as long as it lets them.
fn endless() -> Vec<Trouble> {
    let second = Duration::from_secs(1);
    let drips = Reply::status(200).body(vec![b' '; 10_000]).drip(1, second);
    let drips_head = Reply::status(200).header("x-long", "x".repeat(10_000)).drip_head(1, second);
    let mut all = vec![
        Trouble::settles("drips", drips),
        Trouble::of("drips-its-head", drips_head, AttemptCode::Timeout),
        Trouble::of_tls("hangs-in-tls", Tls::hang(), AttemptCode::Timeout),
    ];
    for stage in STAGES {
        all.push(Trouble::at("hangs", stage, Reply::hang_at(stage), AttemptCode::Timeout));
    }
    all
}

/// Receivers that break off.
fn abrupt() -> Vec<Trouble> {
    let broken = AttemptCode::BadConnection;
    let mut all = vec![
        Trouble::of("garbage", Reply::garbage(), broken),
        Trouble::settles("short", Reply::status(200).body("x").content_length(1000)),
        Trouble::of("fails", Reply::status(500), AttemptCode::BadHttpStatus),
        Trouble::of_tls("self-signed", Tls::self_signed(), broken),
        Trouble::of_tls("expired", Tls::expired(), broken),
        Trouble::of_tls("wrong-name", Tls::wrong_name(), broken),
        Trouble::of_tls("no-tls", Tls::garbage(), broken),
    ];
    for stage in STAGES {
        all.push(Trouble::at("resets", stage, Reply::reset(stage), broken));
        all.push(Trouble::at("closes", stage, Reply::close(stage), broken));
    }
    let refusing = Receiver::refusing().unwrap();
    all.push(Trouble { id: "bad-refuses".to_owned(), receiver: refusing, code: Some(broken) });
    all
}

/// Attaches this many emitters whose receiver works.
async fn attach_good(runtime: &Runtime, good: &Receiver, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|n| format!("good-{n}")).collect();
    for id in &ids {
        let config = good.emitter_config(id).unwrap().request_timeout(AN_HOUR);
        runtime.attach(id, EVENT, config).await.unwrap();
    }
    ids
}

async fn emit_all(runtime: &Runtime, events: usize) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for n in 0..events {
        receipts.push(emit(runtime, EVENT, &n.to_string()).await);
    }
    receipts
}

/// Waits until the good receiver has everything, and checks that each emitter delivered all events
/// in order.
async fn all_good(good: &Receiver, ids: &[String], events: usize) {
    let all = ids.len() * events;
    good.wait_until(support::DEADLINE, |ledger| ledger.answered() >= all as u64).await.unwrap();
    let requests = good.requests();
    assert_eq!(requests.len(), all, "nothing was delivered twice");
    for id in ids {
        let path = format!("/{id}");
        let of_it = requests.iter().filter(|request| request.path == path);
        let seen: Vec<String> = of_it.map(|it| it.request_id().unwrap().to_owned()).collect();
        assert_eq!(seen, (0..events).map(|n| n.to_string()).collect::<Vec<_>>(), "{id}");
    }
    good.ledger(|ledger| {
        assert_eq!((ledger.abandoned(), ledger.failed_handshakes()), (0, 0));
        assert!(ledger.connections_opened() <= ids.len() as u64, "one for each emitter");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_three_go_on_beside_one_that_waits_for_ever() {
    for trouble in endless() {
        let good = Receiver::start().unwrap();
        let runtime = support::runtime(HttpTransport::default()).await;
        let config = trouble.config().request_timeout(AN_HOUR);
        runtime.attach(&trouble.id, EVENT, config).await.unwrap();
        let ids = attach_good(&runtime, &good, 63).await;
        emit_all(&runtime, 10).await;
        all_good(&good, &ids, 10).await;
        // They are done, and the bad one is where it was.
        let bad = runtime.describe(&trouble.id).unwrap();
        assert_eq!(
            (bad.status, bad.delivered_since_start, bad.depth),
            (Status::Running, 0, 10),
            "{}",
            bad.id
        );
        assert_eq!((bad.failed_attempts_since_start, bad.dead_letters), (0, 0), "{}", bad.id);
        let opened = trouble.receiver.ledger(|ledger| ledger.connections_opened());
        assert!(opened <= 1, "{}: {opened} connections", bad.id);
        within("detach", runtime.detach(&trouble.id)).await.unwrap();
        let report = within("shutdown", runtime.shutdown(AN_HOUR)).await;
        assert!(report.is_clean(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_trouble_costs_its_own_emitter_its_deadline_at_most() {
    const EVENTS: usize = 3;
    let deadline = Duration::from_millis(300);
    let troubles: Vec<Trouble> = endless().into_iter().chain(abrupt()).collect();
    let good = Receiver::start().unwrap();
    let runtime = support::runtime(HttpTransport::default()).await;
    for trouble in &troubles {
        let millisecond = Duration::from_millis(1);
        let retry = RetryPolicy::exponential(millisecond, millisecond).max_attempts(2);
        let config = trouble.config().request_timeout(deadline).retry(retry);
        runtime.attach(&trouble.id, EVENT, config).await.unwrap();
    }
    let ids = attach_good(&runtime, &good, 64 - troubles.len()).await;
    let receipts = emit_all(&runtime, EVENTS).await;
    all_good(&good, &ids, EVENTS).await;
    for receipt in &receipts {
        for (emitter, fate) in support::fates(receipt).await {
            let fails =
                troubles.iter().any(|trouble| emitter == *trouble.id && trouble.code.is_some());
            let expected = if fails { Fate::DeadLettered } else { Fate::Delivered };
            assert_eq!(fate, Some(expected), "{emitter}");
        }
    }
    for trouble in &troubles {
        let Some(code) = trouble.code else { continue };
        let recorded = attempts(&runtime, &trouble.id).await;
        assert_eq!(recorded.len(), 2 * EVENTS, "{}", trouble.id);
        for attempt in &recorded {
            assert_eq!(attempt.code, Some(code), "{}: {}", trouble.id, attempt.message);
            assert!(!attempt.message.is_empty(), "{}", trouble.id);
            let took = attempt.elapsed.total;
            // No sooner, and not much later: the rest depends on the machine.
            if code == AttemptCode::Timeout {
                assert!(took >= deadline, "{}: {took:?}", trouble.id);
            }
            assert!(took < deadline + Duration::from_secs(20), "{}: {took:?}", trouble.id);
        }
        let described = runtime.describe(&trouble.id).unwrap();
        assert_eq!((described.status, described.restarts_since_start), (Status::Running, 0));
        assert_eq!((described.dead_letters, described.in_flight), (EVENTS as u64, 0));
        let closed =
            trouble.receiver.wait_until(support::DEADLINE, |it| it.connections_open() <= 1);
        closed.await.unwrap();
    }
}

/// The memory that the process uses, in bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_beside_answers_of_100_mb() {
    const EVENTS: usize = 20;
    const SIZE: u64 = 100_000_000;
    let good = Receiver::start().unwrap();
    let huge = Receiver::builder().otherwise(Reply::huge(SIZE)).start().unwrap();
    let failing = Reply::huge(SIZE);
    let failing = Receiver::builder()
        .choose(move |request| match request.path.as_str() {
            "/chunked" => failing.clone().chunked(),
            _ => failing.clone(),
        })
        .start()
        .unwrap();
    let runtime = support::runtime(HttpTransport::default()).await;
    runtime.attach("bad", EVENT, huge.emitter_config("/").unwrap()).await.unwrap();
    runtime
        .attach("bad-chunked", EVENT, failing.emitter_config("/chunked").unwrap())
        .await
        .unwrap();
    let ids = attach_good(&runtime, &good, 62).await;
    let before = resident();
    let receipts = emit_all(&runtime, EVENTS).await;
    all_good(&good, &ids, EVENTS).await;
    let mut most = resident();
    for receipt in &receipts {
        // A status is an answer, whatever follows it.
        for (emitter, fate) in support::fates(receipt).await {
            assert_eq!(fate, Some(Fate::Delivered), "{emitter}");
        }
        most = most.max(resident());
    }
    let grown = most.saturating_sub(before);
    assert!(grown < 200 << 20, "{grown} bytes more than before");
    for receiver in [&huge, &failing] {
        receiver
            .wait_until(support::DEADLINE, |ledger| ledger.connections_open() == 0)
            .await
            .unwrap();
        let (sent, requests) =
            receiver.ledger(|ledger| (ledger.body_bytes_sent(), ledger.requests().len()));
        assert_eq!(requests, EVENTS);
        assert!(sent < SIZE * EVENTS as u64 / 4, "{sent} bytes were taken in");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded() {
    const LIMIT: usize = 16;
    let good = Receiver::start().unwrap();
    let transport = HttpTransport::builder().max_connections(LIMIT).build();
    let runtime = support::runtime(transport.clone()).await;
    let ids = attach_good(&runtime, &good, 64).await;
    let gate = good.hold();
    emit_all(&runtime, 10).await;
    good.wait_in_flight(LIMIT, support::DEADLINE).await.unwrap();
    let stats = transport.connections();
    assert_eq!((stats.open, stats.limit), (LIMIT, LIMIT));
    assert!(stats.waiting <= 48);
    gate.open();
    let all = (ids.len() * 10) as u64;
    let mut most_open = 0;
    good.wait_until(support::DEADLINE, |ledger| {
        most_open = most_open.max(ledger.connections_open());
        ledger.answered() >= all
    })
    .await
    .unwrap();
    // The receiver sees that a connection is closed a moment later than the sender.
    assert!(most_open <= 4 * LIMIT as u64, "{most_open}");
    assert!(transport.connections().open <= LIMIT);
    assert!(transport.connections().waited > 0);
    for id in &ids {
        let described = runtime.describe(id).unwrap();
        assert_eq!((described.failed_attempts_since_start, described.dead_letters), (0, 0), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_or_hangs_is_nobody_elses_affair() {
    let good = Receiver::start().unwrap();
    let runtime = support::runtime(HttpTransport::default()).await;
    let panics = |_: std::sync::Arc<bugle::Event>| async {
        assert!(std::hint::black_box(false), "as the test wants it");
        Ok::<(), String>(())
    };
    let hangs = |_: std::sync::Arc<bugle::Event>| std::future::pending::<Result<(), String>>();
    let patient = bugle::HandlerConfig::default().timeout(AN_HOUR);
    runtime.attach_handler("panics", [EVENT], panics, patient.clone()).await.unwrap();
    runtime.attach_handler("hangs", [EVENT], hangs, patient).await.unwrap();
    let ids = attach_good(&runtime, &good, 62).await;
    let mut watch = runtime.watch();
    emit_all(&runtime, 10).await;
    all_good(&good, &ids, 10).await;
    support::until(&mut watch, || support::status(&runtime, "panics") == Some(Status::Failed))
        .await;
    assert_eq!(runtime.describe("hangs").unwrap().in_flight, 1);
    assert_eq!(runtime.list_emitters().len(), 63);
    // A failed emitter takes no part, and the others go on.
    runtime.attach("new", EVENT, config(&good.url("/new"))).await.unwrap();
    emit(&runtime, EVENT, "later").await;
    good.wait_for(62 * 11 + 1, support::DEADLINE).await.unwrap();
}
