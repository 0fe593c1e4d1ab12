//! Signatures of requests.
//!
//! Two schemes. *Plain* is the original WebhooksEmitter's: it signs the body alone. *Standard* is
//! Standard Webhooks': it signs the request id and the time too, so that a receiver can refuse a
//! request that was recorded and is sent again.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::BASE32HEX_NOPAD;
use ed25519_dalek::Signer as _;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use crate::Secret;
use crate::secret::{Key, prepare};

/// The prefix of the base32hex of a plain signature.
const PLAIN: &str = "sha256:";
/// The prefix of the base64 of a symmetric key's signature.
pub(crate) const SYMMETRIC: &str = "v1,";
/// The prefix of the base64 of a private key's signature.
pub(crate) const PUBLIC: &str = "v1a,";

/// The signature headers of one attempt. Each is there when a key of its kind is.
///
/// With several keys that have not expired, a header has one signature of each, separated by a
/// space, in the order of the keys. So that a receiver that looks at the first alone follows a
/// rotation, list the newest key first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignatureHeaders {
    /// `X-…-Signature`, of plain secrets: `sha256:` and the lower-case base32hex, without padding,
    /// of HMAC-SHA256(secret, body).
    pub plain: Option<String>,
    /// `webhook-signature`, of symmetric (`v1,…`) and private (`v1a,…`) keys: the base64 of
    /// HMAC-SHA256, or of the ed25519 signature, of `id.timestamp.body`.
    pub standard: Option<String>,
}

impl SignatureHeaders {
    /// Signs one attempt with every key that has not expired at `now`. The attempt's
    /// `webhook-timestamp` must be the unix seconds of the same `now`.
    ///
    /// When all keys have expired, nothing is signed.
    pub fn sign(secrets: &[Secret], request_id: &str, now: Timestamp, body: &[u8]) -> Self {
        let mut headers = Self::default();
        headers.renew(secrets, request_id, now, body);
        headers
    }

    /// Signs another attempt, in the memory of the last one's signatures: for senders that sign
    /// many.
    pub fn renew(&mut self, secrets: &[Secret], request_id: &str, now: Timestamp, body: &[u8]) {
        let mut room = [self.plain.take(), self.standard.take()];
        let [plain, standard] = &mut room;
        if secrets.is_empty() {
            return;
        }
        let seconds = Seconds::of(now);
        let content = SignedContent { id: request_id, timestamp: seconds.as_bytes(), body };
        for secret in secrets.iter().filter(|secret| !secret.is_expired(now)) {
            match secret.key() {
                Key::Plain(mac) => push_plain(next(&mut self.plain, plain), mac, body),
                Key::Symmetric(mac) => {
                    push_symmetric(next(&mut self.standard, standard), mac, &content);
                }
                Key::Private(key) => {
                    let header = next(&mut self.standard, standard);
                    header.push_str(PUBLIC);
                    let signature = key.sign(&content.to_bytes()).to_bytes();
                    STANDARD.encode_string(signature, header);
                }
            }
        }
    }
}

/// Signs a body plainly: one signature as `X-…-Signature` has it.
pub fn sign_plain(secret: &str, body: &[u8]) -> String {
    let mut header = String::new();
    push_plain(&mut header, &prepare(secret.as_bytes()), body);
    header
}

/// The content that Standard Webhooks signs: `id.timestamp.body`.
pub(crate) struct SignedContent<'a> {
    pub(crate) id: &'a str,
    pub(crate) timestamp: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl SignedContent<'_> {
    fn parts(&self) -> [&[u8]; 5] {
        [self.id.as_bytes(), b".", self.timestamp, b".", self.body]
    }

    /// Joins the content in one piece, which ed25519 needs, as it goes over it twice.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.parts().concat()
    }
}

/// Appends a plain signature.
pub(crate) fn push_plain(header: &mut String, mac: &Hmac<Sha256>, body: &[u8]) {
    let tag = mac.clone().chain_update(body).finalize().into_bytes();
    header.push_str(PLAIN);
    let start = header.len();
    BASE32HEX_NOPAD.encode_append(&tag, header);
    if let Some(encoded) = header.get_mut(start..) {
        encoded.make_ascii_lowercase();
    }
}

/// Appends a symmetric key's signature.
pub(crate) fn push_symmetric(header: &mut String, mac: &Hmac<Sha256>, content: &SignedContent<'_>) {
    let mut mac = mac.clone();
    for part in content.parts() {
        mac.update(part);
    }
    header.push_str(SYMMETRIC);
    STANDARD.encode_string(mac.finalize().into_bytes(), header);
}

/// Makes the header ready for its next signature. The first one takes the memory that there is.
fn next<'a>(header: &'a mut Option<String>, room: &mut Option<String>) -> &'a mut String {
    match header {
        Some(header) => {
            header.push(' ');
            header
        }
        None => {
            let mut room = room.take().unwrap_or_default();
            room.clear();
            // The longest signature.
            room.reserve(PUBLIC.len() + 88);
            header.insert(room)
        }
    }
}

/// Unix seconds in decimal, without an allocation.
struct Seconds {
    digits: [u8; 20],
    length: usize,
}

impl Seconds {
    fn of(instant: Timestamp) -> Self {
        let mut digits = [0; 20];
        let mut rest = digits.as_mut_slice();
        // 20 bytes hold any i64, so there is no error.
        let _ = write!(rest, "{}", instant.as_second());
        let length = 20 - rest.len();
        Self { digits, length }
    }

    fn as_bytes(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }
}
