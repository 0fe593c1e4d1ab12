//! Deliveries through a proxy, where the guard still checks.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bugle_core::AttemptCode::{
    BadConnection, BadHttpStatus, BlockedDestination, Shortage, Timeout,
};
use bugle_core::{Advice, EmitterConfig, Proxy};
use bugle_testkit::{ForwardProxy, Receiver, Tls};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{
    Names, SHORT, assert_failed, deliver, delivery, failure, open, open_with, raw_receiver,
};

/// The requests that a proxy got.
type Asked = Arc<Mutex<Vec<String>>>;

async fn tunnel(mut near: TcpStream, far: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(far).await?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop)
}

/// Starts an HTTP proxy that answers with this head, and connects if it is a 200. With an empty
/// head it never answers.
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
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
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

/// Starts a proxy that reaches this address alone, and says so as Squid does.
async fn choosy_proxy(known: SocketAddr) -> (SocketAddr, Asked) {
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
            record.lock().unwrap().push(head.lines().next().unwrap().to_owned());
            let connects = head.starts_with("CONNECT");
            if !head.contains(&format!("{known}")) {
                let answer = b"HTTP/1.1 503 Service Unavailable\r\n\
                    x-squid-error: ERR_CONNECT_FAIL 111\r\ncontent-length: 0\r\n\r\n";
                return reader.write_all(answer).await;
            }
            let mut far = TcpStream::connect(known).await?;
            if connects {
                reader.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            } else {
                far.write_all(head.as_bytes()).await?;
                far.write_all(reader.buffer()).await?;
            }
            let mut near = reader.into_inner();
            tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop)
        }
    })
    .await;
    (address, asked)
}

/// Starts a SOCKS5 proxy that wants this user and password, if any, and gives this reply.
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
        let http = ForwardProxy::http().start().unwrap();
        let socks = ForwardProxy::socks5().start().unwrap();
        for proxy in [&http, &socks] {
            let config = receiver.emitter_config("/hooks?a=b").unwrap();
            let session = open(config.proxy(proxy.proxy().unwrap()));
            for _ in 0..3 {
                let outcome = session.deliver(&delivery()).await;
                assert!(outcome.is_delivered(), "{}: {outcome:?}", proxy.url());
                assert_eq!(outcome.exchange.connected_to, Some(receiver.address()));
            }
        }
        let requests = receiver.requests();
        assert_eq!(requests.len(), 6);
        assert!(requests.iter().all(|request| request.path == "/hooks?a=b"));
        assert!(requests.iter().all(|request| request.header("proxy-authorization").is_none()));
        let through: Vec<_> = requests.iter().filter(|it| it.header("via").is_some()).collect();
        assert_eq!(through.len(), if tls { 0 } else { 3 });
    }
}

#[tokio::test]
async fn http_receivers_are_asked_for_with_a_whole_url() {
    let (http, asked) = http_proxy("HTTP/1.1 204 No Content\r\n\r\n").await;
    let transport = Names::of([("hooks.test", &["192.0.2.7"][..])]).transport();
    for (url, target, host) in [
        ("http://hooks.test/a?b=c", "http://192.0.2.7/a?b=c", "hooks.test"),
        ("http://hooks.test:8080/", "http://192.0.2.7:8080/", "hooks.test:8080"),
        ("http://[2001:db8::7]/", "http://[2001:db8::7]/", "[2001:db8::7]"),
    ] {
        let config = EmitterConfig::new(url).unwrap().allow_private_destinations();
        let config = through(config, &format!("http://us%20er:p%40ss@{http}"));
        let outcome = open_with(&transport, config).deliver(&delivery()).await;
        assert!(outcome.is_delivered(), "{outcome:?}");
        let head = asked.lock().unwrap().pop().unwrap();
        assert!(head.starts_with(&format!("POST {target} HTTP/1.1\r\nhost: {host}\r\n")), "{head}");
        // "us er:p@ss"
        assert!(head.contains("\r\nproxy-authorization: Basic dXMgZXI6cEBzcw==\r\n"), "{head}");
    }
}

#[tokio::test]
async fn a_proxy_is_told_addresses_and_the_receiver_its_name() {
    let receiver = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    for answer in [
        "HTTP/1.0 200 OK\r\nvia: x\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\nvia: x\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let (http, asked) = http_proxy(answer).await;
        let transport = Names::of([("localhost", &["127.0.0.1"][..])]).transport();
        let config = EmitterConfig::new(receiver.url_at("localhost", "/"))
            .unwrap()
            .allow_private_destinations()
            .root_certificate(receiver.ca_pem().unwrap());
        let config = through(config, &format!("http://{http}"));
        let outcome = open_with(&transport, config).deliver(&delivery()).await;
        assert!(outcome.is_delivered(), "{answer:?}: {outcome:?}");
        let address = receiver.address();
        let head = asked.lock().unwrap()[0].clone();
        assert_eq!(head, format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n"));
        let host = format!("localhost:{}", address.port());
        assert_eq!(receiver.requests()[0].header("host"), Some(&*host));
    }
}

#[tokio::test]
async fn a_proxy_may_resolve_the_names() {
    let tls = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let plain = Receiver::start().unwrap();
    let ca = tls.ca_pem().unwrap();
    for (receiver, url) in [
        (&plain, format!("http://hooks.test:{}/", plain.address().port())),
        (&tls, format!("https://localhost:{}/", tls.address().port())),
    ] {
        let target = url.split('/').nth(2).unwrap().to_owned();
        for proxy in [ForwardProxy::http(), ForwardProxy::socks5()] {
            let proxy = proxy.leading_to(receiver.address()).start().unwrap();
            // The name can't be resolved here.
            let transport = Names::default().transport();
            let config = EmitterConfig::new(&url).unwrap().root_certificate(ca);
            let config = config.allow_private_destinations();
            let config = config.proxy(proxy.proxy().unwrap().resolving_names());
            let outcome = open_with(&transport, config).deliver(&delivery()).await;
            assert!(outcome.is_delivered(), "{}: {outcome:?}", proxy.url());
            assert_eq!(proxy.targets(), [&*target]);
        }
    }
}

#[tokio::test]
async fn addresses_are_still_checked_where_the_proxy_resolves_the_names() {
    for scheme in ["http", "https"] {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "\u{ff11}27.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "10.0.0.1",
            "169.254.169.254",
            "localhost",
            "LOCALHOST.",
            "hooks.localhost",
        ] {
            for proxy in [ForwardProxy::http(), ForwardProxy::socks5()] {
                let proxy = proxy.start().unwrap();
                let config = EmitterConfig::new(format!("{scheme}://{host}/")).unwrap();
                let config = config.proxy(proxy.proxy().unwrap().resolving_names());
                let outcome = deliver(config).await;
                assert_failed(&outcome, BlockedDestination, "allow_private_destinations()");
                assert!(proxy.targets().is_empty(), "{host}");
            }
        }
    }
}

#[tokio::test]
async fn all_addresses_are_tried_and_a_fresh_one_comes_first_next_time() {
    let addresses: &[&str] = &["127.0.0.2", "127.0.0.3", "127.0.0.1"];
    for tls in [false, true] {
        let builder = Receiver::builder();
        let builder = if tls { builder.tls(Tls::trusted()) } else { builder };
        let receiver = builder.start().unwrap();
        let port = receiver.address().port();
        // It answers for the receiver's own address alone.
        let (http, asked) = choosy_proxy(receiver.address()).await;
        let transport = Names::of([("localhost", addresses)]).transport();
        let config = EmitterConfig::new(receiver.url_at("localhost", "/")).unwrap();
        let config = match receiver.ca_pem() {
            Some(pem) => config.root_certificate(pem),
            None => config,
        };
        let config = config.allow_private_destinations();
        let session = open_with(&transport, through(config, &format!("http://{http}")));
        let outcome = session.deliver(&delivery()).await;
        assert!(outcome.is_delivered(), "{outcome:?}");
        let asked = asked.lock().unwrap().join("\n");
        for address in addresses {
            assert!(asked.contains(&format!("{address}:{port}")), "{asked}");
        }
        assert_eq!(receiver.requests().len(), 1);
    }

    // A proxy that never reports a result: each attempt asks for another address.
    let (silent, asked) = http_proxy("").await;
    let transport = Names::of([("hooks.test", addresses)]).transport();
    for scheme in ["http", "https"] {
        let config = EmitterConfig::new(format!("{scheme}://hooks.test:9/")).unwrap();
        let config = config.allow_private_destinations().request_timeout(SHORT);
        let session = open_with(&transport, through(config, &format!("http://{silent}")));
        for address in addresses {
            assert!(!session.deliver(&delivery()).await.is_delivered());
            let head = asked.lock().unwrap().pop().unwrap();
            assert!(head.contains(&format!("{address}:9")), "{head}");
            asked.lock().unwrap().clear();
        }
    }
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
    for tls in [false, true] {
        let builder = Receiver::builder();
        let builder = if tls { builder.tls(Tls::trusted()) } else { builder };
        let receiver = builder.start().unwrap();
        let config = || receiver.emitter_config("/").unwrap();
        for kind in [ForwardProxy::http, ForwardProxy::socks5] {
            let proxy = kind().credentials("us er", "p@ss").start().unwrap();
            let url = |login: &str| proxy.url().replace("us er:p@ss@", login);
            let outcome = deliver(through(config(), &url("us%20er:p%40ss@"))).await;
            assert!(outcome.is_delivered(), "{outcome:?}");
            for login in ["", "user:hunter2@"] {
                // The fault is the operator's, not the receiver's.
                let outcome = deliver(through(config(), &url(login))).await;
                assert_failed(&outcome, Shortage, "user and password");
                assert_eq!(outcome.failure.as_ref().unwrap().advice, Advice::Uncounted);
                let (_, message) = failure(&outcome);
                assert!(!message.contains("hunter2") && !message.contains("user:"), "{message}");
            }
            assert_eq!(proxy.unauthorized(), 2);
        }
        assert_eq!(receiver.requests().len(), 2);
    }
}

#[tokio::test]
async fn what_a_proxy_says_of_the_receiver_counts() {
    let receiver = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    for (status, words) in [
        ("403 Forbidden", "the proxy refused to connect: status 403"),
        ("502 Bad Gateway", "the proxy refused to connect: status 502"),
        ("503 Service Unavailable", "the proxy refused to connect: status 503"),
        ("504 Gateway Timeout", "the proxy refused to connect: status 504"),
    ] {
        let answer: &str = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").leak();
        let (proxy, _) = http_proxy(answer).await;
        let config = receiver.emitter_config("/").unwrap();
        let outcome = deliver(through(config, &format!("http://{proxy}"))).await;
        assert_failed(&outcome, BadConnection, words);
        // A forwarded answer can't be told from the receiver's own.
        let config = EmitterConfig::new("http://127.0.0.1:9/").unwrap();
        let config = config.allow_private_destinations();
        let outcome = deliver(through(config, &format!("http://{proxy}"))).await;
        assert_failed(&outcome, BadHttpStatus, &status[..3]);
        assert_eq!(outcome.failure.unwrap().advice, Advice::Retry);
    }
    for reply in 1..=6 {
        let socks = socks_proxy(None, reply).await;
        let config = receiver.emitter_config("/").unwrap();
        let outcome = deliver(through(config, &format!("socks5://{socks}"))).await;
        assert_failed(&outcome, BadConnection, "the proxy refused to connect");
    }
    let closing = raw_receiver(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 1000]).await?;
        Ok(())
    })
    .await;
    let config = receiver.emitter_config("/").unwrap();
    let outcome = deliver(through(config, &format!("http://{closing}"))).await;
    assert_failed(&outcome, BadConnection, "the proxy");
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_proxy_that_can_not_be_used_is_not_the_receivers_fault() {
    let receiver = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let config = || receiver.emitter_config("/").unwrap();
    let (garbage, _) = http_proxy("220 mail.example.com\r\n\r\n").await;
    let (unknowing, _) = http_proxy("HTTP/1.1 405 Method Not Allowed\r\n\r\n").await;
    let (endless, _) = http_proxy("HTTP/1.1 102 Go on\r\n\r\n".repeat(99).leak()).await;
    let (bindless, not_socks) = (
        socks_proxy(None, 7).await,
        raw_receiver(|mut tcp| async move { tcp.write_all(b"HTTP/1.1").await }).await,
    );
    let closing = raw_receiver(|_| async { Ok(()) }).await;
    let nobody = Receiver::refusing().unwrap();
    for (proxy, words) in [
        (format!("http://{garbage}"), "the proxy's answer to CONNECT is not HTTP"),
        (format!("http://{unknowing}"), "it knows no CONNECT"),
        (format!("http://{endless}"), "never comes to an end"),
        (format!("socks5://{bindless}"), "it knows no CONNECT"),
        (format!("socks5://{not_socks}"), "doesn't speak SOCKS5"),
        (format!("socks5://{closing}"), "the proxy failed"),
        (format!("http://{}", nobody.address()), "the proxy can't be reached"),
        (format!("socks5://{}", nobody.address()), "the proxy can't be reached"),
        ("http://no-such-proxy.invalid:1".to_owned(), "no-such-proxy.invalid"),
    ] {
        let transport = Names::default().transport();
        let outcome = open_with(&transport, through(config(), &proxy)).deliver(&delivery()).await;
        assert_failed(&outcome, Shortage, words);
        assert_eq!(outcome.failure.unwrap().advice, Advice::Uncounted);
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_silent_proxy_costs_the_deadline() {
    let receiver = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let silent = raw_receiver(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
        Ok(())
    })
    .await;
    for scheme in ["http", "socks5"] {
        let proxy = format!("{scheme}://{silent}");
        let config = receiver.emitter_config("/").unwrap().request_timeout(SHORT);
        let outcome = deliver(through(config, &proxy)).await;
        assert_failed(&outcome, Timeout, "waiting for the proxy");
    }
}
