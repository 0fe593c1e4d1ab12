//! Throwaway certificate authorities.

use std::io;

use bugle_core::ClientIdentity;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// A certificate authority that lives as long as a test.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The claims of a certificate about its owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claims<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) names: &'a [&'a str],
    pub(crate) usage: Usage,
    pub(crate) expired: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Usage {
    Server,
    Client,
}

impl Claims<'_> {
    fn params(&self) -> io::Result<CertificateParams> {
        let names: Vec<String> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, self.common_name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match self.usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        if self.expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        Ok(params)
    }

    /// Makes a certificate that no authority signed.
    pub(crate) fn self_signed(&self) -> io::Result<(Certificate, KeyPair)> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = self.params()?.self_signed(&key).map_err(io::Error::other)?;
        Ok((certificate, key))
    }
}

impl Authority {
    pub(crate) fn new() -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a test's throwaway authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        Ok(Self { issuer })
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        self.issuer.as_ref()
    }

    pub(crate) fn issue(&self, claims: &Claims<'_>) -> io::Result<(Certificate, KeyPair)> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate =
            claims.params()?.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        Ok((certificate, key))
    }
}

/// A throwaway authority for client certificates. A receiver with
/// [`Tls::require_client`](crate::Tls::require_client) demands one of its.
///
/// ```
/// use bugle_testkit::{ClientCa, Receiver, Tls};
///
/// let authority = ClientCa::new()?;
/// let receiver = Receiver::builder().tls(Tls::trusted().require_client(&authority)).start()?;
/// let config = receiver.emitter_config("/hooks")?.client_identity(authority.issue("billing")?);
/// # let _ = config;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ClientCa {
    authority: Authority,
}

impl ClientCa {
    /// Makes a new authority.
    ///
    /// # Errors
    /// An [`io::Error`] when no key can be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self { authority: Authority::new()? })
    }

    /// The authority's own certificate, PEM.
    pub fn pem(&self) -> String {
        self.authority.pem()
    }

    /// Issues a client certificate under this name, and its key.
    ///
    /// # Errors
    /// An [`io::Error`] when no key can be made.
    pub fn issue(&self, name: &str) -> io::Result<ClientIdentity> {
        let claims = Claims { common_name: name, names: &[], usage: Usage::Client, expired: false };
        let (certificate, key) = self.authority.issue(&claims)?;
        Ok(ClientIdentity::from_pem(certificate.pem(), key.serialize_pem()))
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        self.authority.certificate()
    }
}
