//! Whom we trust behind `https`.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// Why no trust could be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// `ca_file` cannot be read or holds no certificate.
    #[error("ca_file: {0}")]
    CaFile(String),
    /// The crypto provider refuses its own defaults.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// A client's TLS: the certificates of `ca_file` are trusted instead of the system's.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => from_system(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable =
        |error: &dyn std::fmt::Display| TlsError::CaFile(format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(&e))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"no certificate in it"));
    }
    Ok(roots)
}

/// The system's certificates. None at all is no error here: most upstreams are plain `http`, and
/// one that is not then fails its handshake with a clear text.
fn from_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
