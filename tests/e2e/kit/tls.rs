//! Certificates of a test's own, and a TLS client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, IpAddr, Ipv4Addr, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Of a server on the loopback address, or of a client.
    pub fn identity(&self) -> Identity {
        self.identity_with(|_| {})
    }

    /// One that expires at this time, in seconds since the epoch.
    pub fn expiring(&self, at: i64) -> Identity {
        let since = Duration::from_secs(u64::try_from(at).expect("after 1970"));
        self.identity_with(|params| params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since)
    }

    fn identity_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8"),
        }
    }
}

/// A certificate and its key.
pub struct Identity {
    pub cert_pem: String,
    pub key_pem: String,
    pub certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// A client that remembers its sessions.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

pub const HTTP1: &[&str] = &["http/1.1"];
pub const HTTP2: &[&str] = &["h2"];

impl TlsClient {
    /// Trusts `authority`, shows `identity`, and offers these protocols.
    pub fn new(authority: &Authority, identity: Option<&Identity>, protocols: &[&str]) -> Self {
        Self::of_versions(authority, identity, protocols, rustls::ALL_VERSIONS)
    }

    pub fn of_versions(
        authority: &Authority,
        identity: Option<&Identity>,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => config
                .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())
                .expect("a key that matches"),
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Self(Arc::new(config))
    }

    /// Shakes hands. With TLS 1.3 a server that wants another certificate says so later.
    pub async fn connect(&self, authority: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(authority).await?;
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])));
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, stream)
            .await
    }

    pub async fn http1(
        &self,
        authority: &str,
    ) -> Result<http1::SendRequest<Full<Bytes>>, BoxError> {
        let stream = TokioIo::new(self.connect(authority).await?);
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    pub async fn http2(
        &self,
        authority: &str,
    ) -> Result<http2::SendRequest<Full<Bytes>>, BoxError> {
        let stream = TokioIo::new(self.connect(authority).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
