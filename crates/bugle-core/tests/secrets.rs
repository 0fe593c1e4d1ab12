//! Keys: what is read as one, what is refused, and that none is ever shown.

#![allow(clippy::unwrap_used)]

use bugle_core::{EmitterConfig, Secret, SecretError, VerifyingKey};
use jiff::Timestamp;
use proptest::prelude::*;

// Made with another ed25519 implementation, from the seed 0, 1, … 31.
const SEED: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY_PAIR: &str =
    "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";
const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn symmetric_of(bytes: usize) -> String {
    let whole = [7; 128];
    data_encoding::BASE64.encode(whole.get(..bytes).unwrap())
}

#[test]
fn keys_are_told_by_their_prefix() {
    let table = [
        ("supersecret", "[redacted]", "[redacted]"),
        ("whsec", "[redacted]", "[redacted]"),
        ("two words", "[redacted]", "[redacted]"),
        (SYMMETRIC, "whsec_[redacted]", "whsec_[redacted]"),
        (SEED, "whsk_[redacted]", PUBLIC),
        (KEY_PAIR, "whsk_[redacted]", PUBLIC),
        // Without the padding.
        (SEED.trim_end_matches('='), "whsk_[redacted]", PUBLIC),
    ];
    for (text, shown, verifying) in table {
        let secret = Secret::parse(text).unwrap();
        assert_eq!(secret.to_string(), shown);
        assert_eq!(secret.reveal(), text);
        assert_eq!(secret.verifying_key().to_string(), verifying);
        assert_eq!(VerifyingKey::parse(text).unwrap().to_string(), verifying);
    }
    for text in [PUBLIC, &format!("{PUBLIC}\n")] {
        assert_eq!(VerifyingKey::parse(text).unwrap().to_string(), PUBLIC);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let not_base64 = |prefix| SecretError::NotBase64 { prefix };
    let table = [
        (String::new(), SecretError::Empty),
        ("supersecret\n".to_owned(), SecretError::WhiteSpace),
        (format!(" {SYMMETRIC}"), SecretError::WhiteSpace),
        ("whsec_not base64".to_owned(), not_base64("whsec_")),
        ("whsec_????????????????????????????????".to_owned(), not_base64("whsec_")),
        ("whsk_-_-_".to_owned(), not_base64("whsk_")),
        (PUBLIC.to_owned(), SecretError::PublicKey),
        (KEY_PAIR.replace("8DoQ", "8DoR"), SecretError::Halves),
    ];
    for (text, error) in table {
        assert_eq!(Secret::parse(&text).err(), Some(error), "{text}");
    }
    for (prefix, bytes) in
        [("whsec_", 0), ("whsec_", 23), ("whsec_", 65), ("whsk_", 31), ("whsk_", 33), ("whsk_", 0)]
    {
        let error = Secret::parse(&format!("{prefix}{}", symmetric_of(bytes))).err().unwrap();
        let SecretError::Length { actual, .. } = error else { panic!("{error}") };
        assert_eq!(actual, bytes);
    }
    for bytes in [24, 25, 32, 63, 64] {
        assert!(Secret::parse(&format!("whsec_{}", symmetric_of(bytes))).is_ok(), "{bytes}");
    }
}

#[test]
fn what_is_no_public_key_is_refused() {
    let table = [
        ("whpk_".to_owned() + &symmetric_of(31), "31 bytes"),
        ("whpk_".to_owned() + &symmetric_of(33), "33 bytes"),
        ("whpk_%".to_owned(), "base64"),
        // The neutral element: it fits signatures that nobody made.
        ("whpk_AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(), "not an ed25519 key"),
        // No point has this y.
        ("whpk_AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(), "not an ed25519 key"),
        (String::new(), "empty"),
    ];
    for (text, words) in table {
        let error = VerifyingKey::parse(&text).err().unwrap().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn new_keys_differ_and_read_back() {
    let (a, b) = (Secret::generate().unwrap(), Secret::generate().unwrap());
    assert_ne!(a.reveal(), b.reveal());
    assert!(a.reveal().starts_with("whsec_"));
    assert_eq!(Secret::parse(a.reveal()).unwrap().reveal(), a.reveal());

    let (private, public) = Secret::generate_signing_key().unwrap();
    let read = Secret::parse(private.reveal()).unwrap();
    assert_eq!(read.verifying_key().to_string(), public.to_string());
    let read = VerifyingKey::parse(&public.to_string()).unwrap();
    assert_eq!(read.to_string(), public.to_string());
}

#[test]
fn explicit_constructors() {
    let seed: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    assert_eq!(Secret::private(&seed).reveal(), SEED);
    assert_eq!(Secret::symmetric(&[1; 24]).unwrap().reveal().len(), "whsec_".len() + 32);
    assert!(matches!(Secret::symmetric(&[1; 23]), Err(SecretError::Length { actual: 23, .. })));
    assert_eq!(Secret::plain("whsec_x").unwrap().to_string(), "[redacted]");
    assert_eq!(Secret::plain(" x\n").unwrap().reveal(), " x\n");
    assert_eq!(Secret::plain("").err(), Some(SecretError::Empty));
}

#[test]
fn a_key_expires_at_its_instant() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let secret = Secret::parse("supersecret").unwrap();
    assert_eq!(secret.expires_at, None);
    assert!(!secret.is_expired(at(i64::from(u32::MAX))));
    let secret = secret.expires_at(at(100));
    assert_eq!(secret.expires_at, Some(at(100)));
    assert!(!secret.is_expired(at(99)));
    assert!(secret.is_expired(at(100)));
}

#[test]
fn nothing_shows_a_secret() {
    for text in ["supersecret", SYMMETRIC, SEED, KEY_PAIR] {
        let bare = text.rsplit('_').next().unwrap();
        let secret = Secret::parse(text).unwrap().expires_at(Timestamp::UNIX_EPOCH);
        let config = EmitterConfig::new("http://a").unwrap().secret(secret.clone());
        let shown = [
            format!("{secret} {secret:?} {secret:#?} {config:?}"),
            format!("{0} {0:?} {0:#?}", secret.verifying_key()),
            serde_json::to_string(&secret).unwrap(),
        ]
        .concat();
        assert!(shown.contains("redacted"));
        for start in 0..bare.len() - 8 {
            let part = bare.get(start..start + 8).unwrap();
            assert!(PUBLIC.contains(part) || !shown.contains(part), "{part} of {text}: {shown}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_repeating_it(
        prefix in "(whsec_|whsk_|whpk_|)", rest in "[a-zA-Z0-9+/= ?]{10,60}"
    ) {
        let text = format!("{prefix}{rest}");
        let errors = [Secret::parse(&text).err(), VerifyingKey::parse(&text).err()];
        for error in errors.into_iter().flatten() {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(&rest), "{shown}");
        }
        if let Ok(secret) = Secret::parse(&text) {
            prop_assert_eq!(secret.reveal(), text);
        }
    }

    #[test]
    fn symmetric_keys_read_back(bytes in prop::collection::vec(any::<u8>(), 24..=64)) {
        let secret = Secret::symmetric(&bytes).unwrap();
        let read = Secret::parse(secret.reveal()).unwrap();
        prop_assert_eq!(read.reveal(), secret.reveal());
    }
}
