//! TLS on listeners: what each of them shows and asks for, and the handshake.

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

use super::timeouts::{ConnectionState, TimedIo};
use crate::config::settings::{ClientCertificates, Listener, ListenerTls};
use crate::telemetry::metrics::Metrics;

/// A certificate that expires sooner than this is warned of.
const EXPIRES_SOON: Duration = Duration::from_hours(7 * 24);

/// The TLS of every listener that has it, by the address in the config.
#[derive(Default)]
pub struct TlsListeners(BTreeMap<SocketAddr, Arc<Tls>>);

/// Why a listener's `tls` is of no use. Config checks most of it before.
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
    /// Makes the TLS of every listener. What `previous` has of equal settings is kept, with its
    /// sessions. What it has for an address that is gone is kept too: that socket listens until the
    /// process ends, and must not become a plain one.
    pub(crate) fn build(
        listeners: &[Listener],
        previous: Option<&Self>,
    ) -> Result<Self, (SocketAddr, InvalidTls)> {
        let mut all = previous.map_or_else(BTreeMap::new, |previous| previous.0.clone());
        for Listener { address, tls } in listeners {
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
    pub(super) fn of(&self, address: SocketAddr) -> Option<Arc<Tls>> {
        self.0.get(&address).cloned()
    }

    /// Tells when the certificates expire, at `now` (seconds since the epoch), and warns of those
    /// that do soon.
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

/// One listener's.
pub(super) struct Tls {
    settings: ListenerTls,
    acceptor: TlsAcceptor,
}

/// What a client and we agreed on.
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
            // A session that is taken up again is not verified again: a certificate that has
            // expired since would do. Without clients' certificates, sessions are kept by this
            // config alone, and end with it.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            settings: settings.clone(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// The handshake. What waits to be written then is bounded by rustls: 64 KiB.
    pub(super) async fn accept(
        &self,
        mut stream: TcpStream,
        activity: &Arc<ConnectionState>,
    ) -> Result<(TlsStream<TimedIo>, Protocol), NoTls> {
        if speaks_http(&stream).await? {
            answer_plainly(&mut stream).await?;
            return Err(NoTls::Plain);
        }
        let watched = TimedIo::new(stream, Arc::clone(activity));
        let stream = self.acceptor.accept(watched).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        // HTTP/2 is never spoken without being named (RFC 9113 §3.3).
        let protocol = if agreed == Some(Protocol::Http2.alpn()) {
            Protocol::Http2
        } else {
            Protocol::Http1
        };
        Ok((stream, protocol))
    }
}

impl Protocol {
    /// Its name in a handshake (RFC 7301 §6, RFC 9113 §3.2).
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

/// Whether the first byte is of a method's name. That of a handshake is no letter.
async fn speaks_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

/// Tells who forgot the `s` of `https`. Their request is not looked at.
async fn answer_plainly(stream: &mut TcpStream) -> io::Result<()> {
    const TEXT: &str = "this port speaks TLS: ask by https\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{TEXT}",
        TEXT.len()
    );
    // What is left unread when a socket is closed makes the system send a reset, which may
    // overtake the answer.
    let mut request = Vec::with_capacity(16 * 1024);
    stream.read_buf(&mut request).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Why a connection does not speak TLS.
#[derive(Debug, Error)]
pub(super) enum NoTls {
    #[error("plain HTTP on a TLS port")]
    Plain,
    #[error("the handshake took too long")]
    Timeout,
    #[error("the connection made room for another")]
    Evicted,
    #[error(transparent)]
    Handshake(#[from] io::Error),
}

impl NoTls {
    /// A word for metrics, of a closed set.
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
            // Mostly of clients that do not trust our certificate.
            Some(Tls::AlertReceived(_)) => "rejected",
            Some(_) => "error",
        }
    }
}
