//! The receiver: the process that answers. It is as lean as it can be, since the other side is
//! measured.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Result;
use bytes::{Buf, BytesMut};
use hdrhistogram::Histogram;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::payload::SENT_NS;
use crate::receiver::{Addresses, RECORD, RECORDED, Recorded};
use crate::stats::{float, histogram, wall_clock_ns};

const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// The nanoseconds that events were on their way, while they are being recorded.
type Recorder = Rc<RefCell<Option<Histogram<u64>>>>;

/// Serves until the other process is gone.
pub(crate) fn run() -> Result<()> {
    // Started by the benchmark, whose end closes our input, however it ends.
    let (alone, left_alone) = oneshot::channel();
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        drop::<oneshot::Sender<()>>(alone);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            served = serve() => served,
            _ = left_alone => Ok(()),
        }
    })
}

async fn serve() -> Result<()> {
    let certified = rcgen::generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()])?;
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));

    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let secure = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addresses = Addresses {
        plain: plain.local_addr()?,
        tls: secure.local_addr()?,
        certificate: certified.cert.pem(),
    };
    writeln!(io::stdout(), "{}", serde_json::to_string(&addresses)?)?;

    let recorder = Recorder::default();
    loop {
        tokio::select! {
            accepted = plain.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                tokio::task::spawn_local(connection(stream, Rc::clone(&recorder)));
            }
            accepted = secure.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let (acceptor, recorder) = (acceptor.clone(), Rc::clone(&recorder));
                tokio::task::spawn_local(async move {
                    // A failed handshake is the sender's to report.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        connection(stream, recorder).await;
                    }
                });
            }
        }
    }
}

/// Answers on one connection until it is closed.
async fn connection(mut stream: impl AsyncRead + AsyncWrite + Unpin, recorder: Recorder) {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        match head(&buffer) {
            Ok(Some(head)) if buffer.len() >= head.total => {
                let answered = match head.kind {
                    Kind::Event => {
                        if let Some(recorded) = &mut *recorder.borrow_mut() {
                            record(recorded, &buffer[head.length..head.total]);
                        }
                        stream.write_all(NO_CONTENT).await
                    }
                    Kind::Record => {
                        *recorder.borrow_mut() = histogram().ok();
                        stream.write_all(NO_CONTENT).await
                    }
                    Kind::Recorded => {
                        let recorded = recorder.borrow_mut().take();
                        stream.write_all(&answer(recorded)).await
                    }
                };
                buffer.advance(head.total);
                if answered.is_err() {
                    return;
                }
            }
            Ok(_) => {
                buffer.reserve(2048);
                // Closed or broken: nothing follows.
                if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// A request, as far as it matters here.
struct Head {
    kind: Kind,
    /// The bytes of the head.
    length: usize,
    /// The bytes of the head and the body.
    total: usize,
}

enum Kind {
    /// Any request but the other two.
    Event,
    /// Begins to record the time that events are on their way.
    Record,
    /// Ends the recording, and asks for its result.
    Recorded,
}

/// Parses a request's head; `None` when it isn't there in full.
fn head(buffer: &[u8]) -> Result<Option<Head>, httparse::Error> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(buffer)? else { return Ok(None) };
    let kind = match request.path {
        Some(RECORD) => Kind::Record,
        Some(RECORDED) => Kind::Recorded,
        _ => Kind::Event,
    };
    let announced =
        request.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
    let body = announced.map_or(0, |header| number(header.value));
    let body = usize::try_from(body).unwrap_or(usize::MAX);
    Ok(Some(Head { kind, length, total: length.saturating_add(body) }))
}

/// Reads the number that a text begins with.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u64, |sum, byte| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
}

fn record(recorded: &mut Histogram<u64>, body: &[u8]) {
    if let Some(rest) = body.strip_prefix(SENT_NS) {
        recorded.saturating_record(wall_clock_ns().saturating_sub(number(rest)));
    }
}

fn answer(recorded: Option<Histogram<u64>>) -> Vec<u8> {
    let recorded = recorded.map(|it| Recorded {
        events: it.len(),
        p50_us: float(it.value_at_quantile(0.5)) / 1e3,
        p99_us: float(it.value_at_quantile(0.99)) / 1e3,
    });
    let body = serde_json::to_string(&recorded).unwrap_or_default();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_when_it_is_there_in_full() {
        let request = b"POST /x HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\n\r\nhello";
        for end in 0..47 {
            assert!(head(&request[..end]).unwrap().is_none(), "{end}");
        }
        let found = head(request).unwrap().unwrap();
        assert_eq!((found.length, found.total), (request.len() - 5, request.len()));
        assert!(matches!(found.kind, Kind::Event));
        assert!(head(b"\0\0\0\0").is_err());
    }

    #[test]
    fn the_way_of_an_event_is_recorded() {
        let mut recorded = histogram().unwrap();
        let body = |sent: u64| format!(r#"{{"sent_ns":{sent},"text":""}}"#);
        record(&mut recorded, body(wall_clock_ns() - 5_000_000_000).as_bytes());
        record(&mut recorded, b"{}");
        assert_eq!(recorded.len(), 1);
        assert!(recorded.max() >= 4_900_000_000, "{}", recorded.max());
    }
}
