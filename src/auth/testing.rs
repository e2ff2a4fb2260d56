//! Shared by the tests of this module: signers, a small identity provider, a clock.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as CryptoAlgorithm, EncodingKey, jwk};
use rcgen::{KeyPair, RsaKeySize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::clock::Clock;
use super::shared::Pacing;
use crate::config::settings::{
    Algorithm, ClaimGrant, ClaimPath, Grant, Issuer, KeySource, Selectors, Tenancy, TenantRule,
    TokenSource, Tokens, When,
};

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const IDP: &str = "https://idp.example.com/realms/obs";

/// 1024 bits.
pub(super) const WEAK_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDKuZ7+ED7BFc/Wb9CCdqxHzPdU
BAA6q36t63YgZZ8nidreWtddYyivVjgNvnIm/RmLPhZgQOoly/GhGiQtuezcOt6y
4YzQQIf0jRx9rtKR15cZh/AF3xrM7dUONdSown3cwcju3eDm7p5wcKqsNu0EUAkZ
YV5rQI1QR40R0btSTwIDAQAB
-----END PUBLIC KEY-----
";

/// A key pair that signs tokens.
pub(super) struct Signer {
    pub(super) kid: &'static str,
    pub(super) algorithm: CryptoAlgorithm,
    key: EncodingKey,
    pub(super) public_pem: String,
    public_raw: Vec<u8>,
}

impl Signer {
    pub(super) fn rsa(kid: &'static str, algorithm: CryptoAlgorithm) -> Self {
        let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self::new(kid, algorithm, key, &pair)
    }

    pub(super) fn es256(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self::new(kid, CryptoAlgorithm::ES256, key, &pair)
    }

    pub(super) fn es384(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self::new(kid, CryptoAlgorithm::ES384, key, &pair)
    }

    pub(super) fn ed25519(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let key = EncodingKey::from_ed_der(&pair.serialize_der());
        Self::new(kid, CryptoAlgorithm::EdDSA, key, &pair)
    }

    fn new(
        kid: &'static str,
        algorithm: CryptoAlgorithm,
        key: EncodingKey,
        pair: &KeyPair,
    ) -> Self {
        Self {
            kid,
            algorithm,
            key,
            public_pem: pair.public_key_pem(),
            public_raw: pair.public_key_raw().to_vec(),
        }
    }

    /// Signs with a secret; there is no public key.
    pub(super) fn hs256(secret: &[u8]) -> Self {
        Self {
            kid: "",
            algorithm: CryptoAlgorithm::HS256,
            key: EncodingKey::from_secret(secret),
            public_pem: String::new(),
            public_raw: Vec::new(),
        }
    }

    /// The public key as a JWK with its `kid`, `use` and `alg`.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = if self.algorithm == CryptoAlgorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.public_raw);
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x})
        } else {
            let jwk = jwk::Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
            serde_json::to_value(jwk).unwrap()
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token of these claims with the usual header.
    pub(super) fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "typ": "JWT", "kid": self.kid});
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A token of these texts, valid or not.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        let mut token = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature =
            jsonwebtoken::crypto::sign(token.as_bytes(), &self.key, self.algorithm).unwrap();
        write!(token, ".{signature}").unwrap();
        token
    }
}

/// A key set of these signers.
pub(super) fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// The claims of a valid token.
pub(super) fn claims() -> Value {
    json!({
        "iss": IDP, "sub": "alice", "aud": "grafana", "tenant_id": "acme",
        "iat": NOW - 10, "exp": NOW + 300,
    })
}

/// The claims of a valid token with one of them set.
pub(super) fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub(super) fn issuer(keys: KeySource) -> Issuer {
    Issuer {
        issuer: IDP.into(),
        audiences: vec!["grafana".to_owned()],
        algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        authorized_parties: Vec::new(),
        leeway: Duration::from_secs(30),
        max_lifetime: None,
        keys,
        refresh_interval: Duration::from_mins(5),
        max_stale: Duration::from_hours(24),
    }
}

pub(super) fn jwks_url(url: String) -> KeySource {
    KeySource::JwksUrl {
        url,
        ca_file: None,
        bearer_token_file: None,
    }
}

pub(super) fn tokens(issuers: Vec<Issuer>) -> Tokens {
    let source = |header: &str, scheme: Option<&str>| TokenSource {
        header: header.to_owned(),
        scheme: scheme.map(ToOwned::to_owned),
    };
    Tokens {
        sources: vec![
            source("authorization", Some("Bearer")),
            source("x-id-token", None),
        ],
        issuers,
        cache_entries: 100,
        max_bytes: 16 << 10,
    }
}

/// Tenants from the claim `tenant_id`.
pub(super) fn tenancy() -> Tenancy {
    Tenancy {
        rules: vec![TenantRule {
            when: When::default(),
            grant: Grant::Claim(ClaimGrant {
                claim: ClaimPath(vec!["tenant_id".to_owned()]),
                separator: None,
                pattern: None,
                map: None,
            }),
        }],
        metrics_label: Some("tenant_id".into()),
        traces_attribute: None,
        traces_org_id: false,
        selectors: Selectors::default(),
        and: Vec::new(),
        clusters: None,
        max_tenants: 1000,
    }
}

/// A clock that is set by hand.
pub(super) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(super) fn at(now: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now)))
    }

    pub(super) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Short times, so that tests can wait for them.
pub(super) const QUICK: Pacing = Pacing {
    fetch: Duration::from_secs(3),
    gap: Duration::from_millis(800),
    wait: Duration::from_millis(1500),
    first_retry: Duration::from_millis(50),
    max_retry: Duration::from_millis(100),
};

#[derive(Clone)]
pub(super) enum Answer {
    Json(String),
    /// Status line and headers, without a body.
    Head(&'static str),
    /// Sent this long after the request.
    Slow(Duration, String),
    /// A body that never ends.
    Endless,
    /// The connection is closed.
    Nothing,
}

/// An HTTP server on a port of its own.
pub(super) struct Idp {
    pub(super) url: String,
    answers: Arc<Mutex<HashMap<&'static str, Answer>>>,
    request_count: Arc<AtomicUsize>,
    last_request: Arc<Mutex<String>>,
}

impl Idp {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::default(),
            request_count: Arc::default(),
            last_request: Arc::default(),
        };
        let (answers, request_count) = (idp.answers.clone(), idp.request_count.clone());
        let last_request = idp.last_request.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (answers, request_count) = (answers.clone(), request_count.clone());
                let last_request = last_request.clone();
                tokio::spawn(async move {
                    let request = read_head(&mut socket).await;
                    request_count.fetch_add(1, Ordering::SeqCst);
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    *last_request.lock().unwrap() = request;
                    let answer = answers.lock().unwrap().get(path.as_str()).cloned();
                    give(&mut socket, answer).await;
                });
            }
        });
        idp
    }

    pub(super) fn answer(&self, path: &'static str, answer: Answer) {
        self.answers.lock().unwrap().insert(path, answer);
    }

    /// Publishes these signers' keys at `/jwks`.
    pub(super) fn publish(&self, signers: &[&Signer]) {
        self.answer("/jwks", Answer::Json(jwks(signers)));
    }

    pub(super) fn jwks_url(&self) -> String {
        format!("{}/jwks", self.url)
    }

    /// The number of requests received.
    pub(super) fn request_count(&self) -> usize {
        self.request_count.load(Ordering::SeqCst)
    }

    pub(super) fn last_request(&self) -> String {
        self.last_request.lock().unwrap().clone()
    }
}

pub(super) async fn read_head(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8(head).unwrap()
}

pub(super) async fn give(
    socket: &mut (impl tokio::io::AsyncWrite + Unpin),
    answer: Option<Answer>,
) {
    let with_length = |body: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    };
    let text = match answer {
        Some(Answer::Json(body)) => with_length(&body),
        Some(Answer::Head(head)) => format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n"),
        Some(Answer::Slow(pause, body)) => {
            tokio::time::sleep(pause).await;
            with_length(&body)
        }
        Some(Answer::Endless) => {
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\":[\"";
            let mut sent = socket.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = socket.write_all(&[b'a'; 8 << 10]).await;
            }
            return;
        }
        Some(Answer::Nothing) => return,
        None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    };
    // The client may have closed the connection.
    let _ = socket.write_all(text.as_bytes()).await;
    let _ = socket.shutdown().await;
}
