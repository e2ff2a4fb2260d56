//! Which cluster a request is for: the upstreams at its path's prefix and, among those, the ones
//! of its host. What comes after sees the path without the prefix, so every rule that holds at
//! the root holds below each prefix.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::Request;
use hyper::http::uri::{PathAndQuery, Uri};

use super::error::{ErrorKind, ProxyError};
use super::host::Host;
use super::path;
use super::snapshot::Snapshot;
use crate::config::settings::Api;
use crate::upstream::Upstream;

/// The upstreams that a request can mean.
pub(super) struct Cluster<'s> {
    upstreams: &'s [Arc<Upstream>],
    /// `passthrough.upstream`.
    passthrough: Option<&'s str>,
    prefix: Option<&'s str>,
    host: Host,
}

/// Finds a request's cluster, and takes its prefix from the request.
///
/// # Errors
/// When the prefix is written in a way that servers may read differently.
pub(super) fn enter<'s, B>(
    snapshot: &'s Snapshot,
    host: Host,
    request: &mut Request<B>,
) -> Result<Cluster<'s>, ProxyError> {
    let upstreams = snapshot.upstreams();
    let prefix = prefix(upstreams, &host, request.uri().path())?;
    if let Some(prefix) = prefix {
        *request.uri_mut() = below(request.uri(), prefix)?;
    }
    Ok(Cluster {
        upstreams,
        passthrough: snapshot.settings().passthrough.upstream.as_deref(),
        prefix,
        host,
    })
}

impl<'s> Cluster<'s> {
    /// Its upstream that speaks an API, if there is one: the host's own before the one for every
    /// host.
    pub(super) fn upstream(&self, api: Api) -> Option<&'s Arc<Upstream>> {
        let here = |upstream: &&Arc<Upstream>| {
            let settings = upstream.settings();
            settings.api == api && settings.path_prefix.as_deref() == self.prefix
        };
        self.of_host(here).or_else(|| self.of_any_host(here))
    }

    /// Where its gRPC calls go. They come without a path prefix, so at the root any upstream of
    /// the host may be meant.
    ///
    /// # Errors
    /// When that is more than one: a wrong cluster's answer looks like a right one.
    pub(super) fn grpc(&self) -> Result<Option<&'s Arc<Upstream>>, ProxyError> {
        if self.prefix.is_some() {
            return Ok(self.upstream(Api::Tempo));
        }
        let is_tempo = |upstream: &&Arc<Upstream>| upstream.api() == Api::Tempo;
        let own = self.of_host(is_tempo);
        let meant = own.or_else(|| self.of_any_host(is_tempo));
        let another = |upstream: &&Arc<Upstream>| {
            is_tempo(upstream) && meant.is_some_and(|meant| !Arc::ptr_eq(meant, upstream))
        };
        let another = match own {
            Some(_) => self.of_host(another),
            None => self.of_any_host(another),
        };
        if another.is_none() {
            return Ok(meant);
        }
        let text = "several traces upstreams could be meant, as gRPC comes without a path prefix: \
                    each needs `hosts` of its own; or switch streaming off";
        Err(ProxyError::new(ErrorKind::Forbidden, text).because("ambiguous_cluster"))
    }

    /// Where paths outside the data APIs go: with the cluster's metrics, or else its traces;
    /// where neither is bound to a prefix or host, as `passthrough.upstream` says.
    pub(super) fn passthrough(&self) -> Option<&'s Arc<Upstream>> {
        let own = self
            .upstream(Api::Prometheus)
            .or_else(|| self.upstream(Api::Tempo))
            .filter(|upstream| !upstream.settings().is_default());
        let is_named = |upstream: &&Arc<Upstream>| Some(&**upstream.name()) == self.passthrough;
        own.or_else(|| self.upstreams.iter().find(is_named))
    }

    fn of_host(&self, wanted: impl Fn(&&Arc<Upstream>) -> bool) -> Option<&'s Arc<Upstream>> {
        let mut all = self.upstreams.iter();
        all.find(|upstream| wanted(upstream) && self.host.is_one_of(&upstream.settings().hosts))
    }

    fn of_any_host(&self, wanted: impl Fn(&&Arc<Upstream>) -> bool) -> Option<&'s Arc<Upstream>> {
        let mut all = self.upstreams.iter();
        all.find(|upstream| wanted(upstream) && upstream.settings().hosts.is_empty())
    }
}

/// The longest prefix that a path is below, among those for its host. Only the literal spelling
/// counts; a path that some server may read to be below another prefix is refused.
fn prefix<'s>(
    upstreams: &'s [Arc<Upstream>],
    host: &Host,
    path: &str,
) -> Result<Option<&'s str>, ProxyError> {
    let has_prefix = |upstream: &Arc<Upstream>| upstream.settings().path_prefix.is_some();
    if !upstreams.iter().any(has_prefix) {
        return Ok(None);
    }
    let longest = |is_below: &dyn Fn(&str) -> bool| {
        upstreams
            .iter()
            .map(|upstream| upstream.settings())
            .filter(|settings| settings.hosts.is_empty() || host.is_one_of(&settings.hosts))
            .filter_map(|settings| settings.path_prefix.as_deref())
            .filter(|prefix| is_below(prefix))
            .max_by_key(|prefix| prefix.len())
    };
    let literal = longest(&|prefix| is_below(path, prefix, |head| head == prefix));
    // What has no spelling at all is refused for that, below a prefix as at the root.
    let spelled_out = path::spelled_out(path).unwrap_or(Cow::Borrowed(path));
    let lenient = longest(&|prefix| {
        is_below(&spelled_out, prefix, |head| {
            head.eq_ignore_ascii_case(prefix)
        })
    });
    if literal.map(str::len) == lenient.map(str::len) {
        return Ok(literal);
    }
    let text = "the path may be meant to begin with a configured path_prefix: write that plainly, \
                in the same case, without escapes, `;` or empty segments";
    Err(ProxyError::new(ErrorKind::BadRequest, text).because("path"))
}

/// Whether a path begins with the segments of a prefix.
fn is_below(path: &str, prefix: &str, is_same: impl Fn(&str) -> bool) -> bool {
    path.split_at_checked(prefix.len())
        .is_some_and(|(head, rest)| is_same(head) && (rest.is_empty() || rest.starts_with('/')))
}

/// The request target without the prefix.
fn below(uri: &Uri, prefix: &str) -> Result<Uri, ProxyError> {
    let whole = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let rest = whole.strip_prefix(prefix).unwrap_or(whole);
    let rest: Cow<'_, str> = if rest.starts_with('/') {
        Cow::Borrowed(rest)
    } else {
        Cow::Owned(format!("/{rest}"))
    };
    let mut parts = uri.clone().into_parts();
    let read = || {
        parts.path_and_query = Some(rest.parse()?);
        Ok(Uri::from_parts(parts)?)
    };
    read().map_err(|error: hyper::http::Error| {
        ProxyError::new(ErrorKind::BadRequest, "the request target cannot be read")
            .because("path")
            .caused_by(&error)
    })
}

#[cfg(test)]
mod tests;
