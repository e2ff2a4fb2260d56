//! Certificates and keys from files that the config names.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain, as a server or client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateChain {
    /// At least one; the first is the end-entity certificate.
    pub certificates: Vec<CertificateDer<'static>>,
    /// When the first of them expires, in seconds since the epoch.
    pub expires: i64,
}

/// A private key that is never printed: its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Arc<PrivateKeyDer<'static>>);

impl PrivateKey {
    pub fn new(key: PrivateKeyDer<'static>) -> Self {
        Self(Arc::new(key))
    }

    /// The key, for the one place that needs it.
    pub fn expose(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
