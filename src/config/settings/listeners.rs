//! `listeners`.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// One entry of `listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `address`: IP address and port. Not reloadable.
    pub address: SocketAddr,
    /// `tls`: HTTPS instead of HTTP.
    pub tls: Option<ListenerTls>,
}

/// A listener's `tls`. Files are read when the config is (re)loaded and are watched, so what is
/// here is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// `cert_file`: the chain, leaf first.
    pub certificates: CertificateChain,
    /// `key_file`: the leaf's key.
    pub key: PrivateKey,
    /// `client_ca_file`: asks clients for a certificate.
    pub clients: Option<ClientCertificates>,
}

/// Certificates as a server shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateChain {
    /// At least one; the first is the server's own.
    pub certificates: Vec<CertificateDer<'static>>,
    /// When the first of them expires, in seconds since the epoch.
    pub expires: i64,
}

/// A private key that is never printed: its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Arc<PrivateKeyDer<'static>>);

impl PrivateKey {
    /// Wraps a key read from a file.
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

/// Which certificates clients may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// `client_ca_file`: at least one authority.
    pub authorities: Vec<CertificateDer<'static>>,
    /// `client_certificates`: `required` (default, true) or `optional`.
    pub required: bool,
}
