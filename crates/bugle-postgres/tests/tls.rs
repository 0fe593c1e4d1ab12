//! Encrypted connections to a real server, and the checks of its certificate.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bugle_postgres::{Connection, Database, DatabaseError};
use bugle_testkit::Postgres;
use common::within;
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// Gives the server a certificate for these names, and answers it.
async fn encrypt(server: &Postgres, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let database = Database::new(&server.url("postgres")).unwrap();
    let connection = database.connect().await.unwrap();
    // The server writes them itself, as its own user, in its own directory.
    for (file, pem) in [("server.crt", cert.pem()), ("server.key", signing_key.serialize_pem())] {
        let pem = pem.replace('\n', "\\n");
        let copy =
            format!("copy (select e'{pem}') to program 'umask 077; xargs -0 printf %b > {file}'");
        connection.batch_execute(&copy).await.unwrap();
    }
    connection.batch_execute("alter system set ssl = on").await.unwrap();
    drop(connection);
    server.stop_immediately().unwrap();
    server.restart().unwrap();
    cert.pem()
}

async fn is_encrypted(connection: &Connection) -> bool {
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    connection.query_one(sql, &[]).await.unwrap().get(0)
}

async fn connect(url: &str, root: Option<&str>) -> Result<bool, DatabaseError> {
    let mut database = Database::new(url).unwrap();
    if let Some(root) = root {
        database = database.root_certificate(root);
    }
    let connection = within(database.connect()).await?;
    Ok(is_encrypted(&connection).await)
}

#[tokio::test]
async fn each_mode_encrypts_and_checks_what_it_says() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let plain = server.url("postgres");
    for (mode, expected) in [("disable", Ok(false)), ("prefer", Ok(false)), ("require", Err(()))] {
        let url = format!("{plain}?sslmode={mode}");
        let connected = connect(&url, None).await;
        assert_eq!(connected.map_err(|_| ()), expected, "{mode}, by a server without TLS");
    }
    let root = encrypt(&server, &["127.0.0.1"]).await;
    let by_name = plain.replace("127.0.0.1", "localhost");
    let by_address = plain.as_str();
    for (url, mode, trusted, expected) in [
        (by_address, "disable", true, Ok(false)),
        (by_address, "prefer", false, Ok(true)),
        (by_address, "require", true, Ok(true)),
        (by_address, "verify-ca", true, Ok(true)),
        (by_address, "verify-full", true, Ok(true)),
        (by_address, "require", false, Err("certificate")),
        (by_address, "verify-full", false, Err("certificate")),
        // The certificate is for the address alone.
        (&by_name, "prefer", true, Ok(true)),
        (&by_name, "verify-full", true, Err("certificate")),
    ] {
        let root = trusted.then_some(root.as_str());
        let connected = connect(&format!("{url}?sslmode={mode}"), root).await;
        match (&connected, expected) {
            (Err(error), Err(said)) => assert!(error.message.contains(said), "{mode}: {error}"),
            (connected, expected) => {
                assert_eq!(connected.as_ref().ok(), expected.as_ref().ok(), "{url} {mode}");
            }
        }
    }
}
