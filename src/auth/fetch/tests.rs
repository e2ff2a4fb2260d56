use std::io::Write as _;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::auth::testing::{Answer, Idp, give, read_head};

const AT_MOST: Duration = Duration::from_secs(2);

fn jwks_at(url: &str) -> Provider {
    Provider {
        location: Location::Jwks(url.to_owned()),
        ca_file: None,
        bearer_token_file: None,
    }
}

fn discovery_of(issuer: &str) -> Provider {
    Provider {
        location: Location::Discovery(issuer.into()),
        ca_file: None,
        bearer_token_file: None,
    }
}

async fn fetched(provider: &Provider) -> Result<String, String> {
    let outcome = provider.fetch(AT_MOST).await;
    outcome
        .map(|text| String::from_utf8(text.to_vec()).unwrap())
        .map_err(|error| error.to_string())
}

#[track_caller]
fn assert_says(outcome: Result<String, String>, expected: &str) {
    let text = outcome.unwrap_err();
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn key_set_is_fetched_with_the_current_bearer_token() {
    let idp = Idp::start().await;
    idp.answer("/jwks", Answer::Json("keys".to_owned()));
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"first\n").unwrap();
    let provider = Provider {
        bearer_token_file: Some(token.path().to_owned()),
        ..jwks_at(&idp.jwks_url())
    };
    assert_eq!(fetched(&provider).await.unwrap(), "keys");
    assert!(
        idp.last_request()
            .contains("authorization: Bearer first\r\n")
    );
    std::fs::write(token.path(), "second").unwrap();
    fetched(&provider).await.unwrap();
    assert!(
        idp.last_request()
            .contains("authorization: Bearer second\r\n")
    );
    let path = token.path().display().to_string();
    drop(token);
    assert_says(
        fetched(&provider).await,
        &format!("bearer_token_file {path}: "),
    );
}

#[tokio::test]
async fn discovery_leads_to_the_keys_of_exactly_this_issuer() {
    let idp = Idp::start().await;
    idp.answer("/jwks", Answer::Json("keys".to_owned()));
    let publish = |issuer: &str| {
        let document = json!({"issuer": issuer, "jwks_uri": idp.jwks_url(), "x": [1]});
        let path = "/realms/obs/.well-known/openid-configuration";
        idp.answer(path, Answer::Json(document.to_string()));
    };
    let issuer = format!("{}/realms/obs", idp.url);
    publish(&issuer);
    assert_eq!(fetched(&discovery_of(&issuer)).await.unwrap(), "keys");
    // The slash belongs to the issuer and not to the path, as with Auth0.
    let slash = format!("{issuer}/");
    assert_says(fetched(&discovery_of(&slash)).await, "they must be equal");
    publish(&slash);
    assert_eq!(fetched(&discovery_of(&slash)).await.unwrap(), "keys");
    assert_says(fetched(&discovery_of(&issuer)).await, "they must be equal");
    publish("https://other.example.com");
    assert_says(
        fetched(&discovery_of(&issuer)).await,
        "\"https://other.example.com\"",
    );
}

#[tokio::test]
async fn invalid_discovery_document_is_an_error() {
    let idp = Idp::start().await;
    for document in [
        "<html>".to_owned(),
        "{}".to_owned(),
        json!({"issuer": idp.url}).to_string(),
        json!({"issuer": idp.url, "jwks_uri": 7}).to_string(),
    ] {
        idp.answer("/.well-known/openid-configuration", Answer::Json(document));
        let outcome = fetched(&discovery_of(&idp.url)).await;
        assert_says(outcome, "not a discovery document");
    }
    for uri in ["file:///etc/passwd", "/jwks", "", "ftp://x/jwks"] {
        let document = json!({"issuer": idp.url, "jwks_uri": uri}).to_string();
        idp.answer("/.well-known/openid-configuration", Answer::Json(document));
        let outcome = fetched(&discovery_of(&idp.url)).await;
        assert_says(outcome, "is not an http or https URL");
    }
}

#[tokio::test]
async fn answers_are_bounded_and_redirects_are_not_followed() {
    let idp = Idp::start().await;
    let url = idp.jwks_url();
    for (answer, says) in [
        (
            Answer::Head("302 Found\r\nlocation: http://127.0.0.1/"),
            "redirects are not followed",
        ),
        (
            Answer::Head("307 Temporary Redirect\r\nlocation: /x"),
            "redirects are not followed",
        ),
        (Answer::Head("500 Oh"), "answered 500"),
        (Answer::Head("204 No Content"), "answered 204"),
        (
            Answer::Json("a".repeat((1 << 20) + 1)),
            "longer than 1048576 bytes",
        ),
        (Answer::Endless, "longer than 1048576 bytes"),
        (Answer::Nothing, &url),
        (
            Answer::Slow(Duration::from_mins(1), String::new()),
            "no answer within",
        ),
    ] {
        idp.answer("/jwks", answer);
        let request_count = idp.request_count();
        assert_says(fetched(&jwks_at(&url)).await, says);
        assert_eq!(idp.request_count(), request_count + 1, "{says}");
    }
    idp.answer("/jwks", Answer::Json("a".repeat(1 << 20)));
    assert_eq!(fetched(&jwks_at(&url)).await.unwrap().len(), 1 << 20);
    assert_says(
        fetched(&jwks_at("http://127.0.0.1:1/jwks")).await,
        "refused",
    );
    assert_says(
        fetched(&jwks_at("nonsense")).await,
        "is not an http or https URL",
    );
}

/// An HTTPS server with a self-signed certificate for `localhost` and one answer for all requests.
async fn https(answer: impl Fn(&str) -> String) -> (String, tempfile::NamedTempFile) {
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&pair).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let body = answer(&url);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, body) = (acceptor.clone(), body.clone());
            tokio::spawn(async move {
                if let Ok(mut socket) = acceptor.accept(socket).await {
                    read_head(&mut socket).await;
                    give(&mut socket, Some(Answer::Json(body))).await;
                }
            });
        }
    });
    let mut ca_file = tempfile::NamedTempFile::new().unwrap();
    ca_file.write_all(certificate.pem().as_bytes()).unwrap();
    (url, ca_file)
}

#[tokio::test]
async fn https_is_trusted_by_the_ca_file_and_not_without() {
    let (url, ca_file) = https(|_| "keys".to_owned()).await;
    let trusting = Provider {
        ca_file: Some(ca_file.path().to_owned()),
        ..jwks_at(&url)
    };
    assert_eq!(fetched(&trusting).await.unwrap(), "keys");
    assert_says(fetched(&jwks_at(&url)).await, "certificate");
    std::fs::write(ca_file.path(), "none").unwrap();
    assert_says(fetched(&trusting).await, "it holds no certificate");
    drop(ca_file);
    assert_says(fetched(&trusting).await, "ca_file ");
}

#[tokio::test]
async fn https_issuer_with_http_keys_is_refused() {
    let plain = Idp::start().await;
    let (url, ca_file) =
        https(|url| json!({"issuer": url, "jwks_uri": plain.jwks_url()}).to_string()).await;
    let provider = Provider {
        ca_file: Some(ca_file.path().to_owned()),
        ..discovery_of(&url)
    };
    assert_says(
        fetched(&provider).await,
        "is not https although the issuer is",
    );
    assert_eq!(plain.request_count(), 0);
}

/// Services like to put keys into the query, and errors are logged and shown to operators.
#[tokio::test]
async fn query_of_a_url_is_in_no_error() {
    let idp = Idp::start().await;
    let path = "/keys?api_key=s3cret";
    idp.answer("/jwks?api_key=s3cret", Answer::Endless);
    idp.answer(path, Answer::Head("HTTP/1.1 302 Found\r\nlocation: /x\r\n"));
    let document = |jwks_uri: &str| {
        let document = json!({"issuer": idp.url, "jwks_uri": jwks_uri});
        let path = "/.well-known/openid-configuration";
        idp.answer(path, Answer::Json(document.to_string()));
    };
    let mut errors = Vec::new();
    for url in [
        format!("{}{path}", idp.url),
        format!("{}?api_key=s3cret", idp.jwks_url()),
        format!("{}/unknown?api_key=s3cret", idp.url),
        "http://127.0.0.1:9/x?api_key=s3cret".to_owned(),
        "ftp://127.0.0.1/x?api_key=s3cret".to_owned(),
        "https://127.0.0.1:9/x?api_key=s3cret".to_owned(),
    ] {
        errors.push(fetched(&jwks_at(&url)).await.unwrap_err());
        document(&url);
        errors.push(fetched(&discovery_of(&idp.url)).await.unwrap_err());
    }
    for error in errors {
        assert!(!error.contains("s3cret"), "{error}");
        assert!(
            error.contains("?***") || error.contains("no answer within"),
            "{error}"
        );
    }
}
