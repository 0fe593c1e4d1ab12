//! Errors as callers see them: each says what is wrong, in words of this very mistake, and what to
//! do about it. One table, so that they can be read side by side.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use bugle_core::{
    AttemptQuery, ConfigError, DeadLetterQuery, EmitterConfig, EmitterId, EventName, EventQuery,
    IdError, Order, OrderingKey, PageCursor, Position, Proxy, RateLimit, RequestId, RetryPolicy,
    SourceId, Subscription, SubscriptionError, TraceContext,
};

/// An error's text, the words in it about the mistake, and those about what to do.
type Row<'a> = (String, &'a str, &'a str);

fn said<T>(result: Result<T, impl std::error::Error>) -> String {
    result.err().unwrap_or_else(|| panic!("it was taken")).to_string()
}

fn check(rows: Vec<Row<'_>>) {
    for (error, wrong, to_do) in rows {
        assert!(error.contains(wrong), "{error:?} does not say: {wrong}");
        assert!(error.contains(to_do), "{error:?} does not advise: {to_do}");
    }
}

#[test]
fn names_and_ids() {
    let long = "x".repeat(257);
    let event = |text: &str| said(EventName::new(text));
    let wanted = |text: &str| said(Subscription::new(text));
    let request = |text: &str| said(RequestId::new(text));
    let emitter = |text: &str| said(EmitterId::new(text));
    let mut rows = Vec::new();
    // A name is the same, emitted or subscribed to, and so is what is wrong with it.
    for name in [&event as &dyn Fn(&str) -> String, &wanted] {
        rows.extend([
            (name(""), "it is empty", "name what happened, as invoice.paid"),
            (name("x..y"), "a token between its dots is empty", "no two dots in a row"),
            (name(".x"), "a token between its dots is empty", "none at an end"),
            (name("x."), "a token between its dots is empty", "none at an end"),
            (name("."), "a token between its dots is empty", "none at an end"),
            (name(&long), "longer than 256 bytes", "shorten it"),
            (name("a, b"), "a comma or a space", "give several names as a list"),
            (name("a b"), "a comma or a space", "letters, digits, '_' and '-', joined by dots"),
            (name("invoice/paid"), "another character than letters", "leave that out"),
            (name("invoice:paid"), "another character than letters", "leave that out"),
            (name("é"), "another character than letters", "leave that out"),
            (name("a\n"), "another character than letters", "leave that out"),
        ]);
    }
    rows.extend([
        (event("member.*"), "make a pattern", "under its own full name"),
        (event(">"), "make a pattern", "under its own full name"),
        (wanted("a.>.b"), "'>' stands for the rest", "write it as the last token"),
        (wanted("inv*"), "one whole token", "alone between the dots, as member.*"),
        (wanted("**"), "one whole token", "alone between the dots, as member.*"),
        (wanted("*..a"), "a token between its dots is empty", "no two dots in a row"),
        (wanted("*.a b"), "a comma or a space", "give several names as a list"),
        (said(Subscription::new([""; 0])), "at least one event", "the pattern '>' for all"),
        (request(""), "it is empty", "leave it out to have a random one"),
        (request("a.b"), "it has a '.'", "write '-' or '_' instead"),
        (request("a b"), "a space", "leave that out"),
        (request("é"), "another character than visible ASCII", "leave that out"),
        (request(&long), "longer than 256 bytes", "shorten it"),
        (emitter(""), "it is empty", "name the receiver"),
        (emitter("a\nb"), "a line break", "leave that out"),
        (emitter(&long), "longer than 256 bytes", "shorten it"),
        (said(OrderingKey::new("")), "it is empty", "leave it out"),
        (said(SourceId::new("")), "it is empty", "name what is read"),
        (said(SourceId::new("\0")), "control character", "leave that out"),
        (said(Position::new("x".repeat(1025))), "longer than 1,024 bytes", "a reference"),
        (said(TraceContext::new("00-x")), "traceparent", "it reads 00-<32 hex digits>-"),
        (said(PageCursor::parse("page 2")), "not a page's cursor", "what the page before gave"),
    ]);
    check(rows);
}

#[test]
fn an_error_names_what_the_text_was_meant_to_be() {
    let code = |error: IdError| error.code();
    let long = "x".repeat(300);
    for (error, what) in [
        (said(EventName::new(&long)), "event name \"xxx"),
        (said(RequestId::new("a b")), "request id \"a b\""),
        (said(EmitterId::new("\n")), "emitter id \"\\n\""),
    ] {
        assert!(error.starts_with(what) && error.len() < 250, "{error}");
    }
    assert_eq!(EventName::new("").map_err(code), Err("invalidEventName"));
    assert_eq!(RequestId::new("").map_err(code), Err("invalidRequestId"));
    assert_eq!(EmitterId::new("").map_err(code), Err("invalidEmitterId"));
    assert_eq!(Subscription::new("").map_err(|it| it.code()), Err("invalidEventName"));
    let empty = Subscription::new(Vec::<String>::new());
    assert_eq!(empty, Err(SubscriptionError::Empty));
}

#[test]
fn receivers() {
    let url = |text: &str| said(EmitterConfig::new(text));
    let example = "write it like https://example.com/hooks";
    let mut rows = Vec::new();
    for text in [
        "example.com",
        "example.com/hooks",
        "example.com:8080/hooks",
        "localhost:8080",
        "localhost:8080/hooks",
        "127.0.0.1:8080",
        "//example.com",
        "https//example.com",
        "/hooks",
        "?x=1",
    ] {
        rows.push((url(text), "it has no scheme in front, http:// or https://", example));
    }
    for text in ["ftp://example.com", "ws://example.com", "mailto:a@b", "file:///etc/passwd"] {
        rows.push((url(text), "another than http or https", example));
    }
    for text in ["http://", "https://", "http:///example.com", "http://?x", "http://:80/"] {
        rows.push((url(text), "its host is missing", example));
    }
    for text in ["http:example.com", "https:/example.com"] {
        rows.push((url(text), "the // behind its scheme is missing", example));
    }
    for text in ["https://user:hunter2@example.com", "https://user@example.com/"] {
        rows.push((url(text), "it has credentials in it", "an authorization header instead"));
    }
    rows.extend([
        (url(""), "it is empty", example),
        (url(" \n"), "it is empty", example),
        (url("http://exa mple.com"), "invalid international domain name", example),
        (url("http://example.com:99999"), "invalid port number", example),
        (url("http://[::1"), "invalid IPv6 address", example),
    ]);
    for (error, ..) in &rows {
        assert!(error.starts_with("url: ") && !error.contains("hunter2"), "{error}");
    }
    check(rows);
}

#[test]
fn settings() {
    let config = || EmitterConfig::new("http://example.com").unwrap();
    let wrong = |config: EmitterConfig| said(config.validate());
    let second = Duration::from_secs(1);
    let retry = |policy: RetryPolicy| wrong(config().retry(policy));
    check(vec![
        (wrong(config().header("Host", "x")), "belongs to the delivery itself", "leave it out"),
        (wrong(config().header("webhook-id", "x")), "the delivery itself", "leave it out"),
        (wrong(config().header("Content-Length", "1")), "the delivery itself", "leave it out"),
        (wrong(config().header("x y", "x")), "\"x y\" is not a header's name", "write letters"),
        (wrong(config().header("", "x")), "\"\" is not a header's name", "write letters"),
        (wrong(config().header("x", "a\nb")), "a line break", "leave that out"),
        (wrong(config().header_identifier("a b")), "\"a b\" can't be part", "write letters"),
        (wrong(config().header_identifier("")), "\"\" can't be part", "write letters"),
        (wrong(config().request_timeout(Duration::ZERO)), "no attempt", "give it seconds"),
        (wrong(config().order(Order::PerKey { window: 0 })), "a window is 1 to", "Order::Strict"),
        (wrong(config().order(Order::Unordered { window: 2000 })), "1,024", "Order::Strict"),
        (wrong(config().rate_limit(RateLimit::per_second(0))), "a rate is 1", "pause an emitter"),
        (wrong(config().rate_limit(RateLimit::per_hour(1).burst(0))), "a burst is 1", "1 keeps"),
        (wrong(config().max_attempts(0)), "at least 1 attempt", "the first one"),
        (retry(RetryPolicy::exponential(second * 2, second)), "longer than the longest", "swap"),
        (retry(RetryPolicy::schedule([])), "at least one interval", "use max_attempts(1)"),
        (retry(RetryPolicy::default().multiplier(0.5)), "a multiplier is 1 to", "1 keeps"),
        (retry(RetryPolicy::default().jitter(2.0)), "a fraction from 0 to 1", "as 0.2 for 20%"),
        (said(Proxy::new("proxy:3128")), "proxy", "http://host:port"),
        (said(config().secrets([])), "the list of keys is empty", "give at least one key"),
        (said(AttemptQuery::new().after("2h")), "neither an instant", "as 2026-11-22"),
        (said(EventQuery::new().before("now")), "neither an instant", "as 2026-11-22"),
        (said(DeadLetterQuery::new().after("")), "neither an instant", "as 2026-11-22"),
        (said(AttemptQuery::new().limit(0).page_limit()), "1 to 100 rows, not 0", "query()"),
        (said(EventQuery::new().limit(101).page_limit()), "1 to 100 rows", "use query()"),
    ]);
    let code = |error: ConfigError| error.code();
    assert_eq!(config().max_attempts(0).validate().map_err(code), Err("invalidConfig"));
}
