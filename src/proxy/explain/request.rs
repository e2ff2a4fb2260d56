//! A request as an operator writes it: a line such as `GET /api/v1/query?query=up`, a query alone,
//! or both.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::config::settings::{Api, Settings};
use crate::traceql;

/// A request to explain, and its caller.
pub struct ExplainRequest {
    pub(super) identity: Identity,
    pub(super) request: Request<Bytes>,
    /// The request as it is shown, without any headers.
    pub(super) shown: String,
}

/// The caller.
#[derive(Clone)]
pub enum Identity {
    /// The caller of the token in the request's headers; the token is verified.
    Token,
    /// A caller with these claims; nothing is verified.
    Claims {
        /// One of `tokens.issuers`.
        issuer: Arc<str>,
        /// As in a token.
        claims: Map<String, Value>,
    },
}

/// Why the request cannot be explained.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ExplainRequestError {
    /// Neither a request nor a query.
    #[error("nothing to explain: give a query, a request, or both")]
    Nothing,
    /// An invalid request line.
    #[error("`{0}` is not a request: write it as GET /api/v1/query?query=up")]
    Request(String),
    /// An invalid header.
    #[error("a header is not valid: write it as `Name: value`")]
    Header,
    /// A token that no header can hold.
    #[error("the token has characters that a header cannot carry")]
    Token,
    /// Claims of an issuer that is not configured.
    #[error(
        "the issuer {given} is not in tokens.issuers, so none of its tokens is trusted; there is \
         {known}"
    )]
    Issuer {
        /// The issuer that was given.
        given: String,
        /// The configured issuers.
        known: String,
    },
    /// Several issuers, and none was given.
    #[error("the claims name no `iss`: say which issuer's they are; there is {known}")]
    NoIssuer {
        /// The configured issuers.
        known: String,
    },
}

/// The media type of posts to Alertmanager.
pub(super) const JSON: &str = "application/json";

/// The host of the request unless a header sets another: no upstream's `hosts` can name it (RFC
/// 2606).
const UNKNOWN_HOST: &str = "explain.invalid";

impl ExplainRequest {
    /// Parses a request line, a query or both; the query becomes a parameter of the request, or the body
    /// of a post to Alertmanager. A query alone is an instant query of the metrics API, a search (for a metrics query: a range query)
    /// of the traces API, or a filter of Alertmanager's alerts.
    pub fn new(
        settings: &Settings,
        request: Option<&str>,
        query: Option<&str>,
        api: Option<Api>,
    ) -> Result<Self, ExplainRequestError> {
        let line = match (request, query) {
            (None, None) => return Err(ExplainRequestError::Nothing),
            (Some(line), _) => line.to_owned(),
            (None, Some(query)) => format!("GET {}", usual_path(settings, query, api)),
        };
        let (method, mut target) = read_line(&line)?;
        let shown = format!("{method} {target}");
        let mut body = Bytes::new();
        let mut builder = Request::builder().header(HOST, UNKNOWN_HOST);
        if let Some(query) = query {
            let escaped = utf8_percent_encode(query, NON_ALPHANUMERIC);
            let pair = format!("{}={escaped}", parameter_of(&target));
            if method == Method::POST && takes_json(&target) {
                body = Bytes::copy_from_slice(query.as_bytes());
                builder = builder.header(CONTENT_TYPE, JSON);
            } else if method == Method::POST {
                body = pair.into();
                builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            } else {
                let separator = if target.contains('?') { '&' } else { '?' };
                target = format!("{target}{separator}{pair}");
            }
        }
        let request = builder
            .method(method)
            .uri(target)
            .body(body)
            .map_err(|_| ExplainRequestError::Request(line))?;
        Ok(Self {
            identity: Identity::Token,
            request,
            shown,
        })
    }

    /// Sets the caller.
    #[must_use]
    pub fn asked_by(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Adds a header, written as `Name: value`.
    pub fn with_header(mut self, line: &str) -> Result<Self, ExplainRequestError> {
        let (name, value) = line.split_once(':').ok_or(ExplainRequestError::Header)?;
        let name: HeaderName = name
            .trim()
            .parse()
            .map_err(|_| ExplainRequestError::Header)?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| ExplainRequestError::Header)?;
        self.request.headers_mut().insert(name, value);
        Ok(self)
    }

    /// Adds a token, in the first header of `tokens.sources`.
    pub fn with_token(
        mut self,
        settings: &Settings,
        token: &str,
    ) -> Result<Self, ExplainRequestError> {
        let Some(source) = settings.tokens.sources.first() else {
            return Ok(self);
        };
        let name: HeaderName = source
            .header
            .parse()
            .map_err(|_| ExplainRequestError::Header)?;
        let value = match &source.scheme {
            Some(scheme) => format!("{scheme} {token}"),
            None => token.to_owned(),
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| ExplainRequestError::Token)?;
        value.set_sensitive(true);
        self.request.headers_mut().insert(name, value);
        Ok(self)
    }
}

impl Identity {
    /// A caller with these claims. The issuer is the one given, or the claims' own `iss`, or the
    /// only one configured.
    pub fn claimed(
        settings: &Settings,
        issuer: Option<&str>,
        claims: Map<String, Value>,
    ) -> Result<Self, ExplainRequestError> {
        let issuers = &settings.tokens.issuers;
        let known = || {
            let names: Vec<&str> = issuers.iter().map(|known| &*known.issuer).collect();
            names.join(", ")
        };
        let named = issuer.or_else(|| claims.get("iss").and_then(Value::as_str));
        let issuer = match (named, issuers.as_slice()) {
            (None, [only]) => &only.issuer,
            (None, _) => return Err(ExplainRequestError::NoIssuer { known: known() }),
            (Some(named), all) => all
                .iter()
                .map(|known| &known.issuer)
                .find(|known| &***known == named)
                .ok_or_else(|| ExplainRequestError::Issuer {
                    given: named.to_owned(),
                    known: known(),
                })?,
        };
        let issuer = Arc::clone(issuer);
        Ok(Self::Claims { issuer, claims })
    }
}

/// The endpoint that a query alone is sent to.
fn usual_path(settings: &Settings, query: &str, api: Option<Api>) -> &'static str {
    let has = |api| {
        settings
            .upstreams
            .iter()
            .any(|upstream| upstream.api == api)
    };
    let api = api.unwrap_or_else(|| {
        let apis = [Api::Prometheus, Api::Tempo, Api::Alertmanager];
        apis.into_iter()
            .find(|api| has(*api))
            .unwrap_or(Api::Prometheus)
    });
    match api {
        Api::Prometheus => "/api/v1/query",
        Api::Tempo if traceql::is_metrics(query) => "/api/metrics/query_range",
        Api::Tempo => "/api/search",
        Api::Alertmanager => "/api/v2/alerts",
    }
}

/// The parameter that holds the query at this path.
fn parameter_of(target: &str) -> &'static str {
    let path = target.split('?').next().unwrap_or_default();
    let is_metrics = path.contains("/api/v1/");
    match path.rsplit('/').next().unwrap_or_default() {
        "query" | "query_range" | "query_exemplars" | "parse_query" | "format_query"
            if is_metrics =>
        {
            "query"
        }
        "federate" => "match[]",
        "alerts" | "groups" | "silences" if path.contains("/api/v2/") => "filter",
        _ if is_metrics => "match[]",
        _ => "q",
    }
}

/// Whether posts to this path have a body of JSON: alerts and silences.
fn takes_json(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    ["/api/v2/alerts", "/api/v2/silences"]
        .iter()
        .any(|known| path.ends_with(known))
}

/// `GET /path?query`, or the target alone. What a URL cannot contain is escaped, so that a query
/// may be written plainly.
fn read_line(line: &str) -> Result<(Method, String), ExplainRequestError> {
    /// An odd path is left as it is: that is what is to be explained.
    const IN_PATH: &AsciiSet = &CONTROLS.add(b' ');
    const IN_QUERY: &AsciiSet = &IN_PATH
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    let refuse = || ExplainRequestError::Request(line.to_owned());
    let line = line.trim();
    let (method, target) = match line.split_once(' ') {
        _ if line.starts_with('/') => (Method::GET, line),
        Some((method, target)) => (method.parse().map_err(|_| refuse())?, target.trim_start()),
        None => return Err(refuse()),
    };
    if !target.starts_with('/') {
        return Err(refuse());
    }
    let target = match target.split_once('?') {
        None => utf8_percent_encode(target, IN_PATH).to_string(),
        Some((path, query)) => format!(
            "{}?{}",
            utf8_percent_encode(path, IN_PATH),
            utf8_percent_encode(query, IN_QUERY)
        ),
    };
    Ok((method, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<String> {
        let read = read_line(text).ok();
        read.map(|(method, target)| format!("{method} {target}"))
    }

    #[test]
    fn request_may_be_written_unescaped() {
        assert_eq!(line("/api/v1/rules").as_deref(), Some("GET /api/v1/rules"));
        assert_eq!(
            line("POST /api/v1/query?query=up{a=\"b c\"}").as_deref(),
            Some("POST /api/v1/query?query=up%7Ba=%22b%20c%22%7D")
        );
        assert_eq!(
            line("GET /api/v1/label/é/values").as_deref(),
            Some("GET /api/v1/label/%C3%A9/values")
        );
        for bad in ["", "GET", "up", "GET api/v1", "G T /x", "http://h/x"] {
            assert_eq!(line(bad), None, "{bad}");
        }
    }

    #[test]
    fn query_becomes_the_parameter_of_its_endpoint() {
        for (path, parameter) in [
            ("/api/v1/query", "query"),
            ("/clusters/eu/api/v1/query_range?start=1", "query"),
            ("/api/v1/series", "match[]"),
            ("/api/v1/label/job/values", "match[]"),
            ("/federate", "match[]"),
            ("/api/search", "q"),
            ("/api/metrics/query_range", "q"),
            ("/api/v2/search/tags", "q"),
            ("/api/v2/alerts/groups", "filter"),
            ("/api/v2/silences", "filter"),
        ] {
            assert_eq!(parameter_of(path), parameter, "{path}");
        }
    }
}
