//! Everything a request is judged by: made from one reading of the config, never changed.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::header::HeaderName;
use thiserror::Error;

use super::quota::Places;
use super::rewrites::Rewrites;
use crate::auth::{Authenticator, InvalidTokens};
use crate::config::settings::{Api, Settings, Upstream as UpstreamSettings};
use crate::config::{Fingerprint, Loaded};
use crate::promql;
use crate::upstream::{InvalidUpstream, Upstream};

/// An immutable set of rules, with the pools and caches that belong to them.
pub struct Snapshot {
    settings: Arc<Settings>,
    /// Of the files it was made from.
    fingerprint: Fingerprint,
    authenticator: Authenticator,
    upstreams: Vec<Arc<Upstream>>,
    rewrites: Rewrites,
    token_headers: Vec<HeaderName>,
    places: Places,
}

/// Why settings make no snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// One of `upstreams`.
    #[error("upstreams: {name}: {cause}")]
    Upstream {
        /// Its name.
        name: Arc<str>,
        /// What is wrong with it.
        cause: InvalidUpstream,
    },
    /// `tokens`.
    #[error("tokens: {0}")]
    Tokens(#[from] InvalidTokens),
}

impl Snapshot {
    /// Makes a snapshot. What `previous` has and still fits is kept: connections, keys, places.
    pub fn build(loaded: Loaded, previous: Option<&Self>) -> Result<Self, SnapshotError> {
        let Loaded {
            settings,
            fingerprint,
        } = loaded;
        let settings = Arc::new(settings);
        let upstreams = settings
            .upstreams
            .iter()
            .map(
                |wanted| match previous.and_then(|previous| previous.warm(wanted, &fingerprint)) {
                    Some(upstream) => Ok(upstream),
                    None => Upstream::new(wanted).map(Arc::new).map_err(|cause| {
                        SnapshotError::Upstream {
                            name: Arc::clone(&wanted.name),
                            cause,
                        }
                    }),
                },
            )
            .collect::<Result<_, _>>()?;
        let authenticator = Authenticator::new(
            &settings.tokens,
            Arc::new(settings.tenancy.clone()),
            previous.map(|previous| &previous.authenticator),
        )?;
        let token_headers = settings
            .tokens
            .sources
            .iter()
            .filter_map(|source| source.header.parse().ok())
            .collect();
        let before = previous.map(|previous| (previous.settings.limits.requests, &previous.places));
        let places = Places::new(settings.limits.requests, before);
        Ok(Self {
            rewrites: Rewrites::new(settings.limits.rewrite_cache_bytes),
            authenticator,
            upstreams,
            token_headers,
            places,
            settings,
            fingerprint,
        })
    }

    /// The upstream of the same settings and the same certificates, with its open connections.
    fn warm(&self, wanted: &UpstreamSettings, now: &Fingerprint) -> Option<Arc<Upstream>> {
        let same_certificates = |path: &PathBuf| self.fingerprint.same_file(now, path);
        self.upstreams
            .iter()
            .find(|upstream| upstream.settings() == wanted)
            .filter(|_| wanted.ca_file.as_ref().is_none_or(same_certificates))
            .cloned()
    }

    /// Of the files it was made from.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The config it was made from.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Who checks tokens.
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// The upstream that speaks an API, if there is one.
    pub fn upstream(&self, api: Api) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|upstream| upstream.api() == api)
    }

    /// Where paths outside the data APIs go.
    pub fn passthrough(&self) -> Option<&Arc<Upstream>> {
        self.upstreams
            .iter()
            .find(|upstream| *upstream.name() == self.settings.passthrough.upstream)
    }

    /// Confined queries of this snapshot.
    pub fn rewrites(&self) -> &Rewrites {
        &self.rewrites
    }

    /// Headers that carry a token, never sent on.
    pub fn token_headers(&self) -> &[HeaderName] {
        &self.token_headers
    }

    /// The places of requests in flight.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Bounds on queries.
    pub fn promql_limits(&self) -> promql::Limits {
        promql::Limits {
            query_bytes: self.settings.limits.query_bytes,
            selectors: self.settings.limits.query_selectors,
        }
    }
}
