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

/// Has a span belong to a trace.
#[cfg(feature = "opentelemetry")]
pub(crate) fn join(span: &tracing::Span, trace: &TraceContext) {
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    };
    use std::str::FromStr as _;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    let parts: Vec<&str> = trace.traceparent.split('-').collect();
    let [_, trace_id, span_id, flags] = parts.as_slice() else { return };
    let (Ok(trace_id), Ok(span_id)) = (TraceId::from_hex(trace_id), SpanId::from_hex(span_id))
    else {
        return;
    };
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).unwrap_or(0));
    let state = trace.tracestate.as_deref().unwrap_or_default();
    let state = TraceState::from_str(state).unwrap_or_default();
    let parent = SpanContext::new(trace_id, span_id, flags, true, state);
    // It fails where the subscriber has no layer for traces, and then there is none to join.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
}

/// Nothing: nothing here knows of traces.
#[cfg(not(feature = "opentelemetry"))]
pub(crate) fn join(_: &tracing::Span, _: &TraceContext) {}
