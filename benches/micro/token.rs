//! Requests with signed tokens, and who checks them.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{EncodingKey, Header};
use partywall::auth::{Authenticator, Caller};
use partywall::config::settings::{Algorithm, Issuer, KeySource, TokenSource, Tokens};
use serde_json::{Value, json};

use crate::inputs::{ISSUER, claims, tenancy};

const AUDIENCE: &str = "grafana";

/// An issuer's key and an authenticator that believes it.
pub(crate) struct Desk {
    key: EncodingKey,
    authenticator: Authenticator,
}

impl Desk {
    pub(crate) fn open() -> Result<Self, Box<dyn Error>> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let key = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let public = Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::RS256)?;
        let public = serde_json::to_string(&JwkSet { keys: vec![public] })?;
        Ok(Self {
            key,
            authenticator: Authenticator::new(&settings(public), tenancy(), None)?,
        })
    }

    /// Requests with a token each, no two the same.
    pub(crate) fn requests(&self, count: usize) -> Result<Vec<HeaderMap>, Box<dyn Error>> {
        (0..count).map(|subject| self.request(subject)).collect()
    }

    fn request(&self, subject: usize) -> Result<HeaderMap, Box<dyn Error>> {
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        let mut all = claims(1);
        all.extend([
            ("iss".to_owned(), json!(ISSUER)),
            ("aud".to_owned(), json!(AUDIENCE)),
            ("sub".to_owned(), json!(format!("user-{subject:04}"))),
            ("iat".to_owned(), json!(now)),
            ("exp".to_owned(), json!(now + 3600)),
        ]);
        let header = Header::new(jsonwebtoken::Algorithm::RS256);
        let token = jsonwebtoken::encode(&header, &Value::Object(all), &self.key)?;
        let value = HeaderValue::try_from(format!("Bearer {token}"))?;
        Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    pub(crate) fn authenticate(&self, request: &HeaderMap) -> Result<Arc<Caller>, Box<dyn Error>> {
        let caller = self.authenticator.authenticate(request);
        // With the keys in the config there is nothing to wait for.
        let caller = caller.now_or_never().ok_or("waits for keys")??;
        Ok(caller)
    }
}

fn settings(jwks: String) -> Tokens {
    Tokens {
        sources: vec![TokenSource {
            header: "authorization".to_owned(),
            scheme: Some("Bearer".to_owned()),
        }],
        issuers: vec![Issuer {
            issuer: ISSUER.into(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec![Algorithm::RS256],
            authorized_parties: Vec::new(),
            leeway: Duration::from_secs(30),
            keys: KeySource::Jwks(jwks),
            refresh_interval: Duration::from_mins(5),
            max_stale: Duration::from_hours(24),
        }],
        cache_entries: 10_000,
        max_bytes: 16 * 1024,
    }
}
