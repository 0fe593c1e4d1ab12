//! Counts the allocations of a delivery. It is a binary of its own, as it counts with an allocator.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use allocation_counter::measure;
use bugle_core::{
    Delivery, EmitterConfig, EmitterId, Event, EventName, RequestId, Secret, Sequence,
    TraceContext, Transport,
};
use bugle_http::HttpTransport;
use bugle_testkit::{Receiver, Reply, Tls};
use bytes::Bytes;
use jiff::Timestamp;

/// The port's future is one allocation. There is no other.
const EACH: u64 = 1;

fn delivery(number: usize) -> Delivery {
    let id = RequestId::new(format!("request-{number:03}")).unwrap();
    let name = EventName::new("invoice.paid").unwrap();
    let event = Event::new(name, id, Bytes::from(vec![b'1'; 1024]), Timestamp::now());
    let trace = TraceContext::new(format!("00-{:032x}-{:016x}-01", 1, 2)).unwrap();
    let event = Arc::new(event.trace(Some(trace)));
    Delivery::new(EmitterId::new("billing").unwrap(), Sequence(1), event, 1)
}

/// The allocations for each of a hundred deliveries over an open connection.
fn each(receiver: &Receiver, config: EmitterConfig) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let session = HttpTransport::new().open(&Arc::new(config)).unwrap();
    let deliver = |deliveries: &[Delivery]| {
        for delivery in deliveries {
            assert!(runtime.block_on(session.deliver(delivery)).is_delivered());
        }
    };
    let deliveries: Vec<_> = (0..110).map(delivery).collect();
    deliver(&deliveries[..10]);
    let counted = measure(|| deliver(&deliveries[10..]));
    assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 1);
    counted.count_total.div_ceil(100)
}

#[test]
fn a_delivery_allocates_its_future() {
    let secrets = ["a plain secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
    for reply in [
        Reply::status(204),
        Reply::status(200).body("thanks"),
        Reply::status(200).body("thanks").chunked(),
    ] {
        for signed in [false, true] {
            let receiver = Receiver::builder().otherwise(reply.clone()).start().unwrap();
            let mut config = receiver.emitter_config("/hooks").unwrap();
            for secret in secrets.into_iter().filter(|_| signed) {
                config = config.secret(Secret::parse(secret).unwrap());
            }
            assert_eq!(each(&receiver, config), EACH, "{reply:?} {signed}");
        }
    }
}

/// TLS itself allocates for each record that it writes and reads.
#[test]
fn a_delivery_over_tls_allocates_little() {
    let receiver = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let config = receiver.emitter_config("/hooks").unwrap();
    let each = each(&receiver, config);
    assert!(each <= EACH + 4, "{each}");
}
