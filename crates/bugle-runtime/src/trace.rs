//! The trace that the caller of `emit` is in.

use bugle_core::TraceContext;

/// The current span's context, from a host that traces with OpenTelemetry.
#[cfg(feature = "opentelemetry")]
pub(crate) fn current() -> Option<TraceContext> {
    use opentelemetry::Context;
    use opentelemetry::trace::TraceContextExt as _;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    let of_span = tracing::Span::current().context();
    let span = of_span.span().span_context().clone();
    // Without tracing there may be a context all the same.
    let span =
        if span.is_valid() { span } else { Context::current().span().span_context().clone() };
    if !span.is_valid() {
        return None;
    }
    let (trace, parent) = (span.trace_id(), span.span_id());
    let flags = span.trace_flags().to_u8();
    let context = TraceContext::new(format!("00-{trace}-{parent}-{flags:02x}")).ok()?;
    let state = span.trace_state().header();
    if state.is_empty() {
        return Some(context);
    }
    // A list that is too long is left out, as the standard has it.
    Some(context.clone().tracestate(state).unwrap_or(context))
}

/// None: nothing here knows of traces.
#[cfg(not(feature = "opentelemetry"))]
pub(crate) fn current() -> Option<TraceContext> {
    None
}
