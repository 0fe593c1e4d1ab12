//! Signatures, as a receiver verifies them.

use std::time::Duration;

use bugle::{
    AttemptCode, EmitterConfig, RetryPolicy, RuntimeEvent, Secret, Verifier, VerifyingKey,
    sign_plain,
};
use bugle_testkit::{Receiver, Reply};
use jiff::Timestamp;

use crate::support::{emit, quick, within};
use crate::{PLAIN, SYMMETRIC, config, delivered, header_names, runtime, verify};

#[tokio::test]
async fn a_signed_request_under_another_header_identifier() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    let config = config(&receiver)
        .header_identifier("Acme-Hooks")
        .secret(Secret::parse(PLAIN).unwrap())
        .secret(Secret::parse(SYMMETRIC).unwrap());
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    delivered(&emit(&runtime, "invoice.paid", "1").await).await;
    let request = &receiver.requests()[0];
    let expected = [
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-acme-hooks-delivery",
        "x-acme-hooks-event",
        "x-acme-hooks-signature",
    ];
    assert_eq!(header_names(request), expected);
    assert_eq!(request.event(), Some("invoice.paid"));
    let keys = [PLAIN, SYMMETRIC].map(|text| VerifyingKey::parse(text).unwrap());
    let header = |name: &str| request.header(name);
    let verifier = Verifier::new(keys).header_identifier("Acme-Hooks");
    verifier.verify(header, &request.body, Timestamp::now()).unwrap();
}

#[tokio::test]
async fn signatures_verify() {
    let (private, public) = Secret::generate_signing_key().unwrap();
    let plain = || Secret::parse(PLAIN).unwrap();
    let symmetric = || Secret::parse(SYMMETRIC).unwrap();
    let another = Secret::generate().unwrap();
    let expired = |secret: Secret| secret.expires_at(Timestamp::from_second(1).unwrap());
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let key = |secret: &Secret| secret.verifying_key();
    // The keys, the kinds of signature that must be present, the keys that can verify, and those
    // that can't.
    let cases = [
        ("none", vec![], None, "", vec![], vec![key(&plain()), key(&symmetric())]),
        ("plain", vec![plain()], Some(1), "", vec![key(&plain())], vec![key(&another)]),
        ("symmetric", vec![symmetric()], None, "v1", vec![key(&symmetric())], vec![key(&another)]),
        ("private", vec![private.clone()], None, "v1a", vec![public.clone()], vec![key(&another)]),
        (
            "all of them",
            vec![plain(), symmetric(), private.clone()],
            Some(1),
            "v1 v1a",
            vec![key(&plain()), key(&symmetric()), public.clone()],
            vec![key(&another)],
        ),
        (
            "rotated",
            vec![another.clone(), symmetric().expires_at(later)],
            None,
            "v1 v1",
            vec![key(&another), key(&symmetric())],
            vec![public.clone()],
        ),
        (
            "rotated, and the old one expired",
            vec![another.clone(), expired(symmetric()), expired(private.clone())],
            None,
            "v1",
            vec![key(&another)],
            vec![key(&symmetric()), public.clone()],
        ),
        (
            "two plain ones",
            vec![plain(), Secret::plain("another").unwrap()],
            Some(2),
            "",
            vec![key(&plain()), key(&Secret::plain("another").unwrap())],
            vec![],
        ),
    ];
    let runtime = runtime().await;
    for (what, secrets, plains, standard, can, cannot) in cases {
        let receiver = Receiver::start().unwrap();
        let config = secrets.into_iter().fold(config(&receiver), EmitterConfig::secret);
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        delivered(&emit(&runtime, "invoice.paid", "1").await).await;
        let request = &receiver.requests()[0];
        let signatures = |name| -> Option<Vec<&str>> {
            request.header(name).map(|value| value.split(' ').collect())
        };
        let count = signatures("x-webhooks-signature").map(|list| list.len());
        assert_eq!(count, plains, "{what}");
        let kinds: Vec<&str> = signatures("webhook-signature")
            .unwrap_or_default()
            .into_iter()
            .map(|signature| signature.split_once(',').unwrap().0)
            .collect();
        assert_eq!(kinds.join(" "), standard, "{what}");
        for key in &can {
            assert_eq!(verify(request, std::slice::from_ref(key)), Ok(()), "{what}: {key}");
        }
        for key in &cannot {
            assert!(verify(request, std::slice::from_ref(key)).is_err(), "{what}: {key}");
        }
        runtime.detach("a").await.unwrap();
    }
}

#[tokio::test]
async fn signing_is_never_left_out_because_keys_expired() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    let secret = || Secret::parse(PLAIN).unwrap();
    let until = |instant: Timestamp| config(&receiver).secret(secret().expires_at(instant));
    let past = Timestamp::now() - jiff::SignedDuration::from_secs(1);
    let refused = "secrets: every key has expired";
    let error = runtime.attach("a", "invoice.paid", until(past)).await.unwrap_err();
    assert!(error.to_string().starts_with(refused), "{error}");

    // A key expires while its emitter runs: nothing is sent, until there is a new one.
    let soon = loop {
        let soon = Timestamp::now() + jiff::SignedDuration::from_millis(100);
        let config = until(soon).retry(quick().max_attempts(100_000));
        // A slow machine tries again.
        if runtime.attach("a", "invoice.paid", config).await.is_ok() {
            break soon;
        }
    };
    while Timestamp::now() <= soon {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut watch = runtime.watch();
    let receipt = emit(&runtime, "invoice.paid", "1").await;
    let failed = watch.wait_for(|it| matches!(it, RuntimeEvent::AttemptFailed { .. }));
    let failed = within("a failed attempt", failed).await.unwrap();
    let RuntimeEvent::AttemptFailed { code, message, .. } = failed else { unreachable!() };
    assert_eq!((code, code.as_str()), (AttemptCode::Unsigned, "unsigned"));
    assert!(message.contains("give it a new key with update"), "{message}");
    assert_eq!(receiver.requests().len(), 0);
    let error = runtime.update("a", until(past)).await.unwrap_err();
    assert!(error.to_string().starts_with(refused), "{error}");
    let error = runtime.ensure("a", "invoice.paid", until(past)).await.unwrap_err();
    assert!(error.to_string().starts_with(refused), "{error}");
    runtime.update("a", until(past).secret(secret())).await.unwrap();
    delivered(&receipt).await;
    assert_eq!(verify(&receiver.requests()[0], &[secret().verifying_key()]), Ok(()));
}

#[tokio::test]
async fn the_plain_signature_is_the_originals() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    let config = config(&receiver).secret(Secret::plain("supersecret").unwrap());
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    delivered(&emit(&runtime, "invoice.paid", "1").await).await;
    let request = &receiver.requests()[0];
    let signature = request.header("x-webhooks-signature").unwrap();
    assert_eq!(signature, sign_plain("supersecret", &request.body));
    let encoded = signature.strip_prefix("sha256:").unwrap();
    assert_eq!(encoded.len(), 52, "256 bits, five to a digit");
    assert!(encoded.chars().all(|c| c.is_ascii_digit() || ('a'..='v').contains(&c)), "{encoded}");
}

#[tokio::test]
async fn every_attempt_is_stamped_and_signed_anew() {
    let receiver = Receiver::builder().reply(Reply::status(500)).start().unwrap();
    let runtime = runtime().await;
    // Timestamps count seconds: the second attempt comes in another second.
    let second = Duration::from_millis(1100);
    let config = config(&receiver)
        .secret(Secret::parse(PLAIN).unwrap())
        .secret(Secret::parse(SYMMETRIC).unwrap())
        .retry(RetryPolicy::exponential(second, second).jitter(0.0));
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    delivered(&emit(&runtime, "invoice.paid", "1").await).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    let stamps: Vec<i64> = requests
        .iter()
        .map(|request| request.header("webhook-timestamp").unwrap().parse().unwrap())
        .collect();
    assert!(stamps[1] > stamps[0], "{stamps:?}");
    let both = |name: &str| [0, 1].map(|n: usize| requests[n].header(name).unwrap().to_owned());
    let [first, second] = both("webhook-signature");
    assert_ne!(first, second);
    let [first, second] = both("x-webhooks-signature");
    assert_eq!(first, second, "it knows no time");
    let keys = [PLAIN, SYMMETRIC].map(|text| VerifyingKey::parse(text).unwrap());
    for request in &requests {
        verify(request, &keys).unwrap();
    }
}
