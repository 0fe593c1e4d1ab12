//! Signatures: against recorded ones, against another implementation, and against forgers.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::time::Duration;

use bugle_core::{
    DEFAULT_TOLERANCE, Secret, SignatureHeaders, Verifier, VerifyError, VerifyingKey, sign_plain,
    verify_plain, verify_standard,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

const NOW: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"id":1}"#;
const PRIVATE: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::parse(text).unwrap()
}

fn key(text: &str) -> VerifyingKey {
    VerifyingKey::parse(text).unwrap()
}

/// Signs [`BODY`] as `msg_1` at [`NOW`].
fn sign(secrets: &[Secret]) -> SignatureHeaders {
    SignatureHeaders::sign(secrets, "msg_1", at(NOW), BODY)
}

/// Verifies [`BODY`] as `msg_1` at [`NOW`] against one Standard Webhooks header.
fn check(keys: &[VerifyingKey], signature: &str) -> Result<(), VerifyError> {
    let (now, tolerance) = (at(NOW), DEFAULT_TOLERANCE);
    verify_standard(keys, "msg_1", &NOW.to_string(), signature, BODY, now, tolerance)
}

fn recorded() -> Value {
    serde_json::from_str(include_str!("data/signatures.json")).unwrap()
}

#[test]
fn recorded_plain_signatures() {
    let recorded = recorded();
    let cases = recorded["webhooks_emitter"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let (plain, body, header) = (text("secret"), text("body").as_bytes(), text("header"));
        assert_eq!(sign_plain(plain, body), header);
        let signed = SignatureHeaders::sign(&[secret(plain)], "x", at(NOW), body);
        assert_eq!(signed.plain.as_deref(), Some(header));
        assert_eq!(signed.standard, None);
        assert_eq!(verify_plain(plain, body, header), Ok(()));

        let encoded = header.strip_prefix("sha256:").unwrap().to_ascii_uppercase();
        let tag = data_encoding::BASE32HEX_NOPAD.decode(encoded.as_bytes()).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&tag), text("hmac_sha256_hex"));
    }
}

#[test]
fn recorded_standard_signatures() {
    let recorded = recorded();
    let cases = recorded["standard_webhooks"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let (id, body, signature) = (text("id"), text("body").as_bytes(), text("signature"));
        let second = case["timestamp"].as_i64().unwrap();
        let signed = SignatureHeaders::sign(&[secret(text("secret"))], id, at(second), body);
        assert_eq!(signed.standard.as_deref(), Some(signature));
        assert_eq!(signed.plain, None);
        let (keys, now) = ([key(text("secret"))], at(second));
        let time = second.to_string();
        assert_eq!(verify_standard(&keys, id, &time, signature, body, now, Duration::ZERO), Ok(()));
    }
    let tolerance = recorded["standard_webhooks_rules"]["receiver_tolerance_seconds"].as_u64();
    assert_eq!(tolerance, Some(DEFAULT_TOLERANCE.as_secs()));
}

#[test]
fn an_ed25519_signature_of_another_implementation() {
    // Made with Python's `cryptography`.
    let other = "v1a,Rt3mE6mw8iaZbYWZ/8YJH+gKraUBQNc3sKFgGpduTnfbOg5z8M8BSLfovbekjB99JRJs1EqTGUIu\
                 Qi2G8U6fBQ==";
    assert_eq!(sign(&[secret(PRIVATE)]).standard.as_deref(), Some(other));
    let public = secret(PRIVATE).verifying_key().to_string();
    assert_eq!(check(&[key(&public)], other), Ok(()));
    assert_eq!(check(&[key(PRIVATE)], other), Ok(()));
}

#[test]
fn long_plain_secrets() {
    // Made with Python's `hmac`: a key as long as a block, and longer ones.
    for (length, header) in [
        (64, "sha256:qtg3blfbb1laeh0ca49rr2sdveurov0478l214e54o9trgj4oimg"),
        (65, "sha256:en48es3eb87ju2uucit6rauni84iaij05lvgbt5mdlpru3g2eca0"),
        (200, "sha256:gl1ne1cuii6n5dm309gmkk3sk4ajnpduc4d3jfu1es62dt5dt570"),
    ] {
        assert_eq!(sign_plain(&"k".repeat(length), b"{}"), header);
    }
}

#[test]
fn every_unexpired_key_signs_in_order() {
    let other = secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let secrets = [
        secret("new"),
        secret(PRIVATE),
        secret("old").expires_at(at(NOW + 1)),
        secret("older").expires_at(at(NOW)),
        secret(SYMMETRIC),
        other.clone().expires_at(at(NOW - 1)),
    ];
    let alone = |secret: &Secret| sign(std::slice::from_ref(secret));
    let signed = sign(&secrets);
    let plain = [sign_plain("new", BODY), sign_plain("old", BODY)].join(" ");
    assert_eq!(signed.plain, Some(plain));
    let standard = [&secrets[1], &secrets[4]].map(|secret| alone(secret).standard.unwrap());
    assert_eq!(signed.standard, Some(standard.join(" ")));

    let header = signed.standard.unwrap();
    assert_eq!(check(&[key(SYMMETRIC)], &header), Ok(()));
    assert_eq!(check(&[secrets[1].verifying_key()], &header), Ok(()));
    assert_eq!(check(&[key("new")], &header), Err(VerifyError::Mismatch));
    assert_eq!(check(&[other.verifying_key()], &header), Err(VerifyError::Mismatch));
    assert_eq!(check(&[other.verifying_key(), key(SYMMETRIC)], &header), Ok(()));

    assert_eq!(sign(&[]), SignatureHeaders::default());
    assert_eq!(sign(&secrets[3..4]), SignatureHeaders::default());
}

#[test]
fn timestamps_are_checked_both_ways() {
    let signature = |second| {
        SignatureHeaders::sign(&[secret(SYMMETRIC)], "msg_1", at(second), BODY).standard.unwrap()
    };
    let verify = |text: &str, signature: &str| {
        let (keys, tolerance) = ([key(SYMMETRIC)], DEFAULT_TOLERANCE);
        verify_standard(&keys, "msg_1", text, signature, BODY, at(NOW), tolerance)
    };
    for (off, verdict) in [
        (0, Ok(())),
        (-300, Ok(())),
        (300, Ok(())),
        (-301, Err(VerifyError::TooOld { seconds: 301 })),
        (301, Err(VerifyError::TooNew { seconds: 301 })),
        (-NOW, Err(VerifyError::TooOld { seconds: NOW.unsigned_abs() })),
    ] {
        let second = NOW + off;
        assert_eq!(verify(&second.to_string(), &signature(second)), verdict, "{off}");
    }
    let newest = i64::MAX.to_string();
    assert!(matches!(verify(&newest, "v1,x"), Err(VerifyError::TooNew { .. })));
    for text in ["", " ", "now", "-5", "+1614265330", "1614265330.0", " 1614265330", "1e9"] {
        assert_eq!(verify(text, &signature(NOW)), Err(VerifyError::BadTimestamp), "{text}");
    }
    assert_eq!(verify("99999999999999999999999", &signature(NOW)), Err(VerifyError::BadTimestamp));
}

#[test]
fn an_id_with_a_full_stop_is_refused() {
    // Both sign the text `a.1614265330.1614265330.{}`.
    let time = NOW.to_string();
    let body = format!("{time}.{{}}");
    let header = SignatureHeaders::sign(&[secret(SYMMETRIC)], "a", at(NOW), body.as_bytes());
    let header = header.standard.unwrap();
    let verify = |id: &str, body: &str| {
        let (keys, tolerance) = ([key(SYMMETRIC)], DEFAULT_TOLERANCE);
        verify_standard(&keys, id, &time, &header, body.as_bytes(), at(NOW), tolerance)
    };
    assert_eq!(verify("a", &body), Ok(()));
    assert_eq!(verify(&format!("a.{time}"), "{}"), Err(VerifyError::BadId));
    assert_eq!(verify("", &body), Err(VerifyError::BadId));
}

#[test]
fn odd_signature_headers() {
    let good = sign(&[secret(SYMMETRIC)]).standard.unwrap();
    let bare = good.strip_prefix("v1,").unwrap();
    let junk = "v1,AAAA v1a,AAAA v2,x , v1 ,v1 v1a, v1,";
    let many = "v1,AAAA ".repeat(16);
    for (header, holds) in [
        (good.clone(), true),
        (format!("{junk} {good}"), true),
        (format!("{good} {junk}"), true),
        (format!("  {good}  "), true),
        (String::new(), false),
        (junk.to_owned(), false),
        (bare.to_owned(), false),
        (format!("v1a,{bare}"), false),
        (format!("v2,{bare}"), false),
        (format!("V1,{bare}"), false),
        (format!("{good}A"), false),
        (good.replace('=', ""), false),
        // A signature behind more of them than are looked at.
        (format!("{many}{good}"), false),
    ] {
        assert_eq!(check(&[key(SYMMETRIC)], &header).is_ok(), holds, "{header}");
    }
    let plain = sign_plain("s", BODY);
    assert_eq!(verify_plain("s", BODY, &format!("sha256:0 {plain}")), Ok(()));
    for header in ["", "sha256:", &plain.to_uppercase(), &plain.replace("sha256:", "")] {
        assert_eq!(verify_plain("s", BODY, header), Err(VerifyError::Mismatch), "{header}");
    }
    assert_eq!(verify_plain("", BODY, &sign_plain("", BODY)), Err(VerifyError::NoKey));
}

/// Headers as a request has them.
fn headers(signed: &SignatureHeaders, identifier: &str) -> HashMap<String, String> {
    let mut headers = HashMap::from([
        ("webhook-id".to_owned(), "msg_1".to_owned()),
        ("webhook-timestamp".to_owned(), NOW.to_string()),
    ]);
    headers.extend(signed.plain.clone().map(|value| (format!("x-{identifier}-signature"), value)));
    headers.extend(signed.standard.clone().map(|value| ("webhook-signature".to_owned(), value)));
    headers
}

#[test]
fn a_verifier_checks_what_it_has_keys_for() {
    let both = sign(&[secret("plain"), secret(SYMMETRIC)]);
    let plain = SignatureHeaders::sign(&[secret("plain")], "msg_1", at(NOW), BODY);
    let standard = sign(&[secret(SYMMETRIC)]);
    let forged_plain = sign(&[secret("forged"), secret(SYMMETRIC)]);
    let forged_standard = sign(&[secret("plain"), secret(PRIVATE)]);
    let missing = |name: &str| Err(VerifyError::MissingHeader { name: name.to_owned() });
    let table: [(&[&str], &SignatureHeaders, Result<(), VerifyError>); 14] = [
        (&["plain", SYMMETRIC], &both, Ok(())),
        (&["plain"], &both, Ok(())),
        (&[SYMMETRIC], &both, Ok(())),
        (&["plain", SYMMETRIC], &plain, Ok(())),
        (&["plain", SYMMETRIC], &standard, Ok(())),
        (&["old", "plain"], &plain, Ok(())),
        (&["plain", SYMMETRIC], &forged_plain, Err(VerifyError::Mismatch)),
        (&["plain", SYMMETRIC], &forged_standard, Err(VerifyError::Mismatch)),
        (&["other"], &plain, Err(VerifyError::Mismatch)),
        (&["plain"], &standard, missing("x-webhooks-signature")),
        (&[SYMMETRIC], &plain, missing("webhook-signature")),
        (&["plain", SYMMETRIC], &SignatureHeaders::default(), missing("webhook-signature")),
        (&[], &both, Err(VerifyError::NoKey)),
        (&[PRIVATE], &forged_standard, Ok(())),
    ];
    for (keys, signed, verdict) in table {
        let headers = headers(signed, "webhooks");
        let verifier = Verifier::new(keys.iter().map(|text| key(text)));
        let found = verifier.verify(|name| headers.get(name).map(String::as_str), BODY, at(NOW));
        assert_eq!(found, verdict, "{keys:?} {signed:?}");
    }
}

#[test]
fn a_verifier_has_settings() {
    let signed = sign(&[secret("plain"), secret(SYMMETRIC)]);
    let headers = headers(&signed, "acme-hooks");
    let verify = |verifier: Verifier, second: i64| {
        verifier.verify(|name| headers.get(name).map(String::as_str), BODY, at(second))
    };
    let plain = || Verifier::new([key("plain")]);
    assert_eq!(verify(plain().header_identifier("Acme-Hooks"), NOW), Ok(()));
    assert!(matches!(verify(plain(), NOW), Err(VerifyError::MissingHeader { .. })));

    let standard = || Verifier::new([key(SYMMETRIC)]);
    assert_eq!(verify(standard(), NOW + 300), Ok(()));
    assert_eq!(verify(standard(), NOW + 301), Err(VerifyError::TooOld { seconds: 301 }));
    let wide = standard().tolerance(Duration::from_secs(1000));
    assert_eq!(verify(wide, NOW + 301), Ok(()));
    let narrow = standard().tolerance(Duration::ZERO);
    assert_eq!(verify(narrow, NOW - 1), Err(VerifyError::TooNew { seconds: 1 }));

    for name in ["webhook-id", "webhook-timestamp"] {
        let found = standard().verify(
            |wanted| headers.get(wanted).filter(|_| wanted != name).map(String::as_str),
            BODY,
            at(NOW),
        );
        assert_eq!(found, Err(VerifyError::MissingHeader { name: name.to_owned() }));
    }
}

/// The map that the `standardwebhooks` crate looks its headers up in.
fn header_map(id: &str, second: i64, signature: &str) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    headers.insert("webhook-id", id.parse().unwrap());
    headers.insert("webhook-timestamp", second.to_string().parse().unwrap());
    headers.insert("webhook-signature", signature.parse().unwrap());
    headers
}

proptest! {
    #[test]
    fn another_implementation_agrees(
        bytes in prop::collection::vec(any::<u8>(), 24..=64),
        id in "[!-\\-/-~]{1,40}",
        body in ".{0,200}",
    ) {
        // It takes the time from the system's clock.
        let now = Timestamp::now();
        let key = Secret::symmetric(&bytes).unwrap();
        let other = standardwebhooks::Webhook::new(key.reveal()).unwrap();
        let ours = SignatureHeaders::sign(std::slice::from_ref(&key), &id, now, body.as_bytes());
        let ours = ours.standard.unwrap();
        let theirs = other.sign(&id, now.as_second(), body.as_bytes()).unwrap();
        prop_assert_eq!(&ours, &theirs);
        let headers = header_map(&id, now.as_second(), &ours);
        prop_assert!(other.verify(body.as_bytes(), &headers).is_ok());
        let verifier = Verifier::new([key.verifying_key()]);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        prop_assert_eq!(verifier.verify(header, body.as_bytes(), now), Ok(()));
    }

    #[test]
    fn one_changed_bit_is_noticed(
        which in 0..3_usize,
        mut body in prop::collection::vec(any::<u8>(), 1..100),
        at_byte: prop::sample::Index,
        bit in 0..8_u32,
    ) {
        let secrets = [secret("plain"), secret(SYMMETRIC), secret(PRIVATE)];
        let secret = secrets.get(which..=which).unwrap();
        let signed = SignatureHeaders::sign(secret, "msg_1", at(NOW), &body);
        let headers = headers(&signed, "webhooks");
        let verifier = Verifier::new([secret.first().unwrap().verifying_key()]);
        let header = |name: &str| headers.get(name).map(String::as_str);
        prop_assert_eq!(verifier.verify(header, &body, at(NOW)), Ok(()));
        let index = at_byte.index(body.len());
        *body.get_mut(index).unwrap() ^= 1 << bit;
        prop_assert_eq!(verifier.verify(header, &body, at(NOW)), Err(VerifyError::Mismatch));
    }

    #[test]
    fn no_header_makes_it_panic(id in ".{0,20}", time in ".{0,20}", signature in ".{0,60}") {
        let keys = [key("plain"), key(SYMMETRIC), key(PRIVATE)];
        let (now, tolerance) = (at(NOW), DEFAULT_TOLERANCE);
        let forged = verify_standard(&keys, &id, &time, &signature, BODY, now, tolerance);
        prop_assert!(forged.is_err());
        prop_assert!(verify_plain("plain", BODY, &signature).is_err());
    }
}
