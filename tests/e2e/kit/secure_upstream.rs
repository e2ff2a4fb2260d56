//! An upstream behind TLS, and the certificates of both sides.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::stage::VECTOR;
use crate::kit::upstream::decode;

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server of this name.
    pub fn server(&self, name: &str) -> Pair {
        self.sign(name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self, name: &str) -> Pair {
        self.sign(name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A request as received.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    /// Decoded.
    pub query: String,
    pub version: Version,
    pub host: String,
    pub authorization: String,
    /// The name the client asked for.
    pub server_name: Option<String>,
    /// What the client showed.
    pub client: Option<CertificateDer<'static>>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// The only `Authorization` that is let in.
    demanded: Option<String>,
    /// Why connections were not made.
    failures: Vec<String>,
}

pub struct SecureUpstream {
    pub url: String,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl SecureUpstream {
    /// That shows a certificate, and asks for one of these authorities if there are any.
    pub async fn start(own: &Pair, clients: &[&Authority]) -> Self {
        Self::with(config(own, clients, rustls::ALL_VERSIONS)).await
    }

    pub async fn with(config: ServerConfig) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        let config = Arc::new(Mutex::new(Arc::new(config)));
        let state = Arc::<Mutex<State>>::default();
        let (shared, configs) = (Arc::clone(&state), Arc::clone(&config));
        let server = tokio::spawn(async move {
            // Connections end with the server.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let config = Arc::clone(&configs.lock().expect("no panic"));
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    if let Err(error) = serve(stream, config, &state).await {
                        let mut state = state.lock().expect("no panic");
                        state.failures.push(error.to_string());
                    }
                });
            }
        });
        Self {
            url,
            config,
            state,
            server,
        }
    }

    /// New connections meet this from now on.
    pub fn change(&self, own: &Pair, clients: &[&Authority]) {
        let config = config(own, clients, rustls::ALL_VERSIONS);
        *self.config.lock().expect("no panic") = Arc::new(config);
    }

    /// Answers 401 to every other `Authorization` from now on.
    pub fn demand(&self, authorization: &str) {
        self.state.lock().expect("no panic").demanded = Some(authorization.to_owned());
    }

    pub fn demand_nothing(&self) {
        self.state.lock().expect("no panic").demanded = None;
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("https://")
    }

    /// The requests since the last call, health checks aside.
    pub fn take(&self) -> Vec<Seen> {
        let mut state = self.state.lock().expect("no panic");
        let (checks, seen) = std::mem::take(&mut state.seen)
            .into_iter()
            .partition(|seen| seen.path == "/-/ready");
        state.seen = checks;
        seen
    }

    /// The health checks so far.
    pub fn checks(&self) -> Vec<Seen> {
        let state = self.state.lock().expect("no panic");
        let checks = state.seen.iter().filter(|seen| seen.path == "/-/ready");
        checks.cloned().collect()
    }

    /// Why connections were not made.
    pub fn failures(&self) -> Vec<String> {
        self.state.lock().expect("no panic").failures.clone()
    }
}

impl Drop for SecureUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    state: &Arc<Mutex<State>>,
) -> io::Result<()> {
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let (_, tls) = stream.get_ref();
    let server_name = tls.server_name().map(str::to_owned);
    let client = tls.peer_certificates().and_then(|chain| chain.first());
    let client = client.map(|leaf| leaf.clone().into_owned());
    let service = service_fn(|request: Request<Incoming>| {
        let header = |name: &str| {
            let value = request.headers().get(name);
            let value = value.map(|value| value.to_str().expect("text"));
            value.unwrap_or_default().to_owned()
        };
        let seen = Seen {
            path: request.uri().path().to_owned(),
            query: decode(request.uri().query().unwrap_or_default()),
            version: request.version(),
            host: header("host"),
            authorization: header("authorization"),
            server_name: server_name.clone(),
            client: client.clone(),
        };
        let mut state = state.lock().expect("no panic");
        let is_trusted = state
            .demanded
            .as_ref()
            .is_none_or(|demanded| *demanded == seen.authorization);
        let answer = Response::builder();
        let answer = match (is_trusted, seen.version) {
            (false, _) => answer.status(401).body(Full::<Bytes>::default()),
            (true, Version::HTTP_2) => answer
                .header("content-type", "application/grpc")
                .header("grpc-status", "0")
                .body(Full::default()),
            (true, _) => answer
                .header("content-type", "application/json")
                .body(Full::from(VECTOR)),
        };
        state.seen.push(seen);
        async move { Ok::<_, Infallible>(answer.expect("a response")) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // The proxy may leave at any time.
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
    Ok(())
}

pub fn config(
    own: &Pair,
    clients: &[&Authority],
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("known versions");
    let builder = if clients.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for authority in clients {
            let authority = authority.0.der().clone();
            roots.add(authority).expect("a certificate");
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("roots"))
    };
    let mut config = builder
        .with_single_cert(chain(own), key(own))
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Shows a certificate without having its key.
pub fn impostor(
    shown: &Pair,
    had: &Pair,
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    #[derive(Debug)]
    struct Always(Arc<CertifiedKey>);

    impl ResolvesServerCert for Always {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    let key = aws_lc_rs::sign::any_supported_type(&key(had)).expect("a key");
    let pair = CertifiedKey::new(chain(shown), key);
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a known version")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(pair))))
}

/// The certificates of a pair.
pub fn chain(pair: &Pair) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pair.certificate.as_bytes())
        .collect::<Result<_, _>>()
        .expect("PEM")
}

fn key(pair: &Pair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM")
}
