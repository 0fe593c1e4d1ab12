//! The written form of a configuration: what is written is read back, and nothing of it is shown.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use bugle_core::stored::{StoredConfig, StoredError};
use bugle_core::{
    ClientIdentity, EmitterConfig, Gone, HttpVersion, Order, Proxy, RateLimit, RetryPolicy, Secret,
};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

fn durations() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
}

fn secrets() -> impl Strategy<Value = Secret> {
    let key = prop_oneof![
        ".+".prop_map(|text| Secret::plain(text).unwrap()),
        // A plain secret that looks like another kind.
        "whs(ec|k)_[a-z]*".prop_map(|text| Secret::plain(text).unwrap()),
        vec(any::<u8>(), 24..=64).prop_map(|bytes| Secret::symmetric(&bytes).unwrap()),
        any::<[u8; 32]>().prop_map(|seed| Secret::private(&seed)),
    ];
    let range = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
    let expiry = option::of(range.prop_map(|at| Timestamp::from_nanosecond(at).unwrap()));
    (key, expiry).prop_map(|(key, expiry)| match expiry {
        Some(instant) => key.expires_at(instant),
        None => key,
    })
}

fn retries() -> impl Strategy<Value = RetryPolicy> {
    let intervals = prop_oneof![
        (durations(), durations()).prop_map(|(first, max)| RetryPolicy::exponential(first, max)),
        vec(durations(), 0..5).prop_map(RetryPolicy::schedule),
    ];
    (intervals, any::<u32>(), option::of(-1e300..1e300), 0.0..1.0).prop_map(
        |(policy, attempts, multiplier, jitter)| {
            let policy = policy.max_attempts(attempts).jitter(jitter);
            match multiplier {
                Some(multiplier) => policy.multiplier(multiplier),
                None => policy,
            }
        },
    )
}

fn networks() -> impl Strategy<Value = ipnet::IpNet> {
    let v4 = (any::<[u8; 4]>(), 0..=32_u8)
        .prop_map(|(address, prefix)| ipnet::IpNet::new(address.into(), prefix).unwrap());
    let v6 = (any::<[u8; 16]>(), 0..=128_u8)
        .prop_map(|(address, prefix)| ipnet::IpNet::new(address.into(), prefix).unwrap());
    prop_oneof![v4, v6]
}

fn configs() -> impl Strategy<Value = EmitterConfig> {
    let urls = prop_oneof![
        Just("http://[::1]:8080/".to_owned()),
        "https://[a-z]{1,9}\\.example/[a-z\u{e4}\u{1F600}%/ ]{0,9}(\\?[a-z=&\"]{0,9})?",
    ];
    let order = prop_oneof![
        Just(Order::Strict),
        any::<u16>().prop_map(|window| Order::PerKey { window }),
        any::<u16>().prop_map(|window| Order::Unordered { window }),
    ];
    let gone = prop_oneof![Just(Gone::Retry), Just(Gone::Pause), Just(Gone::Detach)];
    let version =
        prop_oneof![Just(HttpVersion::Auto), Just(HttpVersion::Http1), Just(HttpVersion::Http2)];
    let proxy = prop_oneof![
        Just(None),
        Just(Some("http://proxy.example:3128")),
        Just(Some("socks5://user:p%40ss@10.0.0.1:1080")),
        Just(Some("socks5h://proxy.example:1080")),
        Just(Some("http://resolving.example:3128")),
    ];
    let rate = option::of((any::<u32>(), any::<u32>()));
    let what = (urls, vec(secrets(), 0..4), ".*", vec((".*", ".*"), 0..4), any::<usize>());
    let when = (durations(), durations(), durations(), retries(), rate);
    let how = (order, gone, version, proxy, vec(networks(), 0..4), any::<bool>());
    let tls = (vec(".*", 0..3), option::of((".*", ".*")), any::<bool>());
    (what, when, how, tls).prop_map(|(what, when, how, tls)| {
        let (url, secrets, identifier, headers, limit) = what;
        let mut config = EmitterConfig::new(url).unwrap();
        config.secrets = secrets;
        config.header_identifier = identifier;
        config.headers = headers;
        config.response_body_limit = limit;
        (config.request_timeout, config.idle_timeout, config.retry_after_limit) =
            (when.0, when.1, when.2);
        config.retry = when.3;
        config.rate_limit = when.4.map(|(attempts, burst)| match attempts % 3 {
            0 => RateLimit::per_second(attempts).burst(burst),
            1 => RateLimit::per_minute(attempts).burst(burst),
            _ => RateLimit::per_hour(attempts),
        });
        (config.order, config.on_gone, config.http_version) = (how.0, how.1, how.2);
        config.proxy = how.3.map(|url| match Proxy::new(url).unwrap() {
            proxy if url.contains("resolving") => proxy.resolving_names(),
            proxy => proxy,
        });
        config = config.allow_destinations(how.4);
        if how.5 {
            config = config.allow_private_destinations();
        }
        config.root_certificates = tls.0;
        config.client_identity = tls.1.map(|(chain, key)| ClientIdentity::from_pem(chain, key));
        config.danger_accept_invalid_certificates = tls.2;
        config
    })
}

fn assert_same(one: &EmitterConfig, other: &EmitterConfig) {
    let keys = |config: &EmitterConfig| -> Vec<_> {
        let key = |it: &Secret| (it.reveal().to_owned(), it.to_string(), it.expires_at);
        config.secrets.iter().map(key).collect()
    };
    assert_eq!(keys(one), keys(other));
    assert_eq!(one.url, other.url);
    assert_eq!(one.header_identifier, other.header_identifier);
    assert_eq!(one.headers, other.headers);
    assert_eq!(one.request_timeout, other.request_timeout);
    assert_eq!(one.response_body_limit, other.response_body_limit);
    assert_eq!(one.idle_timeout, other.idle_timeout);
    assert_eq!(one.retry, other.retry);
    assert_eq!(one.retry_after_limit, other.retry_after_limit);
    assert_eq!(one.order, other.order);
    assert_eq!(one.on_gone, other.on_gone);
    assert_eq!(one.rate_limit, other.rate_limit);
    assert_eq!(one.destinations, other.destinations);
    assert_eq!(one.http_version, other.http_version);
    assert_eq!(one.proxy, other.proxy);
    assert_eq!(one.root_certificates, other.root_certificates);
    assert_eq!(one.client_identity, other.client_identity);
    assert_eq!(one.danger_accept_invalid_certificates, other.danger_accept_invalid_certificates);
}

proptest! {
    #[test]
    fn every_configuration_is_read_back_as_it_was(config in configs()) {
        let stored = StoredConfig::write(&config).unwrap();
        let read = StoredConfig::from_text(stored.reveal().to_owned()).read().unwrap();
        assert_same(&config, &read);
        prop_assert_eq!(StoredConfig::write(&read).unwrap(), stored);
    }

    /// Damages the text in any way: it is read as something, or refused without being repeated.
    #[test]
    fn damage_never_panics(config in configs(), at in any::<prop::sample::Index>(), with in ".") {
        let mut text: Vec<char> =
            StoredConfig::write(&config).unwrap().reveal().chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, with.chars());
        let _ = StoredConfig::from_text(text.into_iter().collect()).read();
    }
}

const KEY: &str = "hunter2-in-clear";

fn changed(change: impl FnOnce(&mut Value)) -> StoredError {
    let config = EmitterConfig::new(format!("https://example.com/?token={KEY}"))
        .unwrap()
        .secret(Secret::parse(KEY).unwrap())
        .header("authorization", KEY)
        .client_identity(ClientIdentity::from_pem(KEY, KEY));
    let stored = StoredConfig::write(&config).unwrap();
    assert!(!format!("{stored:?}").contains(KEY));
    let mut value: Value = serde_json::from_str(stored.reveal()).unwrap();
    change(&mut value);
    StoredConfig::from_text(value.to_string()).read().unwrap_err()
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let error = changed(|it| it["config"]["turbo"] = json!(KEY));
    assert!(error.to_string().contains("unknown field `turbo`"), "{error}");
    let error = changed(|it| it["config"]["secrets"][0]["colour"] = json!(KEY));
    assert!(error.to_string().contains("unknown field `colour`"), "{error}");
    let error = changed(|it| drop(it["config"].as_object_mut().unwrap().remove("retry")));
    assert!(error.to_string().contains("missing field `retry`"), "{error}");
    let error = changed(|it| it["version"] = json!(2));
    assert_eq!(error, StoredError::Version { found: 2, known: 1 });
}

#[test]
fn no_error_repeats_a_value() {
    let swap: [fn(&mut Value); 9] = [
        |it| it["version"] = json!(KEY),
        |it| it["config"] = json!(KEY),
        |it| it["config"]["url"] = json!(KEY),
        |it| it["config"]["secrets"] = json!(KEY),
        |it| it["config"]["secrets"][0]["text"] = json!(format!("whsec_{KEY}")),
        |it| it["config"]["secrets"][0]["expires_at"] = json!(KEY),
        |it| it["config"]["order"] = json!(KEY),
        |it| it["config"]["retry"]["jitter"] = json!(KEY),
        |it| it["config"]["proxy"] = json!(format!("ftp://{KEY}")),
    ];
    for (nth, swap) in swap.into_iter().enumerate() {
        let error = match nth {
            // Only a key that says that it is one is looked into.
            4 => changed(|it| {
                it["config"]["secrets"][0]["plain"] = json!(false);
                swap(it);
            }),
            _ => changed(swap),
        };
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("hunter2"), "{nth}: {shown}");
        }
    }
}
