//! The log reports each thing once, at the level that an operator expects, and no secret.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bugle::{Advice, AttemptCode, EmitterConfig, Failure, HandlerConfig, RuntimeEvent};
use bugle_testkit::{Act, ScriptedTransport};
use support::{emit, every, fate, runtime, wait, within};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// All lines and spans, as text.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target().starts_with("bugle") {
            let mut text = Text(event.metadata().level().to_string());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        let mut text = Text(format!("span {}", attributes.metadata().name()));
        attributes.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}

impl Heard {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone()))
    }

    /// Counts the lines of each level and message.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in self.0.lock().unwrap().iter().filter(|line| !line.starts_with("span")) {
            let level = line.split(' ').next().unwrap();
            let message = line.split("message=").nth(1).unwrap();
            let message = message.split(['=', ':']).next().unwrap();
            let words: Vec<&str> = message.split(' ').collect();
            let words = if line.contains("message=") && message.contains(' ') && words.len() > 1 {
                words[..2].join(" ")
            } else {
                message.to_owned()
            };
            *counts.entry(format!("{level} {words}")).or_default() += 1;
        }
        counts
    }

    fn has(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.contains(what)).count()
    }
}

fn config(url: &str) -> EmitterConfig {
    EmitterConfig::new(url).unwrap().retry(every(Duration::from_secs(1)).max_attempts(1))
}

#[tokio::test(start_paused = true)]
async fn a_row_of_failures_is_one_line_and_each_dead_letter_another() {
    let heard = Heard::default();
    let _listening = heard.listen();
    let transport = ScriptedTransport::new();
    transport.everywhere().otherwise(Act::status(500));
    let runtime = runtime(transport.clone()).await;
    let url = "https://example.com/hooks/T0KEN?key=S3CRET";
    runtime.attach("a", "invoice.paid", config(url)).await.unwrap();
    let mut receipts = Vec::new();
    for number in 0..1_000 {
        receipts.push(emit(&runtime, "invoice.paid", &number.to_string()).await);
    }
    receipts.last().unwrap().settled().await;
    transport.everywhere().otherwise(Act::deliver());
    emit(&runtime, "invoice.paid", "well").await.settled().await;
    runtime.pause("a").await.unwrap();
    runtime.restart("a").await.unwrap();
    runtime.detach("a").await.unwrap();
    for (line, count) in [
        ("INFO message=emitter attached", 1),
        ("WARN message=emitter failing", 1),
        ("WARN message=dead letter", 1_000),
        ("DEBUG message=attempt failed", 1_000),
        ("INFO message=emitter recovered", 1),
        ("INFO message=emitter paused", 1),
        ("INFO message=emitter restarted", 1),
        ("INFO message=emitter detached", 1),
        ("ERROR", 0),
        ("span emit", 1_001),
        ("span attempt emitter=a event=invoice.paid request_id=7 attempt=1", 1),
        ("span attempt", 1_001),
        ("T0KEN", 0),
        ("S3CRET", 0),
    ] {
        assert_eq!(heard.has(line), count, "{line}: {:#?}", heard.counts());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shortage_of_all_is_one_line_a_minute() {
    let heard = Heard::default();
    let _listening = heard.listen();
    let transport = ScriptedTransport::new();
    let words = "this process has no file descriptor left: raise its limit";
    let short = || Failure::new(AttemptCode::Shortage, words).advising(Advice::Uncounted);
    transport.everywhere().otherwise(Act::fail(short()));
    let runtime = runtime(transport.clone()).await;
    let mut watch = runtime.watch();
    for number in 0..50 {
        let url = format!("https://receiver-{number}.example.com/");
        runtime.attach(format!("e{number}"), "a", config(&url)).await.unwrap();
    }
    let receipt = emit(&runtime, "a", "1").await;
    tokio::time::sleep(Duration::from_secs(150)).await;
    let described = runtime.describe("e7").unwrap();
    assert_eq!(described.waiting_for.unwrap().message, words);
    assert_eq!((described.failed_attempts_since_start, described.dead_letters), (0, 0));
    let shown = support::attempts(&runtime, "e7").await;
    assert!((1..=3).contains(&shown.len()), "{}", shown.len());
    assert!(shown.iter().all(|it| it.attempt == 1 && it.code == Some(AttemptCode::Shortage)));
    let begun = heard.has("WARN message=shortage");
    assert!((1..=3).contains(&begun), "{begun}: {:#?}", heard.counts());
    transport.everywhere().otherwise(Act::deliver());
    assert!(receipt.settled().await.iter().all(|at| at.fate == Some(bugle::Fate::Delivered)));
    assert_eq!(heard.has("INFO message=shortage over"), 1);
    assert_eq!((heard.has("WARN"), heard.has("ERROR")), (begun, 0), "{:#?}", heard.counts());
    wait(&mut watch, |event| {
        matches!(event, RuntimeEvent::Missed { .. } | RuntimeEvent::ShortageOver { .. })
    })
    .await;
    assert_eq!(runtime.describe("e7").unwrap().waiting_for, None);
}

#[tokio::test(start_paused = true)]
async fn crashes_are_errors_and_blocked_destinations_warnings() {
    let heard = Heard::default();
    let _listening = heard.listen();
    let transport = ScriptedTransport::new();
    let blocked = Failure::new(AttemptCode::BlockedDestination, "10.0.0.1 is private");
    transport.everywhere().otherwise(Act::fail(blocked.advising(Advice::GiveUp)));
    let runtime = runtime(transport).await;
    let mut watch = runtime.watch();
    runtime.attach("blocked", "a", config("https://example.com/")).await.unwrap();
    fate(&emit(&runtime, "a", "1").await).await;
    assert_eq!(heard.has("WARN message=dead letter: its destination is blocked"), 1);
    assert_eq!(heard.has("WARN"), 1, "{:#?}", heard.counts());
    let panics = |_: Arc<bugle::Event>| async {
        assert!(std::hint::black_box(false), "as scripted");
        Ok::<(), String>(())
    };
    runtime.attach_handler("panics", "b", panics, HandlerConfig::default()).await.unwrap();
    for number in 0..9 {
        emit(&runtime, "b", &number.to_string()).await;
    }
    wait(&mut watch, |event| matches!(event, RuntimeEvent::Failed { .. })).await;
    assert_eq!(heard.has("ERROR message=emitter crashed"), 3);
    assert_eq!(heard.has("ERROR message=emitter failed"), 1);
    let last = runtime.describe("panics").unwrap().last_failure.unwrap();
    assert!(last.message.contains("as scripted"), "{}", last.message);
    within("the end", runtime.shutdown(Duration::ZERO)).await;
    assert_eq!(heard.has("INFO message=runtime shut down"), 1);
}
