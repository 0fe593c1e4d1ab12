//! Secrets don't leak: everything that a run logs, prints, records, reports or answers is searched
//! for them.

mod support;

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bugle::{
    AttemptLogPolicy, AttemptQuery, ClientIdentity, DeadLetterQuery, DestinationPolicy,
    EmitOptions, EmitterConfig, HttpTransport, HttpVersion, MemoryOptions, Proxy, RestartBudget,
    Runtime, RuntimeEvent, Secret, Store, Verifier, VerifyingKey, Watch, verify_plain,
};
use bugle_testkit::{ClientCa, ForwardProxy, Receiver, Reply, Stage, Tls};
use serde::Serialize;
use support::{quick, within};
use tracing_subscriber::filter::LevelFilter;

const PLAIN: &str = "plain-hunter2";
const SYMMETRIC: &str = "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==";
const PRIVATE: &str = "whsk_c2VlZC1zZWVkLXNlZWQtc2VlZC1zZWVkLXNlZWQtMTI=";
const BEARER: &str = "Bearer bearer-hunter2";
const TENANT: &str = "tenant-hunter2";
const TOKEN: &str = "token-hunter2";
const PROXY_USER: &str = "proxyuser-hunter2";
const PROXY_PASSWORD: &str = "proxypass-hunter2";

/// The texts that must not appear anywhere: the secrets, their contents, and their encodings.
fn forbidden(identity: &ClientIdentity) -> Vec<String> {
    let mut texts: Vec<String> = [PLAIN, BEARER, TENANT, TOKEN, PROXY_USER, PROXY_PASSWORD]
        .into_iter()
        // The keys' texts without their prefixes, and the texts whose base64 they are.
        .chain(["aHVudGVyMmh1", "hunter2hunter2", "c2VlZC1zZWVk", "seed-seed"])
        // The base64 of `user:password`, as a proxy gets it.
        .chain(["cHJveHl1c2VyLWh1bnRlcjI6cHJveHlwYXNzLWh1bnRlcjI"])
        // Any other encoding that keeps this text.
        .chain(["hunter2"])
        .map(str::to_owned)
        .collect();
    let key = identity.private_key();
    texts.extend(key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    // Bytes printed as a list of numbers.
    let listed = |bytes: &[u8]| format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
    texts.push(listed(b"hunter2"));
    texts.push(listed(b"seed-seed"));
    texts
}

/// Everything that was logged, at any level, by any crate.
static LOG: LazyLock<Arc<Mutex<Vec<u8>>>> = LazyLock::new(Arc::default);

struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn capture_logs() {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(|| LogWriter)
        .init();
}

/// The texts of the run, each with its source.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn text(&mut self, place: &str, text: impl ToString) {
        self.0.push((place.to_owned(), text.to_string()));
    }

    fn debug(&mut self, place: &str, value: &dyn Debug) {
        self.text(place, format!("{value:?}"));
        self.text(place, format!("{value:#?}"));
    }

    fn error(&mut self, error: &(dyn std::error::Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.text("an error", error);
            self.debug("an error", &error);
            next = error.source();
        }
    }

    fn json(&mut self, place: &str, value: &(impl Serialize + Debug)) {
        self.debug(place, value);
        self.text(place, serde_json::to_string(value).unwrap());
    }

    fn search(&self, forbidden: &[String]) {
        for (place, text) in &self.0 {
            for secret in forbidden {
                let at = text.find(secret.as_str());
                let around = at.map(|at| {
                    let start = text.floor_char_boundary(at.saturating_sub(200));
                    let end = text.ceil_char_boundary((at + 200).min(text.len()));
                    &text[start..end]
                });
                assert!(at.is_none(), "{secret:?} in {place}: {around:?}");
            }
        }
    }
}

fn secrets() -> [Secret; 3] {
    [PLAIN, SYMMETRIC, PRIVATE].map(|text| Secret::parse(text).unwrap())
}

/// An emitter with every kind of secret.
fn loaded(receiver: &Receiver, path: &str) -> EmitterConfig {
    let config = receiver.emitter_config(&format!("{path}?token={TOKEN}")).unwrap();
    secrets()
        .into_iter()
        .fold(config, EmitterConfig::secret)
        .header("authorization", BEARER)
        .header("x-tenant", TENANT)
        .request_timeout(Duration::from_millis(500))
        .retry(quick().max_attempts(2))
}

async fn collect_events(mut watch: Watch, seen: &mut Seen) {
    within("the last event", async {
        while let Some(event) = watch.next().await {
            seen.json("an event", &event);
            assert!(!matches!(event, RuntimeEvent::Missed { .. }));
            if event == RuntimeEvent::ShutDown {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_seen_anywhere() {
    capture_logs();
    let mut seen = Seen::default();
    let authority = ClientCa::new().unwrap();
    let identity = authority.issue("billing").unwrap();
    let options = MemoryOptions::new().attempt_policy(AttemptLogPolicy::All);
    let store = Store::memory_with(options);
    let transport = HttpTransport::default();
    let builder = Runtime::builder()
        .store(store.clone())
        .transport(transport.clone())
        .restart_budget(RestartBudget::default());
    seen.debug("a builder", &builder);
    let runtime = builder.start().await.unwrap();
    let watch = runtime.watch();

    // Every way to succeed, and to fail.
    let takes = Receiver::start().unwrap();
    let tls = Tls::trusted().require_client(&authority);
    let takes_tls = Receiver::builder().tls(tls).start().unwrap();
    let fails = Receiver::builder().otherwise(Reply::status(500).body("no")).start().unwrap();
    let hangs = Receiver::builder().otherwise(Reply::hang()).start().unwrap();
    let resets = Receiver::builder().otherwise(Reply::reset(Stage::AfterBody)).start().unwrap();
    let garbage = Receiver::builder().otherwise(Reply::garbage()).start().unwrap();
    let untrusted = Receiver::builder().tls(Tls::self_signed()).start().unwrap();
    let refuses = Receiver::refusing().unwrap();
    let http_proxy = ForwardProxy::http().credentials(PROXY_USER, PROXY_PASSWORD).start().unwrap();
    let socks = ForwardProxy::socks5().credentials(PROXY_USER, PROXY_PASSWORD).start().unwrap();
    let denying =
        ForwardProxy::http().credentials(PROXY_USER, PROXY_PASSWORD).denying().start().unwrap();
    // The right name and the wrong password, at proxies that refuse it.
    let wrong = |proxy: &ForwardProxy, scheme: &str| {
        let address = proxy.address();
        Proxy::new(&format!("{scheme}://{PROXY_USER}:wrong-{PROXY_PASSWORD}@{address}")).unwrap()
    };
    let with_identity = || loaded(&takes_tls, "/tls").client_identity(identity.clone());
    let mut blocked = loaded(&takes, "/blocked");
    blocked.destinations = DestinationPolicy::default();
    let nowhere = EmitterConfig::new(format!("https://nowhere.invalid/?token={TOKEN}")).unwrap();
    let emitters = [
        ("takes", loaded(&takes, "/takes"), true),
        ("http2", loaded(&takes, "/http2").http_version(HttpVersion::Http2), true),
        ("tls", with_identity(), true),
        ("tls-http2", with_identity().http_version(HttpVersion::Http2), true),
        ("http-proxy", loaded(&takes, "/p").proxy(http_proxy.proxy().unwrap()), true),
        ("socks", loaded(&takes, "/s").proxy(socks.proxy().unwrap()), true),
        ("tls-by-proxy", with_identity().proxy(http_proxy.proxy().unwrap()), true),
        ("fails", loaded(&fails, "/fails"), false),
        ("hangs", loaded(&hangs, "/hangs"), false),
        ("resets", loaded(&resets, "/resets"), false),
        ("garbage", loaded(&garbage, "/garbage"), false),
        ("refuses", loaded(&refuses, "/refuses"), false),
        ("no-certificate", loaded(&takes_tls, "/tls"), false),
        ("untrusted", loaded(&untrusted, "/u").client_identity(identity.clone()), false),
        ("denied", loaded(&takes, "/denied").proxy(denying.proxy().unwrap()), false),
        ("blocked", blocked, false),
    ];
    // These may stay without a fate: neither a proxy that refuses us nor a resolver that doesn't
    // answer is the receiver's fault.
    let fateless = [
        ("wrong-http", loaded(&takes, "/wrong").proxy(wrong(&http_proxy, "http"))),
        ("wrong-socks", loaded(&takes, "/wrong").proxy(wrong(&socks, "socks5"))),
        ("nowhere", nowhere.max_attempts(1).secret(Secret::parse(PLAIN).unwrap())),
    ];
    for (id, config) in &fateless {
        seen.debug("a config", config);
        runtime.attach(*id, "invoice.sent", config.clone()).await.unwrap();
    }
    let mut failed = runtime.watch();
    let sent = runtime.emit("invoice.sent", &n_payload(0)).await.unwrap();
    seen.debug("a receipt", &sent);
    for _ in 0..fateless.len() {
        let is_failed = |event: &RuntimeEvent| {
            matches!(event, RuntimeEvent::AttemptFailed { emitter, .. }
                if fateless.iter().any(|(id, _)| *emitter == **id))
        };
        seen.debug("a failed attempt", &support::wait(&mut failed, is_failed).await);
    }
    for (id, _) in &fateless {
        runtime.pause(id).await.unwrap();
    }
    for (id, config, _) in &emitters {
        seen.debug("a config", config);
        runtime.attach(*id, "invoice.paid", config.clone()).await.unwrap();
    }
    for n in 0..2 {
        let options = EmitOptions::new().request_id(format!("request-{n}")).key("customer");
        seen.debug("the options of emit", &options);
        let receipt = runtime.emit_with("invoice.paid", &n_payload(n), options).await.unwrap();
        seen.debug("a receipt", &receipt);
        for settled in within("all fates", receipt.settled()).await {
            seen.debug("a fate", &settled);
            let (_, _, takes) = emitters.iter().find(|(id, ..)| settled.emitter == **id).unwrap();
            let delivered = settled.fate == Some(bugle::Fate::Delivered);
            assert_eq!(delivered, *takes, "{}", settled.emitter);
        }
    }
    // The secrets did reach their destinations.
    let request = &takes.requests()[0];
    assert!(request.path.contains(TOKEN));
    assert_eq!(request.header("authorization"), Some(BEARER));
    assert!(http_proxy.unauthorized() > 0 && !http_proxy.targets().is_empty());

    // A crash and its log lines.
    runtime.inject_crash("takes", "as the test wants it").unwrap();
    runtime.update("fails", loaded(&takes, "/updated")).await.unwrap();
    runtime.pause("tls").await.unwrap();

    for described in runtime.emitters() {
        seen.json("a description", &described);
    }
    let letters = runtime.dead_letters().page(DeadLetterQuery::new(), None).await.unwrap().items;
    let of_fateless = |id: &str| fateless.iter().any(|(fateless, _)| *fateless == id);
    let fated = letters.iter().filter(|letter| !of_fateless(letter.emitter.as_str())).count();
    assert_eq!(fated, 18);
    for letter in &letters {
        seen.debug("a dead letter", letter);
    }
    let page = runtime.attempts().page(&AttemptQuery::new(), None).await.unwrap();
    assert!(page.items.len() > 40, "{}", page.items.len());
    for attempt in &page.items {
        seen.json("an attempt", attempt);
    }
    seen.json("a page", &page);
    seen.debug("the attempt log", &runtime.attempts());
    seen.json("the journal's statistics", &runtime.journal_stats());
    seen.debug("the journal", &store.journal());
    seen.debug("the store", &store);
    seen.debug("the transport", &transport);
    seen.debug("the runtime", &runtime);
    seen.debug("a pause", &runtime.pause_with("takes", bugle::Backlog::Keep));
    seen.debug("a watch", &watch);
    keys(&mut seen);
    seen.debug("an identity", &identity);
    seen.debug("a proxy", &http_proxy.proxy().unwrap());
    errors(&mut seen, &runtime).await;
    let report = within("shutdown", runtime.shutdown(Duration::from_secs(5))).await;
    seen.debug("the report", &report);
    collect_events(watch, &mut seen).await;

    let log = String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned();
    assert!(log.contains("emitter crashed"), "logs are captured");
    for loud in ["TRACE", "h2::", "rustls::"] {
        assert!(log.contains(loud), "nothing of {loud} in the log");
    }
    seen.text("the log", log);
    let forbidden = forbidden(&identity);
    assert!(forbidden.len() > 12);
    seen.search(&forbidden);
}

fn n_payload(n: usize) -> serde_json::Value {
    serde_json::json!({ "n": n })
}

fn keys(seen: &mut Seen) {
    for secret in secrets() {
        seen.json("a secret", &secret);
        seen.text("a secret", &secret);
        seen.debug("a secret", &secret.clone().expires_at(jiff::Timestamp::now()));
        let key = secret.verifying_key();
        seen.text("a key", &key);
        seen.debug("a key", &key);
        seen.debug("a verifier", &Verifier::new([key]));
    }
    let both = VerifyingKey::parse(PRIVATE).unwrap();
    seen.debug("a key", &both);
}

/// A refusal does not repeat the value that it is about.
async fn errors(seen: &mut Seen, runtime: &Runtime) {
    for url in [
        "https://user:hunter2@example.com/",
        "https://user:hunter2@exa mple.com/",
        "https://user:hunter2@example.com:port/",
        "user:hunter2@example.com",
        "ftp://user:hunter2@example.com/",
        "https://user:hunter2@",
        "https:user:hunter2@example.com",
        "//user:hunter2@example.com/",
        "example.com/hooks?token=hunter2",
        "https://example.com:port/hooks?token=hunter2",
        "ftp://example.com/hooks?token=hunter2",
    ] {
        seen.error(&EmitterConfig::new(url).unwrap_err());
    }
    for text in [
        "",
        " plain-hunter2",
        "plain-hunter2\n",
        "whsec_hunter2!",
        "whsec_aHVudGVyMg==",
        "whsk_hunter2!",
        "whsk_aHVudGVyMg==",
        "whpk_hunter2!",
        "whpk_aHVudGVyMg==",
    ] {
        if let Err(error) = Secret::parse(text) {
            seen.error(&error);
        }
        if let Err(error) = VerifyingKey::parse(text) {
            seen.error(&error);
        }
    }
    for url in [
        "http://user:hunter2@",
        "http://user:hunter2@host:port",
        "ftp://user:hunter2@host",
        "user:hunter2@host:1080",
        "socks5:user:hunter2@host",
    ] {
        seen.error(&Proxy::new(url).unwrap_err());
    }
    seen.error(&verify_plain("plain-hunter2", b"{}", "sha256:nonsense").unwrap_err());

    let config = || EmitterConfig::new("https://example.com/").unwrap();
    let pem = "-----BEGIN PRIVATE KEY-----\naHVudGVyMmh1bnRlcjI=\n-----END PRIVATE KEY-----\n";
    let broken = [
        config().header("authorization", "Bearer hunter2\n"),
        config().header("x-webhooks-event", "hunter2"),
        config().header("content-length", "hunter2"),
        config().header("not a name", "hunter2"),
        config().header_identifier("not a name").header("authorization", BEARER),
        config().client_identity(ClientIdentity::from_pem("no certificate", pem)),
        config().client_identity(ClientIdentity::from_pem(pem, pem)),
        config().client_identity(ClientIdentity::from_pem("hunter2", "hunter2")),
        config().root_certificate(pem),
    ];
    for config in broken {
        seen.debug("a config", &config);
        let refused = runtime.attach("broken", "a", config.clone()).await;
        seen.error(&refused.expect_err(&format!("{config:#?}")));
        seen.error(&runtime.update("fails", config).await.unwrap_err());
    }
}
