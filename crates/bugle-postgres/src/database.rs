//! The database's address, and connections to it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, Client, Config, Socket};

use crate::error::DatabaseError;

/// The longest time that connecting takes, unless the URL has a `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A PostgreSQL database and how to connect to it: from a URL,
/// `postgres://user:password@host:5432/database`, or from the words that libpq knows,
/// `host=… user=… dbname=…`.
///
/// The URL's `sslmode` decides about encryption:
/// * `disable`: never encrypted.
/// * `prefer`, the default: encrypted when the server offers it, whoever it is: no certificate is
///   checked, as with libpq.
/// * `require`, `verify-ca`, `verify-full`: encrypted, and the certificate is checked: it belongs
///   to the host and comes from an authority that the system trusts, or one of
///   [`Database::root_certificate`].
///
/// Without the feature `tls`, only connections that are not encrypted are made.
#[derive(Clone)]
pub struct Database {
    config: Config,
    root_certificates: Vec<String>,
}

impl Database {
    /// Reads a URL, or words as `host=… dbname=…`.
    ///
    /// # Errors
    /// [`DatabaseError`] says what can't be read. It does not repeat the URL, which has a password.
    pub fn new(url: &str) -> Result<Self, DatabaseError> {
        let known = ["verify-full", "verify-ca"].iter().fold(url.to_owned(), |url, mode| {
            url.replace(&format!("sslmode={mode}"), "sslmode=require")
        });
        let mut config: Config = known.parse().map_err(|error| {
            let error = DatabaseError::from(error).message;
            DatabaseError::new(format!(
                "{error}: write the database as postgres://user:password@host:5432/database"
            ))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        if config.get_application_name().is_none() {
            config.application_name("bugle");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        // A peer that vanished without a word is noticed within a minute, not in two hours.
        config
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(60));
        Ok(Self { config, root_certificates: Vec::new() })
    }

    /// Trusts the authorities in this PEM too, beside those of the system.
    #[must_use]
    pub fn root_certificate(mut self, pem: impl Into<String>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Connects. The connection is closed when it is dropped.
    ///
    /// # Errors
    /// [`DatabaseError`] when the database can't be reached, or does not let this user in.
    pub async fn connect(&self) -> Result<Connection, DatabaseError> {
        self.connect_and_listen(Arc::default()).await
    }

    /// Connects, and tells when a notification comes and when the connection has ended.
    pub(crate) async fn connect_and_listen(
        &self,
        heard: Arc<Notify>,
    ) -> Result<Connection, DatabaseError> {
        let connected = self.open(heard).await;
        connected.map_err(|error| match error.code {
            Some(_) => error,
            None => DatabaseError::new(format!("no connection to {self}: {}", error.message)),
        })
    }

    #[cfg(feature = "tls")]
    async fn open(&self, heard: Arc<Notify>) -> Result<Connection, DatabaseError> {
        if self.config.get_ssl_mode() == SslMode::Disable {
            return self.open_plain(heard).await;
        }
        let check = self.config.get_ssl_mode() == SslMode::Require;
        let tls = crate::tls::config(check, &self.root_certificates)?;
        let tls = tokio_postgres_rustls::MakeRustlsConnect::new(tls);
        let (client, connection) = self.config.connect(tls).await?;
        Ok(Connection::new(client, connection, heard))
    }

    #[cfg(not(feature = "tls"))]
    async fn open(&self, heard: Arc<Notify>) -> Result<Connection, DatabaseError> {
        if self.config.get_ssl_mode() == SslMode::Require {
            return Err(DatabaseError::new(
                "sslmode=require needs bugle-postgres with its feature `tls`",
            ));
        }
        self.open_plain(heard).await
    }

    async fn open_plain(&self, heard: Arc<Notify>) -> Result<Connection, DatabaseError> {
        let (client, connection) = self.config.connect(tokio_postgres::NoTls).await?;
        Ok(Connection::new(client, connection, heard))
    }
}

/// Shows the database's address, and nothing that is secret.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.config.get_user().unwrap_or_default();
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => {
                self.config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default()
            }
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let name = self.config.get_dbname().unwrap_or(user);
        write!(f, "{host}:{port}/{name}")
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.to_string()).finish()
    }
}

/// A connection: tokio-postgres's client, and the task that works for it, which ends with it.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    driver: JoinHandle<()>,
}

impl Connection {
    fn new<T>(
        client: Client,
        mut connection: tokio_postgres::Connection<Socket, T>,
        heard: Arc<Notify>,
    ) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let driver = tokio::spawn(async move {
            let mut messages =
                futures_util::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notification(_)) => heard.notify_one(),
                    Ok(AsyncMessage::Notice(notice)) => tracing::debug!(%notice, "the database"),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "the connection to the database ended");
                        break;
                    }
                }
            }
            heard.notify_one();
        });
        Self { client, driver }
    }
}

impl Deref for Connection {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl std::ops::DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_its_password_is_never_shown() {
        let database =
            Database::new("postgres://ada:hunter2@db.example:6000/shop?sslmode=verify-full");
        let shown = database.map(|database| {
            assert_eq!(database.config.get_ssl_mode(), SslMode::Require);
            format!("{database} {database:?}")
        });
        assert_eq!(
            shown,
            Ok(r#"db.example:6000/shop Database("db.example:6000/shop")"#.to_owned())
        );
        let wrong = Database::new("postgres://ada:hunter2@db:port/shop").map_err(|e| e.to_string());
        assert!(wrong.is_err_and(|message| !message.contains("hunter2")));
    }
}
