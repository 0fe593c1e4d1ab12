//! Through a proxy, with the guard still standing.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bugle_core::AttemptCode::{BadConnection, BlockedDestination, Timeout};
use bugle_core::{EmitterConfig, Proxy};
use bugle_testkit::{Receiver, Tls};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{
    Names, SHORT, assert_failed, deliver, delivery, failure, open, open_with, raw_receiver,
};

/// What a proxy was asked.
type Asked = Arc<Mutex<Vec<String>>>;

async fn tunnel(mut near: TcpStream, far: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(far).await?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop)
}

/// An HTTP proxy that answers CONNECT with this head, and connects if it is a 200.
async fn http_proxy(answer: &'static str) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let record = Arc::clone(&asked);
    let address = raw_receiver(move |tcp| {
        let record = Arc::clone(&record);
        async move {
            let mut reader = BufReader::new(tcp);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            let target = head.split(' ').nth(1).unwrap().to_owned();
            record.lock().unwrap().push(head);
            reader.write_all(answer.as_bytes()).await?;
            match answer.contains(" 200 ") {
                true => tunnel(reader.into_inner(), target.parse().unwrap()).await,
                false => Ok(()),
            }
        }
    })
    .await;
    (address, asked)
}

/// A SOCKS5 proxy that wants this user and password, if any, and gives this reply.
async fn socks_proxy(login: Option<(&'static str, &'static str)>, reply: u8) -> SocketAddr {
    raw_receiver(move |mut tcp| async move {
        let mut greeting = [0; 3];
        tcp.read_exact(&mut greeting).await?;
        let method = if login.is_some() { 2 } else { 0 };
        if greeting != [5, 1, method] {
            return tcp.write_all(&[5, 255]).await;
        }
        tcp.write_all(&[5, method]).await?;
        if let Some((user, password)) = login {
            let mut expected = vec![1, user.len() as u8];
            expected.extend_from_slice(user.as_bytes());
            expected.push(password.len() as u8);
            expected.extend_from_slice(password.as_bytes());
            let mut given = vec![0; expected.len()];
            tcp.read_exact(&mut given).await?;
            tcp.write_all(&[1, u8::from(given != expected)]).await?;
            if given != expected {
                return Ok(());
            }
        }
        let mut question = [0; 10];
        tcp.read_exact(&mut question).await?;
        assert_eq!(question[..4], [5, 1, 0, 1], "CONNECT to an IPv4 address, never a name");
        tcp.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        let [_, _, _, _, a, b, c, d, high, low] = question;
        let far = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
        if reply == 0 { tunnel(tcp, far).await } else { Ok(()) }
    })
    .await
}

fn through(config: EmitterConfig, proxy: &str) -> EmitterConfig {
    config.proxy(Proxy::new(proxy).unwrap())
}

#[tokio::test]
async fn both_kinds_carry_http_and_https() {
    for tls in [false, true] {
        let builder = Receiver::builder();
        let builder = if tls { builder.tls(Tls::trusted()) } else { builder };
        let receiver = builder.start().unwrap();
        let (http, asked) = http_proxy("HTTP/1.1 200 Connection established\r\n\r\n").await;
        let socks = socks_proxy(None, 0).await;
        for proxy in [format!("http://{http}"), format!("socks5://{socks}")] {
            let session = open(through(receiver.emitter_config("/hooks").unwrap(), &proxy));
            for _ in 0..3 {
                let outcome = session.deliver(&delivery()).await;
                assert!(outcome.is_delivered(), "{proxy}: {outcome:?}");
                assert_eq!(outcome.exchange.connected_to, Some(receiver.address()));
            }
        }
        assert_eq!(asked.lock().unwrap().len(), 1);
        assert_eq!(receiver.requests().len(), 6);
        assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 2);
    }
}

#[tokio::test]
async fn a_proxy_is_told_addresses_and_the_receiver_its_name() {
    let receiver = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let (http, asked) = http_proxy("HTTP/1.0 200 OK\r\nvia: x\r\n\r\n").await;
    let transport = Names::of([("localhost", &["127.0.0.1"][..])]).transport();
    let config = EmitterConfig::new(receiver.url_at("localhost", "/"))
        .unwrap()
        .allow_private_destinations()
        .root_certificate(receiver.ca_pem().unwrap());
    let config = through(config, &format!("http://{http}"));
    let outcome = open_with(&transport, config).deliver(&delivery()).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    let address = receiver.address();
    let head = asked.lock().unwrap()[0].clone();
    assert_eq!(head, format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    let host = format!("localhost:{}", address.port());
    assert_eq!(receiver.requests()[0].header("host"), Some(&*host));
}

#[tokio::test]
async fn the_guard_stands_before_the_proxy() {
    let receiver = Receiver::start().unwrap();
    let (http, asked) = http_proxy("HTTP/1.1 200 OK\r\n\r\n").await;
    for url in [receiver.url("/"), "http://10.0.0.1/".to_owned()] {
        let config = EmitterConfig::new(url).unwrap();
        let outcome = deliver(through(config, &format!("http://{http}"))).await;
        assert_failed(&outcome, BlockedDestination, "allow_private_destinations()");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn users_and_passwords_are_given_and_never_shown() {
    let receiver = Receiver::start().unwrap();
    let config = || receiver.emitter_config("/").unwrap();
    let (http, asked) = http_proxy("HTTP/1.1 200 OK\r\n\r\n").await;
    assert!(
        deliver(through(config(), &format!("http://us%20er:p%40ss@{http}"))).await.is_delivered()
    );
    // "us er:p@ss"
    assert!(asked.lock().unwrap()[0].contains("Proxy-Authorization: Basic dXMgZXI6cEBzcw==\r\n"));

    let socks = socks_proxy(Some(("us er", "p@ss")), 0).await;
    assert!(
        deliver(through(config(), &format!("socks5://us%20er:p%40ss@{socks}")))
            .await
            .is_delivered()
    );

    let (refusing, _) = http_proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    for (proxy, words) in [
        (format!("http://user:hunter2@{refusing}"), "user and password"),
        (format!("socks5://user:hunter2@{socks}"), "refuses the user and password"),
        (format!("socks5://{socks}"), "asks for a user and password"),
    ] {
        let outcome = deliver(through(config(), &proxy)).await;
        assert_failed(&outcome, BadConnection, words);
        let (_, message) = failure(&outcome);
        assert!(!message.contains("hunter2") && !message.contains("user:"), "{message}");
    }
}

#[tokio::test]
async fn a_proxy_that_fails_is_named_as_the_cause() {
    let receiver = Receiver::start().unwrap();
    let config = || receiver.emitter_config("/").unwrap();
    let (bad_gateway, _) = http_proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    let (garbage, _) = http_proxy("220 mail.example.com\r\n\r\n").await;
    let refused = socks_proxy(None, 5).await;
    let not_socks = raw_receiver(|mut tcp| async move { tcp.write_all(b"HTTP/1.1").await }).await;
    let closing = raw_receiver(|_| async { Ok(()) }).await;
    let nobody = Receiver::refusing().unwrap().address();
    for (proxy, words) in [
        (format!("http://{bad_gateway}"), "the proxy refused to connect: status 502"),
        (format!("http://{garbage}"), "the proxy's answer to CONNECT is not HTTP"),
        (format!("socks5://{refused}"), "the connection was refused"),
        (format!("socks5://{not_socks}"), "doesn't speak SOCKS5"),
        (format!("http://{closing}"), "the proxy"),
        (format!("socks5://{closing}"), "the proxy failed"),
        (format!("http://{nobody}"), "the proxy can't be reached"),
    ] {
        let outcome = deliver(through(config(), &proxy)).await;
        assert_failed(&outcome, BadConnection, words);
    }
    let silent = raw_receiver(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
        Ok(())
    })
    .await;
    for scheme in ["http", "socks5"] {
        let proxy = format!("{scheme}://{silent}");
        let outcome = deliver(through(config().request_timeout(SHORT), &proxy)).await;
        assert_failed(&outcome, Timeout, "waiting for the proxy");
    }
    assert!(receiver.requests().is_empty());
}
