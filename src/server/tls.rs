//! TLS on listeners: certificates, client authentication, and the handshake.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::timed_io::TimedIo;
use super::timeouts::ConnectionState;
use crate::config::settings::{ClientCertificates, Listener, ListenerTls};
use crate::telemetry::metrics::Metrics;

/// Certificates that expire sooner than this are warned about.
const EXPIRES_SOON: Duration = Duration::from_hours(7 * 24);

/// The TLS of every listener that has it, by the address in the config.
#[derive(Default)]
pub struct TlsListeners(BTreeMap<SocketAddr, Arc<Tls>>);

/// Why a listener's `tls` cannot be used. The config's checks catch most of it earlier.
#[derive(Debug, Error)]
pub enum InvalidTls {
    /// The certificate, the key, or the crypto provider's own defaults.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// `client_ca_file`.
    #[error("client_ca_file: {0}")]
    Clients(#[from] VerifierBuilderError),
}

impl TlsListeners {
    /// Builds the TLS of every listener. A listener with equal settings in `previous` is reused,
    /// with its sessions. One whose address is gone is kept too: that socket listens until the
    /// process ends, and must not become a plain one.
    pub(crate) fn build(
        listeners: &[Listener],
        previous: Option<&Self>,
    ) -> Result<Self, (SocketAddr, InvalidTls)> {
        let mut all = previous.map_or_else(BTreeMap::new, |previous| previous.0.clone());
        for Listener { address, tls, .. } in listeners {
            let Some(wanted) = tls else {
                all.remove(address);
                continue;
            };
            if all.get(address).is_none_or(|tls| tls.settings != *wanted) {
                let tls = Tls::new(wanted).map_err(|cause| (*address, cause))?;
                all.insert(*address, Arc::new(tls));
            }
        }
        Ok(Self(all))
    }

    /// The TLS of a listener; `None` where it is a plain one.
    pub(super) fn get(&self, address: SocketAddr) -> Option<Arc<Tls>> {
        self.0.get(&address).cloned()
    }

    /// Reports when the certificates expire, at `now` (seconds since the epoch), and warns about
    /// those that expire soon.
    pub fn report(&self, metrics: &Metrics, now: f64) {
        let expiries = || {
            self.0
                .iter()
                .map(|(address, tls)| (*address, tls.settings.certificates.expires))
        };
        metrics.tls.certificates(expiries());
        for (listener, expires) in expiries() {
            #[allow(clippy::cast_precision_loss)] // Of seconds.
            let left = expires as f64 - now;
            if left <= 0.0 {
                tracing::warn!(%listener, "the TLS certificate has expired");
            } else if left < EXPIRES_SOON.as_secs_f64() {
                let hours = left / 3600.0;
                tracing::warn!(%listener, "the TLS certificate expires in {hours:.0} hours");
            }
        }
    }
}

/// The TLS of one listener.
pub(super) struct Tls {
    settings: ListenerTls,
    acceptor: TlsAcceptor,
}

/// The protocol that ALPN agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl Tls {
    fn new(settings: &ListenerTls) -> Result<Self, InvalidTls> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let authenticated = match &settings.clients {
            None => versions.with_no_client_auth(),
            Some(clients) => versions.with_client_cert_verifier(verifier(clients, provider)?),
        };
        let mut config = authenticated.with_single_cert(
            settings.certificates.certificates.clone(),
            settings.key.expose().clone_key(),
        )?;
        config.alpn_protocols = [Protocol::Http2, Protocol::Http1]
            .map(|protocol| protocol.alpn().to_vec())
            .into();
        if settings.clients.is_some() {
            // A resumed session is not verified again, so a certificate that has expired since
            // would be accepted. Without client certificates, sessions are stored by this config
            // alone, and end with it.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            settings: settings.clone(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// The handshake. rustls bounds what is buffered for writing: 64 KiB.
    pub(super) async fn accept(
        &self,
        mut stream: TcpStream,
        activity: &Arc<ConnectionState>,
    ) -> Result<(TlsStream<TimedIo>, Protocol), HandshakeError> {
        if starts_with_http(&stream).await? {
            reject_plain_http(&mut stream).await?;
            return Err(HandshakeError::Plain);
        }
        let watched = TimedIo::new(stream, Arc::clone(activity));
        let stream = self.acceptor.accept(watched).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        // HTTP/2 is used only if it was negotiated (RFC 9113 §3.3).
        let protocol = if agreed == Some(Protocol::Http2.alpn()) {
            Protocol::Http2
        } else {
            Protocol::Http1
        };
        Ok((stream, protocol))
    }
}

impl Protocol {
    /// Its name in ALPN (RFC 7301 §6, RFC 9113 §3.2).
    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

fn verifier(
    clients: &ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, InvalidTls> {
    let mut roots = RootCertStore::empty();
    for authority in &clients.authorities {
        roots.add(authority.clone())?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    Ok(builder.build()?)
}

/// Whether the first byte begins an HTTP method. A TLS handshake begins with no letter.
async fn starts_with_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

/// Responds to clients that use `http` instead of `https`. Their request is not parsed.
async fn reject_plain_http(stream: &mut TcpStream) -> io::Result<()> {
    const TEXT: &str = "this port serves HTTPS only: use https://\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{TEXT}",
        TEXT.len()
    );
    // Unread bytes on a closed socket make the system send a reset, which may overtake the
    // response.
    let mut request = Vec::with_capacity(16 * 1024);
    stream.read_buf(&mut request).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Why a connection has no TLS.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error("plain HTTP on a TLS port")]
    Plain,
    #[error("the handshake took too long")]
    Timeout,
    #[error("the connection made room for another")]
    Evicted,
    #[error(transparent)]
    Handshake(#[from] io::Error),
}

impl HandshakeError {
    /// The value of the metrics' label; from a closed set.
    pub(super) fn result(&self) -> &'static str {
        use rustls::Error as Tls;
        let error = match self {
            Self::Plain => return "plain",
            Self::Timeout => return "timeout",
            Self::Evicted => return "evicted",
            Self::Handshake(error) => error,
        };
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        match cause {
            None => "closed",
            Some(Tls::NoCertificatesPresented | Tls::InvalidCertificate(_)) => "client_certificate",
            Some(Tls::PeerIncompatible(_) | Tls::NoApplicationProtocol) => "incompatible",
            // Mostly from clients that do not trust our certificate.
            Some(Tls::AlertReceived(_)) => "rejected",
            Some(_) => "error",
        }
    }
}
