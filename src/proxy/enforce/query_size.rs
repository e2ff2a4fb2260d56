//! Bounds every forwarded query text, for all callers: callers with all tenants can overload
//! the store just as well.

use bytes::Bytes;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderMap};

use super::input;
use crate::body::ClientBody;
use crate::config::settings::Api;
use crate::grpc::method::Method as GrpcMethod;
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::form::Form;
use crate::prometheus::params::table::{self, Policy};
use crate::prometheus::remote_read;
use crate::promql;
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::query_size::{Limits, Oversize, Size};
use crate::reason::Reason;
use crate::tempo::endpoints::Endpoint as TracesEndpoint;
use crate::tempo::params::table::SEARCH;
use crate::tempo::requests::{self, Text};
use crate::traceql;

/// Parameters of endpoints in no table that may hold a query or selector.
const QUERY_NAMES: [&str; 5] = ["query", "match[]", "match_target", "q", "expr"];

/// Checks the texts of a call of the metrics API.
pub(super) fn metrics(
    context: &RequestContext,
    endpoint: &Endpoint,
    form: &Form<'_>,
) -> Result<(), ProxyError> {
    let listed = table::of(endpoint);
    let policy = |name: &str| listed.find(name).map(|(_, policy)| *policy);
    let mut texts = Texts::new(context);
    for (name, value) in form.iter() {
        match policy(name) {
            Some(Policy::Query) => texts.one(value, promql::measure)?,
            Some(Policy::PrintedQuery) => texts.printed(value)?,
            Some(Policy::Selectors | Policy::Selector | Policy::CheckedSelectors) => {
                texts.one_of_several(value, promql::measure)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the matchers of a remote read, decoded.
pub(super) fn remote_read(context: &RequestContext, message: &[u8]) -> Result<(), ProxyError> {
    let mut texts = Texts::new(context);
    let sizes = remote_read::sizes(message).map_err(|error| super::guard::refused_read(&error))?;
    sizes.iter().try_for_each(|size| texts.add(size))
}

/// Checks the texts of a call of the traces API.
pub(super) fn traces(
    context: &RequestContext,
    endpoint: &TracesEndpoint,
    form: &Form<'_>,
) -> Result<(), ProxyError> {
    let mut texts = Texts::new(context);
    let mut has_query = false;
    for (name, value) in form.iter() {
        match name {
            "q" | "query" => texts.one(value, traceql::measure)?,
            "tags" => texts.one(value, traceql::measure_tags)?,
            _ => continue,
        }
        has_query |= !value.is_empty();
    }
    // Without a query, a search treats unknown parameters as tags.
    if has_query || *endpoint != TracesEndpoint::Search {
        return Ok(());
    }
    form.iter()
        .filter(|(name, _)| SEARCH.iter().all(|(listed, _)| listed != name))
        .try_for_each(|(name, value)| texts.add(&traceql::measure_tag(name, value)))
}

/// Checks the texts of a gRPC call of the traces API.
pub(super) fn grpc(
    context: &RequestContext,
    method: GrpcMethod,
    message: &[u8],
) -> Result<(), ProxyError> {
    let mut texts = Texts::new(context);
    requests::texts(method, message, |text| match text {
        Text::Query(query) => texts.one(query, traceql::measure),
        Text::Tag(name, value) => texts.add(&traceql::measure_tag(name, value)),
    })
    .map_err(|unreadable| {
        ProxyError::new(ErrorKind::BadRequest, unreadable.to_string()).because(Reason::Parameters)
    })?
}

/// Whether the body of a request to a closed endpoint is a form, and so has to be buffered. Forms
/// of other types are refused.
pub(super) fn is_form(headers: &HeaderMap) -> Result<bool, ProxyError> {
    let may_be_form = may_be_form(headers);
    if may_be_form {
        input::expect_form(headers)?;
    }
    Ok(may_be_form)
}

/// Checks a request to a closed endpoint, of which nothing but its form is known.
pub(super) fn closed(
    context: &RequestContext,
    api: Api,
    request: Request<ClientBody>,
) -> Result<Request<ClientBody>, ProxyError> {
    let (head, mut body) = request.into_parts();
    let mut read = Bytes::new();
    if is_form(&head.headers)? {
        read = input::whole(body)?;
        body = ClientBody::Buffered(read.clone());
    }
    let mut texts = Texts::new(context);
    let measure = match api {
        Api::Prometheus | Api::Alertmanager => promql::measure,
        Api::Tempo => traceql::measure,
    };
    for (name, value) in input::parameters(&head, &read)?.iter() {
        if QUERY_NAMES.contains(&name) {
            texts.one_of_several(value, measure)?;
        }
    }
    Ok(Request::from_parts(head, body))
}

/// Whether Go parses parameters from a body of this type, whatever the method.
fn may_be_form(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        let found = |word| memchr::memmem::find(&value, word).is_some();
        found(b"form-urlencoded") || found(b"multipart")
    })
}

/// The texts of one request.
struct Texts {
    limits: Limits,
    /// The total of the texts that the store evaluates together.
    total: Size,
}

impl Texts {
    fn new(context: &RequestContext) -> Self {
        Self {
            limits: context.rules.query_limits(),
            total: Size::default(),
        }
    }

    /// Checks a text that is counted alone. If it is repeated, each is checked alone: the store
    /// uses only one.
    fn one(&self, text: &str, measure: fn(&str) -> Size) -> Result<(), ProxyError> {
        self.limits.check(text, measure).map_err(refused).map(drop)
    }

    /// Checks a query that is printed, not evaluated.
    fn printed(&self, text: &str) -> Result<(), ProxyError> {
        let size = self.limits.check(text, promql::measure).map_err(refused)?;
        self.limits.check_print(&size).map_err(refused)
    }

    /// Checks a text of a list, all of which the store evaluates.
    fn one_of_several(&mut self, text: &str, measure: fn(&str) -> Size) -> Result<(), ProxyError> {
        let size = self.limits.check(text, measure).map_err(refused)?;
        self.total.nodes = self.total.nodes.saturating_add(size.nodes);
        self.limits.check_nodes(self.total.nodes).map_err(refused)
    }

    /// Adds a part of what the store evaluates as one text.
    fn add(&mut self, size: &Size) -> Result<(), ProxyError> {
        self.total.bytes = self.total.bytes.saturating_add(size.bytes);
        self.total.nodes = self.total.nodes.saturating_add(size.nodes);
        self.limits.check_bytes(self.total.bytes).map_err(refused)?;
        self.limits.check_nodes(self.total.nodes).map_err(refused)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refused(oversize: Oversize) -> ProxyError {
    ProxyError::new(ErrorKind::Unprocessable, oversize.to_string()).because(oversize.reason())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// Go reads the first of several types; what is behind an upstream's own proxy may read another.
    #[test]
    fn form_of_several_types_is_buffered_only_if_all_are_forms() {
        const FORM: &str = "application/x-www-form-urlencoded";
        const PARTS: &str = "multipart/form-data; boundary=b";
        let is_form = |types: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            is_form(&headers).ok()
        };
        assert_eq!(is_form(&[]), Some(false));
        assert_eq!(is_form(&["text/plain", "application/json"]), Some(false));
        assert_eq!(is_form(&[FORM]), Some(true));
        assert_eq!(is_form(&[FORM, FORM]), Some(true));
        for refused in [
            &[PARTS][..],
            &[FORM, "text/plain"],
            &["text/plain", FORM],
            &["text/plain", PARTS],
            &[FORM, PARTS],
        ] {
            assert_eq!(is_form(refused), None, "{refused:?}");
        }
    }
}
