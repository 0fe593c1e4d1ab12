//! The wait that a receiver asks for with `Retry-After`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bugle::{Fate, HttpTransport, RuntimeEvent};
use bugle_testkit::{Act, Receiver, Reply, ScriptedTransport};

use crate::support::{emit, every, fate, quick, runtime, wait};
use crate::{config, gaps, ms, secs};

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_up_to_its_limit() {
    let cases = [
        // The wait that is asked for, the limit, and the wait that results with a backoff of a
        // second.
        (secs(10), secs(3600), secs(10)),
        (secs(10), secs(7), secs(7)),
        (secs(7200), secs(3600), secs(3600)),
        (ms(300), secs(3600), secs(1)),
        (secs(10), Duration::ZERO, secs(1)),
    ];
    for (asked, limit, expected) in cases {
        let transport = ScriptedTransport::new();
        transport.everywhere().then(Act::retry_after(asked));
        let runtime = runtime(transport.clone()).await;
        let config = config().retry(every(secs(1))).retry_after_limit(limit);
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        let receipt = emit(&runtime, "invoice.paid", "1").await;
        receipt.settled().await;
        assert_eq!(gaps(&transport.attempts()), [expected], "{asked:?}, at most {limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_what_follows_too() {
    let transport = ScriptedTransport::new();
    // The last attempt of the first event: the second must wait as long as was asked.
    transport.everywhere().then(Act::retry_after(secs(30)));
    let runtime = runtime(transport.clone()).await;
    let config = config().retry(every(secs(1)).max_attempts(1));
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    emit(&runtime, "invoice.paid", "1").await;
    let second = emit(&runtime, "invoice.paid", "2").await;
    assert_eq!(fate(&second).await, Some(Fate::Delivered));
    assert_eq!(gaps(&transport.attempts()), [secs(30)]);
}

/// Over real connections: the header is read, and the runtime event says when the next attempt is
/// due.
#[tokio::test]
async fn a_retry_after_header_is_read() {
    let in_two_minutes = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + secs(120);
    let cases = [
        (429, "60".to_owned(), secs(60)..=secs(60)),
        (503, "60".to_owned(), secs(60)..=secs(60)),
        (429, "1000000".to_owned(), secs(3600)..=secs(3600)),
        // The header counts with these two statuses only.
        (500, "60".to_owned(), ms(1)..=ms(1)),
        (429, "soon".to_owned(), ms(1)..=ms(1)),
        (429, "-5".to_owned(), ms(1)..=ms(1)),
        (503, http_date(in_two_minutes.as_secs()), secs(30)..=secs(120)),
        (503, http_date(0), ms(1)..=ms(1)),
    ];
    for (status, header, expected) in cases {
        let reply = Reply::status(status).header("retry-after", header.as_str());
        let receiver = Receiver::builder().reply(reply).start().unwrap();
        let runtime = runtime(HttpTransport::default()).await;
        let mut watch = runtime.watch();
        let config = receiver.emitter_config("/").unwrap().retry(quick());
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        emit(&runtime, "invoice.paid", "1").await;
        let failed = |event: &RuntimeEvent| matches!(event, RuntimeEvent::AttemptFailed { .. });
        let RuntimeEvent::AttemptFailed { retry_in, .. } = wait(&mut watch, failed).await else {
            unreachable!()
        };
        let retry_in = retry_in.unwrap();
        assert!(expected.contains(&retry_in), "{status}, {header:?}: {retry_in:?}");
        runtime.shutdown(Duration::ZERO).await;
    }
}

/// Writes a date as RFC 9110, section 5.6.7, has it.
fn http_date(seconds: u64) -> String {
    let instant = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).unwrap()
}
