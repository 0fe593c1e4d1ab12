//! TLS settings, shared by all emitters that have the same.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock, Weak};

use bugle_core::{ClientIdentity, ConfigError, EmitterConfig, HttpVersion};
use parking_lot::Mutex;
use rustls::client::{ClientConfig, WantsClientCert};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ConfigBuilder, RootCertStore};

use crate::accept_any::AcceptAny;

/// Makes TLS settings, each combination once: 100,000 emitters with the defaults share one.
#[derive(Default)]
pub(crate) struct TlsSettings {
    /// The cryptography, made at its first use.
    provider: OnceLock<Arc<CryptoProvider>>,
    /// The system's certificate authorities, loaded at their first use.
    system_roots: OnceLock<Arc<RootCertStore>>,
    /// The settings of emitters without certificates of their own, which nearly all are: one for
    /// each [`Alpn`], made at its first use.
    common: [OnceLock<Arc<ClientConfig>>; 3],
    /// The settings of the other emitters, as long as they are in use.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    configs: HashMap<Key, Weak<ClientConfig>>,
    /// The length at which to remove settings that are no longer used.
    sweep_at: usize,
}

/// Everything by which one TLS setting differs from another.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    alpn: Alpn,
    root_certificates: Vec<String>,
    client_identity: Option<ClientIdentity>,
    accept_invalid: bool,
}

impl Key {
    /// The key of emitters without certificates of their own.
    fn common(alpn: Alpn) -> Self {
        Self { alpn, root_certificates: Vec::new(), client_identity: None, accept_invalid: false }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.alpn.hash(state);
        self.root_certificates.hash(state);
        self.client_identity.as_ref().map(ClientIdentity::certificate_chain).hash(state);
        self.accept_invalid.hash(state);
    }
}

/// The versions of HTTP that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Alpn {
    Http1,
    Either,
    Http2,
}

impl Alpn {
    /// HTTP/2 pays only where several deliveries share its connection: one at a time, a delivery
    /// costs more than twice as much as over HTTP/1.1.
    fn new(config: &EmitterConfig) -> Self {
        match config.http_version {
            HttpVersion::Http2 => Self::Http2,
            HttpVersion::Auto if config.order.window() > 1 => Self::Either,
            _ => Self::Http1,
        }
    }

    fn protocols(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Either => &[b"h2", b"http/1.1"],
            Self::Http2 => &[b"h2"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

impl TlsSettings {
    /// The settings of an emitter.
    ///
    /// # Errors
    /// [`ConfigError`] when a certificate or key can't be read.
    pub(crate) fn config(&self, config: &EmitterConfig) -> Result<Arc<ClientConfig>, ConfigError> {
        let alpn = Alpn::new(config);
        if config.root_certificates.is_empty()
            && config.client_identity.is_none()
            && !config.danger_accept_invalid_certificates
        {
            return self.common(alpn);
        }
        let key = Key {
            alpn,
            root_certificates: config.root_certificates.clone(),
            client_identity: config.client_identity.clone(),
            accept_invalid: config.danger_accept_invalid_certificates,
        };
        let mut known = self.known.lock();
        if let Some(made) = known.configs.get(&key).and_then(Weak::upgrade) {
            return Ok(made);
        }
        let made = Arc::new(self.make(&key)?);
        if known.configs.len() >= known.sweep_at {
            known.configs.retain(|_, config| config.strong_count() > 0);
            known.sweep_at = (known.configs.len() * 2).max(64);
        }
        known.configs.insert(key, Arc::downgrade(&made));
        Ok(made)
    }

    fn common(&self, alpn: Alpn) -> Result<Arc<ClientConfig>, ConfigError> {
        let common = &self.common[alpn as usize];
        if let Some(made) = common.get() {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(self.make(&Key::common(alpn))?);
        Ok(Arc::clone(common.get_or_init(|| made)))
    }

    fn make(&self, key: &Key) -> Result<ClientConfig, ConfigError> {
        let provider =
            self.provider.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("url", format!("TLS can't be set up: {error}")))?;
        let builder = if key.accept_invalid {
            let verifier = AcceptAny::new(Arc::clone(provider));
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            builder.with_root_certificates(self.roots(&key.root_certificates)?)
        };
        let mut made = with_identity(builder, key.client_identity.as_ref())?;
        made.alpn_protocols = key.alpn.protocols();
        Ok(made)
    }

    /// The system's authorities together with these.
    fn roots(&self, additional: &[String]) -> Result<Arc<RootCertStore>, ConfigError> {
        let system = self.system_roots.get_or_init(|| Arc::new(system_roots()));
        if additional.is_empty() {
            return Ok(Arc::clone(system));
        }
        let wrong = |why: String| {
            ConfigError::new("root_certificate", format!("{why}; give certificates as PEM"))
        };
        let mut roots = RootCertStore::clone(system);
        for pem in additional {
            let mut found = false;
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                found = true;
            }
            if !found {
                return Err(wrong("there is no certificate in it".to_owned()));
            }
        }
        Ok(Arc::new(roots))
    }
}

/// The system's certificate authorities; Mozilla's where the system has none.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        tracing::warn!(
            errors = ?loaded.errors,
            "the system has no certificate authorities: Mozilla's are trusted instead"
        );
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig, ConfigError> {
    let Some(identity) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let wrong = |why: String| {
        let message = format!("{why}; give the certificate chain and its private key as PEM");
        ConfigError::new("client_identity", message)
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(identity.certificate_chain().as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("the chain can't be read ({error})")))?;
    if chain.is_empty() {
        return Err(wrong("there is no certificate in the chain".to_owned()));
    }
    // The text that can't be parsed is a private key: the parser's error is not passed on.
    let key = PrivateKeyDer::from_pem_slice(identity.private_key().as_bytes())
        .map_err(|_| wrong("the private key can't be read".to_owned()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| wrong(format!("chain and key can't be used ({error})")))
}
