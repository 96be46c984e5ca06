//! The certificate authorities and the versions of TLS that the host accepts.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// Returns Mozilla's certificate authorities, which are compiled in. The machine's own list of authorities is not read.
pub(super) fn production_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// Returns a configuration of TLS that accepts only certificates of these authorities.
pub(super) fn verified(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
