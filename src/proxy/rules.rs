//! The rules that requests are judged by: built from one reading of the config, and immutable.

use std::sync::Arc;

use hyper::header::HeaderName;

use crate::auth::{Authenticator, InvalidTokens};
use crate::config::settings::Settings;
use crate::query_size;
use crate::upstream::Upstream;

/// The rules of one config. The state that they use but do not determine, such as caches and
/// permits, is in [`Runtime`](super::snapshot::Runtime).
pub struct Rules {
    settings: Arc<Settings>,
    authenticator: Authenticator,
    upstreams: Vec<Arc<Upstream>>,
    token_headers: Vec<HeaderName>,
}

impl Rules {
    /// The rules of these settings and upstreams. Keys that `previous` has of the same issuers are
    /// reused.
    pub(super) fn new(
        settings: Arc<Settings>,
        upstreams: Vec<Arc<Upstream>>,
        previous: Option<&Self>,
    ) -> Result<Self, InvalidTokens> {
        let authenticator = Authenticator::new(
            &settings.tokens,
            Arc::new(settings.tenancy.clone()),
            previous.map(|previous| &previous.authenticator),
        )?;
        let sources = settings.tokens.sources.iter();
        let token_headers = sources
            .filter_map(|source| source.header.parse().ok())
            .collect();
        Ok(Self {
            settings,
            authenticator,
            upstreams,
            token_headers,
        })
    }

    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Headers that carry a token, never forwarded.
    pub fn token_headers(&self) -> &[HeaderName] {
        &self.token_headers
    }

    pub fn query_limits(&self) -> query_size::Limits {
        let limits = &self.settings.limits;
        query_size::Limits {
            bytes: limits.query_bytes,
            depth: limits.query_depth,
            nodes: limits.query_nodes,
            format_bytes: limits.format_bytes,
        }
    }
}
