//! Which cluster a request is for: the upstreams of its path's prefix and, among those, the ones of
//! its host. Later steps see the path without the prefix, so every rule that holds at the root
//! holds below each prefix.
//!
//! # Named clusters
//!
//! Upstreams with a `cluster` are reached below [`CLUSTERS`] and that name, which is their
//! `path_prefix`. As soon as there is one, all of `/clusters` is reserved for names: the response
//! for a cluster that the caller may not use is byte for byte that of one that does not exist. So
//! nothing that depends on the cluster may be decided before
//! [`authorize`](crate::proxy::authorize): a token is always required there, and errors are in the
//! dialect of the path. Names are compared literally.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::Request;
use hyper::http::uri::{PathAndQuery, Uri};

use super::host::Host;
use super::path;
use crate::config::settings::{Api, CLUSTERS, Upstream as UpstreamSettings};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::rules::Rules;
use crate::reason::Reason;
use crate::upstream::Upstream;

/// The upstreams that a request may be for.
pub(in crate::proxy) struct Cluster<'s> {
    upstreams: &'s [Arc<Upstream>],
    /// `passthrough.upstream`.
    passthrough: Option<&'s str>,
    prefix: Option<&'s str>,
    named: Option<Named>,
    host: Host,
}

/// What a path at or below [`CLUSTERS`] names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Named {
    /// The list itself.
    List,
    /// This cluster.
    Cluster(Arc<str>),
    /// No cluster.
    Nothing,
}

/// Finds a request's cluster, and strips its prefix from the request.
///
/// # Errors
/// When the prefix is written in a way that servers may read differently.
pub(in crate::proxy) fn enter<'s, B>(
    rules: &'s Rules,
    host: Host,
    request: &mut Request<B>,
) -> Result<Cluster<'s>, ProxyError> {
    let upstreams = rules.upstreams();
    let path = request.uri().path();
    let (prefix, named) = match below_clusters(upstreams, path)? {
        None => (prefix(upstreams, &host, path)?, None),
        Some("") => (None, Some(Named::List)),
        Some(name) => {
            let cluster = cluster_of(upstreams, &host, name);
            let below = format!("{CLUSTERS}{name}");
            *request.uri_mut() = self::below(request.uri(), &below)?;
            cluster.map_or((None, Some(Named::Nothing)), |upstream| {
                let prefix = upstream.path_prefix.as_deref();
                (prefix, upstream.cluster.clone().map(Named::Cluster))
            })
        }
    };
    if let (Some(prefix), None) = (prefix, &named) {
        *request.uri_mut() = below(request.uri(), prefix)?;
    }
    Ok(Cluster {
        upstreams,
        passthrough: rules.settings().passthrough.upstream.as_deref(),
        prefix,
        named,
        host,
    })
}

impl<'s> Cluster<'s> {
    /// What its path names, if that is at or below [`CLUSTERS`].
    pub(in crate::proxy) fn named(&self) -> Option<&Named> {
        self.named.as_ref()
    }

    /// Whether only the host selects the upstreams.
    pub(in crate::proxy) fn is_root(&self) -> bool {
        self.prefix.is_none() && self.named.is_none()
    }

    /// The upstreams of all named clusters, as far as they serve this host.
    pub(in crate::proxy) fn all_named(&self) -> impl Iterator<Item = &'s Arc<Upstream>> {
        let all = self.upstreams.iter();
        all.filter(|upstream| upstream.settings().cluster.is_some() && is_for(&self.host, upstream))
    }

    /// Its upstream for an API, if there is one: one for this host takes precedence over one for
    /// all hosts.
    pub(in crate::proxy) fn upstream(&self, api: Api) -> Option<&'s Arc<Upstream>> {
        let here = |upstream: &&Arc<Upstream>| {
            let settings = upstream.settings();
            settings.api == api && settings.path_prefix.as_deref() == self.prefix
        };
        self.for_host(here).or_else(|| self.for_any_host(here))
    }

    /// The upstream of its gRPC calls. They have no path prefix, so at the root any upstream of the
    /// host may be meant.
    ///
    /// # Errors
    /// When several are: a response from the wrong cluster looks like one from the right one.
    pub(in crate::proxy) fn grpc(&self) -> Result<Option<&'s Arc<Upstream>>, ProxyError> {
        if self.prefix.is_some() {
            return Ok(self.upstream(Api::Tempo));
        }
        let is_tempo = |upstream: &&Arc<Upstream>| upstream.api() == Api::Tempo;
        let own = self.for_host(is_tempo);
        let meant = own.or_else(|| self.for_any_host(is_tempo));
        let another = |upstream: &&Arc<Upstream>| {
            is_tempo(upstream) && meant.is_some_and(|meant| !Arc::ptr_eq(meant, upstream))
        };
        let another = match own {
            Some(_) => self.for_host(another),
            None => self.for_any_host(another),
        };
        if another.is_none() {
            return Ok(meant);
        }
        let text = "several traces upstreams could be meant, as gRPC has no path prefix: \
                    each needs `hosts` of its own; or switch streaming off";
        Err(ProxyError::new(ErrorKind::Forbidden, text).because(Reason::AmbiguousCluster))
    }

    /// The upstream of paths outside the data APIs: that of the cluster's metrics, or else of its
    /// traces, or else of its alerts; where neither is bound to a prefix or host, the one that `passthrough.upstream`
    /// names.
    pub(in crate::proxy) fn passthrough(&self) -> Option<&'s Arc<Upstream>> {
        let own = self
            .upstream(Api::Prometheus)
            .or_else(|| self.upstream(Api::Tempo))
            .or_else(|| self.upstream(Api::Alertmanager))
            .filter(|upstream| !upstream.settings().is_default());
        let is_named = |upstream: &&Arc<Upstream>| Some(&**upstream.name()) == self.passthrough;
        own.or_else(|| self.upstreams.iter().find(is_named))
    }

    fn for_host(&self, wanted: impl Fn(&&Arc<Upstream>) -> bool) -> Option<&'s Arc<Upstream>> {
        let mut all = self.upstreams.iter();
        all.find(|upstream| wanted(upstream) && self.host.is_one_of(&upstream.settings().hosts))
    }

    fn for_any_host(&self, wanted: impl Fn(&&Arc<Upstream>) -> bool) -> Option<&'s Arc<Upstream>> {
        let mut all = self.upstreams.iter();
        all.find(|upstream| wanted(upstream) && upstream.settings().hosts.is_empty())
    }
}

/// The longest prefix that a path is below, among those for its host. Only the literal spelling
/// counts; a path that some server may read as below another prefix is refused.
fn prefix<'s>(
    upstreams: &'s [Arc<Upstream>],
    host: &Host,
    path: &str,
) -> Result<Option<&'s str>, ProxyError> {
    let has_prefix = |upstream: &&Arc<Upstream>| {
        upstream.settings().path_prefix.is_some() && upstream.settings().cluster.is_none()
    };
    if !upstreams.iter().any(|upstream| has_prefix(&upstream)) {
        return Ok(None);
    }
    let longest = |is_below: &dyn Fn(&str) -> bool| {
        upstreams
            .iter()
            .filter(has_prefix)
            .filter(|upstream| is_for(host, upstream))
            .map(|upstream| upstream.settings())
            .filter_map(|settings| settings.path_prefix.as_deref())
            .filter(|prefix| is_below(prefix))
            .max_by_key(|prefix| prefix.len())
    };
    let literal = longest(&|prefix| is_below(path, prefix, |head| head == prefix));
    // A path without any reading is refused for that, below a prefix as at the root.
    let lenient = path::spelled_out(path).unwrap_or(Cow::Borrowed(path));
    let lenient =
        longest(&|prefix| is_below(&lenient, prefix, |head| head.eq_ignore_ascii_case(prefix)));
    if literal.map(str::len) == lenient.map(str::len) {
        return Ok(literal);
    }
    Err(oddly_spelled())
}

/// The part of a path after [`CLUSTERS`], up to the end of the second segment: empty, or `/eu`.
/// `None` if no cluster has a name. Only the literal spelling counts.
fn below_clusters<'p>(
    upstreams: &[Arc<Upstream>],
    path: &'p str,
) -> Result<Option<&'p str>, ProxyError> {
    let has_name = |upstream: &Arc<Upstream>| upstream.settings().cluster.is_some();
    if !upstreams.iter().any(has_name) {
        return Ok(None);
    }
    let literal = is_below(path, CLUSTERS, |head| head == CLUSTERS);
    let lenient = path::spelled_out(path).unwrap_or(Cow::Borrowed(path));
    let lenient = is_below(&lenient, CLUSTERS, |head| {
        head.eq_ignore_ascii_case(CLUSTERS)
    });
    if literal != lenient {
        return Err(oddly_spelled());
    }
    let rest = path.strip_prefix(CLUSTERS).filter(|_| literal);
    Ok(rest.map(|rest| {
        let name = rest.char_indices().skip(1).find(|(_, c)| *c == '/');
        name.and_then(|(end, _)| rest.get(..end)).unwrap_or(rest)
    }))
}

/// An upstream of the cluster that `/eu` names, for this host.
fn cluster_of<'s>(
    upstreams: &'s [Arc<Upstream>],
    host: &Host,
    name: &str,
) -> Option<&'s UpstreamSettings> {
    let name = name.strip_prefix('/')?;
    let mut all = upstreams.iter().filter(|upstream| is_for(host, upstream));
    let found = all.find(|upstream| upstream.settings().cluster.as_deref() == Some(name));
    found.map(|upstream| upstream.settings())
}

fn is_for(host: &Host, upstream: &Upstream) -> bool {
    let hosts = &upstream.settings().hosts;
    hosts.is_empty() || host.is_one_of(hosts)
}

fn oddly_spelled() -> ProxyError {
    let text = "the path may be meant to begin with a configured path_prefix: write that plainly, \
                in the same case, without escapes, `;` or empty segments";
    ProxyError::new(ErrorKind::BadRequest, text).because(Reason::Path)
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
            .because(Reason::Path)
            .caused_by(&error)
    })
}

#[cfg(test)]
mod tests;
