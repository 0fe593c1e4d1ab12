//! Encrypted connections to the database.

use std::sync::Arc;

use bugle::__private::AcceptAny;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::error::DatabaseError;

/// Configures TLS, with or without a check of the server's certificate.
pub(crate) fn config(check: bool, own_roots: &[String]) -> Result<ClientConfig, DatabaseError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| DatabaseError::new(format!("TLS can't be set up: {error}")))?;
    if !check {
        // `sslmode=prefer` would go on without encryption otherwise.
        let verifier = Arc::new(AcceptAny::new(provider));
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        return Ok(builder.with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for pem in own_roots {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let added = certificate.map_err(|error| error.to_string());
            let added = added.and_then(|der| roots.add(der).map_err(|error| error.to_string()));
            added.map_err(|error| {
                DatabaseError::new(format!("a root certificate can't be read: {error}"))
            })?;
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
