//! Requests with signed tokens, and who checks them.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use partywall::auth::{Authenticator, Caller};
use partywall::config::settings::{Algorithm, Issuer as Settings, KeySource, TokenSource, Tokens};

use crate::inputs::{claims, tenancy};
use crate::issuer::{AUDIENCE, ISSUER, Issuer};

/// An issuer and an authenticator that trusts it.
pub(crate) struct Desk {
    issuer: Issuer,
    authenticator: Authenticator,
}

impl Desk {
    pub(crate) fn open() -> Result<Self, Box<dyn Error>> {
        let issuer = Issuer::new()?;
        let settings = settings(issuer.jwks.clone());
        Ok(Self {
            issuer,
            authenticator: Authenticator::new(&settings, tenancy(), None)?,
        })
    }

    /// Requests with a token each, no two the same.
    pub(crate) fn requests(&self, count: usize) -> Result<Vec<HeaderMap>, Box<dyn Error>> {
        (0..count).map(|subject| self.request(subject)).collect()
    }

    fn request(&self, subject: usize) -> Result<HeaderMap, Box<dyn Error>> {
        let token = self
            .issuer
            .token(&format!("user-{subject:04}"), claims(1))?;
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
        issuers: vec![Settings {
            issuer: ISSUER.into(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec![Algorithm::RS256],
            authorized_parties: Vec::new(),
            leeway: Duration::from_secs(30),
            max_lifetime: None,
            keys: KeySource::Jwks(jwks),
            refresh_interval: Duration::from_mins(5),
            max_stale: Duration::from_hours(24),
        }],
        cache_entries: 10_000,
        max_bytes: 16 * 1024,
    }
}
