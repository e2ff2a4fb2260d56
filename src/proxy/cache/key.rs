//! The cache key: everything that the response may depend on, and nothing else.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, HeaderMap};

use crate::auth::Caller;
use crate::body::RequestBody;
use crate::config::settings::{BaseUrl, Credentials, Identity, Trust, Upstream, UpstreamTls};
use crate::prometheus::canonical::{Value, canonical};
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::form::Form;
use crate::proxy::enforce::{Enforced, ResponsePlan};
use crate::proxy::route::{Route, Target};
use crate::tenancy::TenantScope;

/// Part of the hash: another version of Partywall may confine or scrub differently.
const VERSION: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

/// A key's SHA-256 hash: neither queries nor tenants can be read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) struct KeyHash(pub(super) [u8; 32]);

/// The key of a cached response.
pub(super) struct CacheKey {
    pub(super) key: KeyHash,
    /// The name of the upstream.
    pub(super) upstream: Arc<str>,
}

/// Whether a client requires a fresh response (RFC 9111 §5.2.1).
pub(super) fn requires_fresh(headers: &HeaderMap) -> bool {
    has_directive(headers, &["no-store", "no-cache", "max-age=0"])
}

/// Whether an upstream forbids caching its response (RFC 9111 §5.2.2). Query frontends do so for
/// partial responses.
pub(super) fn forbids_caching(headers: &HeaderMap) -> bool {
    has_directive(headers, &["no-store", "no-cache", "private", "max-age=0"])
}

fn has_directive(headers: &HeaderMap, directives: &[&str]) -> bool {
    let mut values = headers.get_all(CACHE_CONTROL).iter();
    values.any(|value| {
        // A value that cannot be read may hold any directive.
        value.to_str().map_or(true, |text| {
            let mut all = text
                .split(',')
                .map(|directive| directive.trim().to_ascii_lowercase());
            all.any(|directive| {
                // `private="X-Header"` and the like forbid caching a part of it, and so all.
                let is = |word: &&str| directive.split('=').next() == Some(word);
                directives.contains(&directive.as_str()) || directives.iter().any(is)
            })
        })
    })
}

impl CacheKey {
    /// The key of a request; `None` if its responses are never cached.
    pub(super) fn of(route: &Route, caller: &Caller, enforced: &Enforced) -> Option<Self> {
        if !is_cacheable(&route.target)
            || !matches!(
                enforced.plan(),
                ResponsePlan::Scrub(_) | ResponsePlan::AllTenants
            )
        {
            return None;
        }
        let upstream = enforced.upstream();
        let mut hasher = KeyHasher::new();
        hasher.field(VERSION);
        hash_upstream(&mut hasher, upstream.settings());
        hash_scope(&mut hasher, caller)?;
        hash_request(&mut hasher, enforced.request())?;
        Some(Self {
            key: hasher.key()?,
            upstream: Arc::clone(upstream.name()),
        })
    }
}

/// Endpoints whose responses depend on their parameters and the data alone.
fn is_cacheable(target: &Target) -> bool {
    matches!(
        target,
        Target::ClusterQuery(_)
            | Target::Metrics(
                Endpoint::Query
                    | Endpoint::QueryRange
                    | Endpoint::Series
                    | Endpoint::Labels
                    | Endpoint::LabelValues(_)
            )
    )
}

/// The upstream, and our credentials there. A reload that changes any of it changes the key.
fn hash_upstream(hasher: &mut KeyHasher, upstream: &Upstream) {
    let Upstream {
        name,
        api: _,
        url: BaseUrl {
            https,
            authority,
            path,
        },
        // The response does not depend on the address clients use, nor on our timeouts.
        cluster: _,
        path_prefix: _,
        hosts: _,
        tls:
            UpstreamTls {
                trust,
                server_name,
                identity,
            },
        credentials,
        open_to_admins: _,
        timeouts: _,
        max_idle_connections: _,
        compressed_answers: _,
        health: _,
        // Requests in shadow mode are never looked up here.
        shadow: _,
    } = upstream;
    hasher.field(name.as_bytes());
    hasher.field([u8::from(*https)]);
    hasher.field(authority);
    hasher.field(path);
    match trust {
        Trust::System => hasher.field("system"),
        Trust::Anyone => hasher.field("anyone"),
        Trust::Only(certificates) => {
            hasher.field("only");
            hasher.list(certificates.iter());
        }
    }
    let server_name = server_name.as_ref().map(|name| name.to_str());
    hasher.list(server_name.iter().map(|name| name.as_bytes()));
    match identity {
        None => hasher.field("anonymous"),
        Some(Identity { chain, key: _ }) => {
            hasher.field("client_certificate");
            hasher.list(chain.certificates.iter());
        }
    }
    match credentials {
        Credentials::None => hasher.field("none"),
        Credentials::ForwardToken => hasher.field("token"),
        Credentials::Bearer(token) => {
            hasher.field("bearer");
            hasher.field(token.expose());
        }
        Credentials::Basic { username, password } => {
            hasher.field("basic");
            hasher.field(username);
            hasher.field(password.expose());
        }
    }
}

/// The caller's scope, as the matchers that confine it: sorted, each in one spelling.
fn hash_scope(hasher: &mut KeyHasher, caller: &Caller) -> Option<()> {
    match caller.scope().ok()? {
        TenantScope::AllTenants => hasher.field("all"),
        TenantScope::Tenants(tenants) => {
            hasher.field("tenants");
            hasher.field(tenants.metrics().ok()?.promql());
        }
    }
    Some(())
}

/// The request that would be forwarded. The only header that affects the upstream's response is
/// `Accept`; the others that are forwarded identify the caller or the trace.
fn hash_request(hasher: &mut KeyHasher, request: &Request<RequestBody>) -> Option<()> {
    let uri = request.uri();
    hasher.field(uri.path());
    hasher.list(request.headers().get_all(ACCEPT).iter());
    let body = match request.body() {
        RequestBody::Empty => Bytes::new(),
        RequestBody::Whole(body) => body.clone().unwrap_or_default(),
        RequestBody::Streamed(_) | RequestBody::Resumed(_) => return None,
    };
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes()).ok()?;
    let form = form.merge(Form::parse(&body).ok()?).ok()?;
    for (name, value) in canonical(&form) {
        hasher.field(name);
        match value {
            Value::Seconds(bits) => {
                hasher.field("seconds");
                hasher.field(bits.to_be_bytes());
            }
            Value::Text(value) => {
                hasher.field("text");
                hasher.field(value);
            }
        }
    }
    Some(())
}

/// Hashes fields, each after its length, so that no two lists of fields have the same input.
pub(in crate::proxy) struct KeyHasher(Context);

impl KeyHasher {
    pub(in crate::proxy) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(in crate::proxy) fn field(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        self.0.update(&(field.len() as u64).to_be_bytes());
        self.0.update(field);
    }

    fn list<T: AsRef<[u8]>>(&mut self, fields: impl IntoIterator<Item = T>) {
        let fields: Vec<T> = fields.into_iter().collect();
        self.0.update(&(fields.len() as u64).to_be_bytes());
        for field in fields {
            self.field(field);
        }
    }

    pub(in crate::proxy) fn key(self) -> Option<KeyHash> {
        self.0.finish().as_ref().try_into().ok().map(KeyHash)
    }
}
