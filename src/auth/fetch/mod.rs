//! Fetches a provider's keys, by discovery or from a URL, bounded in time and size.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use thiserror::Error;

/// The maximum size of an answer.
const MAX_ANSWER: usize = 1 << 20;

/// A provider that publishes its keys.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) location: Location,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) bearer_token_file: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) enum Location {
    /// At the URL in this issuer's discovery document.
    Discovery(Arc<str>),
    Jwks(String),
}

/// Why there are no new keys; for the operator.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("{0:?} is not an http or https URL")]
    Url(String),
    #[error("ca_file {0}: {1}")]
    CaFile(String, String),
    #[error("the system's certificates cannot be read: {0}")]
    SystemRoots(String),
    #[error("bearer_token_file {0}: {1}")]
    TokenFile(String, String),
    #[error("GET {0}: {1}")]
    Request(String, String),
    #[error("GET {0}: answered {1}, and redirects are not followed: give the final address")]
    Redirect(String, StatusCode),
    #[error("GET {0}: answered {1} where 200 is needed")]
    Status(String, StatusCode),
    #[error("GET {0}: the answer is longer than {MAX_ANSWER} bytes")]
    TooLong(String),
    #[error("GET {0}: the answer is not a discovery document with `issuer` and `jwks_uri`")]
    NoDiscovery(String),
    #[error("GET {0}: its `issuer` is {1:?}, and the configured one is `{2}`: they must be equal")]
    OtherIssuer(String, String, Arc<str>),
    #[error("GET {0}: its `jwks_uri` {1:?} is not https although the issuer is")]
    Downgrade(String, String),
}

/// The part of a discovery document that is used (OpenID Connect Discovery 1.0 §3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    /// The text of the provider's key set. Files are read each time, as they can be replaced while
    /// the process runs. Connections are not reused, as minutes lie between two fetches.
    pub(super) async fn fetch(&self, at_most: Duration) -> Result<Bytes, FetchError> {
        match tokio::time::timeout(at_most, self.key_set()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::TimedOut(at_most)),
        }
    }

    async fn key_set(&self) -> Result<Bytes, FetchError> {
        let issuer = match &self.location {
            Location::Jwks(url) => return self.get(&http_uri(url)?).await,
            Location::Discovery(issuer) => issuer,
        };
        let document = discovery_url(issuer)?;
        let answer = self.get(&document).await?;
        let Ok(found) = serde_json::from_slice::<Discovery>(&answer) else {
            return Err(FetchError::NoDiscovery(shown(&document)));
        };
        if found.issuer != **issuer {
            return Err(FetchError::OtherIssuer(
                shown(&document),
                excerpt(&found.issuer),
                issuer.clone(),
            ));
        }
        let keys = http_uri(&found.jwks_uri)?;
        if is_https(&document) && !is_https(&keys) {
            return Err(FetchError::Downgrade(
                shown(&document),
                without_query(&excerpt(&found.jwks_uri)),
            ));
        }
        self.get(&keys).await
    }

    async fn get(&self, uri: &Uri) -> Result<Bytes, FetchError> {
        let failed = |why: String| FetchError::Request(shown(uri), why);
        let mut request = Request::get(uri)
            .header(ACCEPT, "application/json, application/jwk-set+json")
            .header(USER_AGENT, "partywall")
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed(error.to_string()))?;
        if let Some(file) = &self.bearer_token_file {
            request
                .headers_mut()
                .insert(AUTHORIZATION, authorization(file).await?);
        }
        let client = Client::builder(TokioExecutor::new()).build(self.connector(uri).await?);
        let answer = client
            .request(request)
            .await
            .map_err(|error| failed(with_causes(&error)))?;
        if answer.status().is_redirection() {
            return Err(FetchError::Redirect(shown(uri), answer.status()));
        }
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(shown(uri), answer.status()));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "an issuer's answer, one at a time, and bounded"
        )]
        match Limited::new(answer.into_body(), MAX_ANSWER).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLong(shown(uri))),
            Err(error) => Err(failed(with_causes(&*error))),
        }
    }

    async fn connector(&self, uri: &Uri) -> Result<HttpsConnector<HttpConnector>, FetchError> {
        let https = is_https(uri);
        let tls = if https {
            // This reads some hundred certificates from disk.
            let ca_file = self.ca_file.clone();
            tokio::task::spawn_blocking(move || tls_config(ca_file.as_deref()))
                .await
                .map_err(|error| FetchError::Request(shown(uri), error.to_string()))??
        } else {
            tls_builder()?
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        };
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
        let builder = if https {
            builder.https_only()
        } else {
            builder.https_or_http()
        };
        Ok(builder.enable_http1().build())
    }
}

/// `{issuer}/.well-known/openid-configuration`; a slash at the issuer's end is dropped first
/// (OpenID Connect Discovery 1.0 §4.1).
fn discovery_url(issuer: &str) -> Result<Uri, FetchError> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    http_uri(&format!("{base}/.well-known/openid-configuration"))
}

fn http_uri(url: &str) -> Result<Uri, FetchError> {
    url.parse::<Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| FetchError::Url(without_query(&excerpt(url))))
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

async fn authorization(file: &Path) -> Result<HeaderValue, FetchError> {
    let failed = |why: String| FetchError::TokenFile(file.display().to_string(), why);
    let token = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| failed("it holds bytes that are not valid in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, FetchError> {
    let builder = tls_builder()?;
    let builder = match ca_file {
        Some(file) => builder.with_root_certificates(roots_of(file)?),
        None => builder
            .with_native_roots()
            .map_err(|error| FetchError::SystemRoots(error.to_string()))?,
    };
    Ok(builder.with_no_client_auth())
}

fn tls_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, FetchError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::SystemRoots(error.to_string()))
}

fn roots_of(file: &Path) -> Result<RootCertStore, FetchError> {
    let failed = |why: String| FetchError::CaFile(file.display().to_string(), why);
    let text = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| failed("it is not valid PEM".to_owned()))?;
        roots
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

/// A URL for the log and the health endpoint.
fn shown(uri: &Uri) -> String {
    without_query(&uri.to_string())
}

/// A URL without its query, which may have keys in it.
fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((before, _)) => format!("{before}?***"),
        None => url.to_owned(),
    }
}

/// The start of a provider's text, enough to recognize it.
fn excerpt(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The text of an error with all its causes: hyper's own text alone says little.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
