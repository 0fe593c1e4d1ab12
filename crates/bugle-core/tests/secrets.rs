//! Keys: what is read as one, what is refused, and that none is ever shown.

#![allow(clippy::unwrap_used, clippy::panic)]

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
        ("two words", "[redacted]", "[redacted]"),
        // No key, nor nearly one.
        ("whsecret", "[redacted]", "[redacted]"),
        ("whisk-the-eggs-and-then-the-flour", "[redacted]", "[redacted]"),
        ("v1.0", "[redacted]", "[redacted]"),
        ("it's", "[redacted]", "[redacted]"),
        ("\"", "[redacted]", "[redacted]"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "[redacted]", "[redacted]"),
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
    let table = [
        (String::new(), SecretError::Empty),
        ("supersecret\n".to_owned(), SecretError::WhiteSpace),
        (format!(" {SYMMETRIC}"), SecretError::WhiteSpace),
        (" \n".to_owned(), SecretError::Empty),
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

/// Texts that real people have given as a key, and the words that put them right.
#[test]
fn what_is_nearly_a_key_is_refused_in_words_that_show_the_right_form() {
    let whsec = "write whsec_ and then the base64 of 24 to 64 bytes, with nothing before it";
    let whsk = "write whsk_ and then the base64 of an ed25519 private key, of 32 or 64 bytes";
    let whpk = "write whpk_ and then the base64 of an ed25519 public key, of 32 bytes";
    let bare = SYMMETRIC.strip_prefix("whsec_").unwrap();
    let url_safe = "whsec_-fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS_";
    let table = [
        (format!("v1,{SYMMETRIC}"), whsec),
        (format!("V1,{SYMMETRIC}"), whsec),
        (format!("v1, {SYMMETRIC}"), whsec),
        (SYMMETRIC.to_uppercase(), whsec),
        (format!("WHSEC_{bare}"), whsec),
        (format!("Whsec_{bare}"), whsec),
        (format!("whsec-{bare}"), whsec),
        (format!("whsec:{bare}"), whsec),
        (format!("whsec={bare}"), whsec),
        (format!("whsec {bare}"), whsec),
        (format!("whsec.{bare}"), whsec),
        (format!("whsec\u{2013}{bare}"), whsec),
        (format!("whsec{bare}"), whsec),
        (format!("v1,whsec-{bare}"), whsec),
        ("whsec".to_owned(), whsec),
        ("WHSEC".to_owned(), whsec),
        (format!("whesc_{bare}"), whsec),
        (format!("whsc_{bare}"), whsec),
        (format!("whsecc_{bare}"), whsec),
        (format!("wshec-{bare}"), whsec),
        (format!("\"{SYMMETRIC}"), whsec),
        (format!("({SYMMETRIC})"), whsec),
        (format!("BUGLE_SECRET={SYMMETRIC}"), whsec),
        (format!("secret: {SYMMETRIC}"), whsec),
        (format!("Bearer {SYMMETRIC}"), whsec),
        (format!("v1a,{SEED}"), whsk),
        (SEED.to_uppercase(), whsk),
        (SEED.replace('_', "-"), whsk),
        (format!("v1a,{PUBLIC}"), whpk),
        (PUBLIC.replace("whpk", "WHPK"), whpk),
        (format!("\"{SYMMETRIC}\""), "stands in quotes; remove them"),
        (format!("'{SYMMETRIC}'"), "stands in quotes; remove them"),
        ("\"supersecret\"".to_owned(), "stands in quotes; remove them"),
        ("\u{201C}supersecret\u{201D}".to_owned(), "stands in quotes; remove them"),
        (format!("{SYMMETRIC}\n"), "starts or ends with white space"),
        (format!("{SYMMETRIC}\r\n"), "starts or ends with white space"),
        (format!("{SYMMETRIC} "), "starts or ends with white space"),
        (format!("\t{SYMMETRIC}"), "starts or ends with white space"),
        (format!("\u{FEFF}{SYMMETRIC}"), "a character that can't be seen"),
        ("supersecret\u{200B}".to_owned(), "a character that can't be seen"),
        ("supersecret\u{A0}".to_owned(), "starts or ends with white space"),
        (format!("{SYMMETRIC}\n{SYMMETRIC}"), "a line break"),
        ("one\ntwo".to_owned(), "a line break"),
        ("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----".to_owned(), "a line break"),
        ("super\0secret".to_owned(), "another control character"),
        (format!("{SYMMETRIC},{SYMMETRIC}"), "another key: give each one by itself"),
        (format!("{SYMMETRIC} {SEED}"), "another key: give each one by itself"),
        (format!("whsec_{SYMMETRIC}"), "another key: give each one by itself"),
        (format!("whsec_ {bare}"), "white space: remove it"),
        (format!("whsec_{} {}", &bare[..8], &bare[8..]), "white space: remove it"),
        (url_safe.to_owned(), "the URL-safe alphabet: write + for - and / for _"),
        ("whsk_-_-_".to_owned(), "the URL-safe alphabet: write + for - and / for _"),
        ("whsec_AAEC%2FwQFBgcICQoLDA0ODxAREhMUFRYX".to_owned(), "write + for %2B, / for %2F"),
        ("whsec_????????????????????????????????".to_owned(), "copy the whole key again"),
        ("whsec_<your-secret>".to_owned(), "copy the whole key again"),
        ("whsec_\u{2026}".to_owned(), "copy the whole key again"),
        (format!("{SYMMETRIC}="), "copy the whole key again"),
        ("whsec_".to_owned(), "the base64 of 0 bytes, and must be of 24 to 64"),
        ("whsec_c2hvcnQ=".to_owned(), "the base64 of 5 bytes, and must be of 24 to 64"),
        ("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=".to_owned(), "a signature"),
        ("v1a,hnkZ2pj9o9NDN".to_owned(), "a signature"),
    ];
    for (text, words) in table {
        for error in [Secret::parse(&text).err(), VerifyingKey::parse(&text).err()] {
            let error = error.unwrap_or_else(|| panic!("{text:?} was taken"));
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(words), "{text:?}: {error}");
            assert!(!shown.contains(bare) && !shown.contains("supersecret"), "{text:?}: {shown}");
            assert_eq!(error.code(), "invalidSecret");
        }
        if !text.is_empty() {
            assert_eq!(Secret::plain(&text).unwrap().reveal(), text, "what is said is meant");
        }
    }
}

#[test]
fn a_list_of_keys_is_not_empty() {
    let config = || EmitterConfig::new("http://a").unwrap();
    let error = config().secrets([]).err().unwrap();
    assert_eq!((error.field, error.code()), ("secrets", "invalidConfig"));
    assert!(error.message.contains("leave secrets out"), "{error}");
    let keys = ["one", "two"].map(|text| Secret::parse(text).unwrap());
    let config = config().secret(Secret::parse("zero").unwrap()).secrets(keys).unwrap();
    let texts: Vec<_> = config.secrets.iter().map(Secret::reveal).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn what_is_no_public_key_is_refused() {
    let table = [
        ("whpk_".to_owned() + &symmetric_of(31), "the base64 of 31 bytes"),
        ("whpk_".to_owned() + &symmetric_of(33), "the base64 of 33 bytes"),
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
