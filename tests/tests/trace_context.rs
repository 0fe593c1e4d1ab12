//! The trace of the caller's span travels with an event, into the receiver's header.

mod support;

use bugle::{EmitOptions, HttpTransport, TraceContext};
use bugle_testkit::Receiver;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::json;
use support::{config, runtime, within};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

#[tokio::test]
async fn an_event_has_the_trace_of_the_span_that_it_was_emitted_in() {
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let receiver = Receiver::start().unwrap();
    let runtime = runtime(HttpTransport::default()).await;
    runtime.attach("crm", "invoice.paid", config(&receiver.url("/"))).await.unwrap();
    let emit = async |options: EmitOptions| {
        let receipt = runtime.emit_with("invoice.paid", &json!({}), options).await.unwrap();
        within("settling", receipt.settled()).await;
        let requests = receiver.requests();
        requests.last().unwrap().header("traceparent").map(str::to_owned)
    };

    // Outside of any span there is none.
    assert_eq!(emit(EmitOptions::new()).await, None);

    let span = tracing::info_span!("checkout");
    let context = span.context();
    let expected = {
        let context = context.span().span_context().clone();
        format!("00-{}-{}-01", context.trace_id(), context.span_id())
    };
    let of_span = emit(EmitOptions::new()).instrument(span.clone()).await;
    assert_eq!(of_span, Some(expected));

    // A trace context that the caller sets takes precedence.
    let own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let options = EmitOptions::new().trace(TraceContext::new(own).unwrap());
    assert_eq!(emit(options).instrument(span).await.as_deref(), Some(own));
}
