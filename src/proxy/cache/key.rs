//! What is asked, as a key: everything that the answer may depend on, and nothing else.

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

/// Of what is hashed. Another version of Partywall may confine or scrub in another way.
const VERSION: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

/// A key by its hash (SHA-256): neither queries nor tenants can be read in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyHash(pub(super) [u8; 32]);

/// What a cached answer is found by.
pub(super) struct CacheKey {
    pub(super) key: KeyHash,
    /// The name of the upstream.
    pub(super) upstream: Arc<str>,
}

/// Whether a client asks for a fresh answer (RFC 9111 §5.2.1).
pub(super) fn asks_for_fresh(headers: &HeaderMap) -> bool {
    says(headers, &["no-store", "no-cache", "max-age=0"])
}

/// Whether an upstream forbids that its answer is cached (RFC 9111 §5.2.2). Query frontends say so of
/// partial answers.
pub(super) fn forbids_caching(headers: &HeaderMap) -> bool {
    says(headers, &["no-store", "no-cache", "private", "max-age=0"])
}

fn says(headers: &HeaderMap, directives: &[&str]) -> bool {
    let mut values = headers.get_all(CACHE_CONTROL).iter();
    values.any(|value| {
        // What cannot be read may say so.
        value.to_str().map_or(true, |text| {
            let mut all = text
                .split(',')
                .map(|directive| directive.trim().to_ascii_lowercase());
            all.any(|directive| {
                // `private="X-Header"` and the like forbid a part, and so all.
                let is = |word: &&str| directive.split('=').next() == Some(word);
                directives.contains(&directive.as_str()) || directives.iter().any(is)
            })
        })
    })
}

impl CacheKey {
    /// What a request asks; `None` where no answer to it is ever cached.
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
        let mut text = Text::new();
        text.field(VERSION);
        to_whom(&mut text, upstream.settings());
        for_whom(&mut text, caller)?;
        what(&mut text, enforced.request())?;
        Some(Self {
            key: text.key()?,
            upstream: Arc::clone(upstream.name()),
        })
    }
}

/// Calls whose answers depend on their parameters and the data alone.
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

/// The upstream, and as whom it knows us. A reload that changes any of it asks other questions.
fn to_whom(text: &mut Text, upstream: &Upstream) {
    let Upstream {
        name,
        api: _,
        url: BaseUrl {
            https,
            authority,
            path,
        },
        // Where clients find it, and how long we wait for it, is nothing to it.
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
        // What shadow mode lets through never comes here.
        shadow: _,
    } = upstream;
    text.field(name.as_bytes());
    text.field([u8::from(*https)]);
    text.field(authority);
    text.field(path);
    match trust {
        Trust::System => text.field("system"),
        Trust::Anyone => text.field("anyone"),
        Trust::Only(certificates) => {
            text.field("only");
            text.list(certificates.iter());
        }
    }
    let server_name = server_name.as_ref().map(|name| name.to_str());
    text.list(server_name.iter().map(|name| name.as_bytes()));
    match identity {
        None => text.field("nobody"),
        Some(Identity { chain, key: _ }) => {
            text.field("somebody");
            text.list(chain.certificates.iter());
        }
    }
    match credentials {
        Credentials::None => text.field("none"),
        Credentials::ForwardToken => text.field("token"),
        Credentials::Bearer(token) => {
            text.field("bearer");
            text.field(token.expose());
        }
        Credentials::Basic { username, password } => {
            text.field("basic");
            text.field(username);
            text.field(password.expose());
        }
    }
}

/// The caller's scope, by the matchers that confine it: sorted, each in one spelling.
fn for_whom(text: &mut Text, caller: &Caller) -> Option<()> {
    match caller.scope().ok()? {
        TenantScope::AllTenants => text.field("all"),
        TenantScope::Tenants(tenants) => {
            text.field("tenants");
            text.field(tenants.metrics()?.promql());
        }
    }
    Some(())
}

/// What goes up. Of its headers an upstream reads `Accept` alone for its answer; the others that go
/// up tell it who asks and trace the call.
fn what(text: &mut Text, request: &Request<RequestBody>) -> Option<()> {
    let uri = request.uri();
    text.field(uri.path());
    text.list(request.headers().get_all(ACCEPT).iter());
    let body = match request.body() {
        RequestBody::Empty => Bytes::new(),
        RequestBody::Whole(body) => body.clone().unwrap_or_default(),
        RequestBody::Streamed(_) | RequestBody::Resumed(_) => return None,
    };
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes()).ok()?;
    let form = form.merge(Form::parse(&body).ok()?).ok()?;
    for (name, value) in canonical(&form) {
        text.field(name);
        match value {
            Value::Seconds(bits) => {
                text.field("seconds");
                text.field(bits.to_be_bytes());
            }
            Value::Text(value) => {
                text.field("text");
                text.field(value);
            }
        }
    }
    Some(())
}

/// A text of fields, none of which can run into the next.
struct Text(Context);

impl Text {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn field(&mut self, field: impl AsRef<[u8]>) {
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

    fn key(self) -> Option<KeyHash> {
        self.0.finish().as_ref().try_into().ok().map(KeyHash)
    }
}
