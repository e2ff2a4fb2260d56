//! An upstream that answers as a Tempo did when its answers were recorded, over HTTP/1.1 and
//! gRPC, and records what it is asked, health checks aside.
//!
//! The recordings are of the tenants `A` and `B`: traces 1 and c are A's, 2 is B's, 3 and 4 hold
//! spans of both (the root of 3 is B's), 5 says nothing of a tenant, 7 says `A` and `B` at once.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::grpc::frame;
use super::otlp::{AnyValue, attribute, list, text};
use super::tempo_messages::{FoundTrace, SearchResponse, SpanSet, Twin, decode};
use super::tempo_own_spans::{is_own_spans_query, own_spans_response};
use super::upstream::{Seen, is_health_check};

/// Of the recorded traces: the end of the id, and what their spans say about their tenants.
pub const TRACES: [(&str, &str, &[&str]); 6] = [
    ("1", "A-only", &["A"]),
    ("2", "B-only", &["B"]),
    ("3", "mixed-B-root", &["A", "B"]),
    ("4", "mixed-A-root", &["A", "B"]),
    ("5", "untagged", &[]),
    ("7", "dup-keys", &["B", "A"]),
];

/// The id of a recorded trace by its last digit.
pub fn trace_id(end: &str) -> String {
    format!("0abc{end:0>28}")
}

#[derive(Clone, Debug)]
pub struct TempoReply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// gRPC's.
    pub trailers: Vec<(&'static str, String)>,
    pub after: Duration,
}

impl TempoReply {
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = match content_type {
            "" => Vec::new(),
            content_type => vec![("content-type", content_type.to_owned())],
        };
        Self {
            status,
            headers,
            body: body.into(),
            trailers: Vec::new(),
            after: Duration::ZERO,
        }
    }

    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(200, "application/json", body)
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.to_owned())
    }

    /// A call's answer: messages, then the status.
    pub fn grpc(messages: &[Vec<u8>], code: u8, message: &str) -> Self {
        let body: Vec<u8> = messages.iter().flat_map(|m| frame(0, m)).collect();
        let mut reply = Self::new(200, "application/grpc", body);
        reply.trailers.push(("grpc-status", code.to_string()));
        if !message.is_empty() {
            reply.trailers.push(("grpc-message", message.to_owned()));
        }
        reply
    }
}

type Rule = Box<dyn Fn(&Seen) -> Option<TempoReply> + Send>;

struct State {
    seen: Mutex<Vec<Seen>>,
    rules: Mutex<Vec<Rule>>,
    pieces: AtomicUsize,
    without_org_id: AtomicU16,
}

pub struct TempoUpstream {
    pub url: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl TempoUpstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(State {
            seen: Mutex::default(),
            rules: Mutex::default(),
            pieces: AtomicUsize::new(1),
            without_org_id: AtomicU16::new(401),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { url, state, server }
    }

    /// Overrules the recorded answers; the newest rule first.
    pub fn rule(&self, rule: impl Fn(&Seen) -> Option<TempoReply> + Send + 'static) {
        let mut rules = self.state.rules.lock().expect("no panic");
        rules.insert(0, Box::new(rule));
    }

    /// All requests to `path` are answered so.
    pub fn reply(&self, path: &str, reply: TempoReply) {
        let path = path.to_owned();
        self.rule(move |seen| (seen.path() == path).then(|| reply.clone()));
    }

    /// With what it answers the proxy's own question whether a request needs `X-Scope-OrgID`: 401
    /// with multitenancy, 200 without.
    pub fn without_org_id(&self, status: u16) {
        self.state.without_org_id.store(status, Ordering::Relaxed);
    }

    /// In how many pieces bodies are sent from now on.
    pub fn pieces(&self, count: usize) {
        self.state.pieces.store(count, Ordering::Relaxed);
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.seen.lock().expect("no panic"))
    }

    pub fn take_one(&self) -> Seen {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "expected one forwarded request: {seen:#?}");
        seen.remove(0)
    }
}

impl Drop for TempoUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Whether it is one of the proxy's own searches for the traces of a page.
pub fn is_side_search(seen: &Seen) -> bool {
    seen.path() == "/api/search" && seen.param("q").iter().any(|q| q.contains("trace:id"))
}

/// Whether it is the search for whom a page's traces belong to.
pub fn is_ownership_query(seen: &Seen) -> bool {
    let q = seen.param("q");
    is_side_search(seen) && q.iter().any(|q| q.starts_with("{ trace:id"))
}

pub fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/tempo/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

/// The messages of a recorded stream: each with four bytes of length before it.
pub fn recorded_stream(name: &str) -> Vec<Vec<u8>> {
    let recorded = fixture(name);
    let mut rest = &recorded[..];
    let mut messages = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("64 bits");
        let (message, after) = after.split_at(length);
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

/// The answer to a search of the proxy's own.
pub fn side_search_response(seen: &Seen) -> TempoReply {
    if is_own_spans_query(seen) {
        own_spans_response(seen)
    } else {
        TempoReply::new(200, "application/protobuf", ownership_response(seen))
    }
}

/// The same answer as Tempo before 2.10 gives it, whatever is asked for.
pub fn in_json<M: Twin>(reply: &TempoReply) -> TempoReply {
    TempoReply::json(decode::<M>(&reply.body).json().to_string())
}

/// Whether it asks for the names that Tempo lists whatever the filter.
pub fn is_unfiltered_names(seen: &Seen) -> bool {
    let queries = seen.param("q").concat();
    seen.path() == "/api/v2/search/tags"
        && queries.starts_with("{ resource.service.name = \"nothing-")
}

fn recorded(seen: &Seen) -> TempoReply {
    let accept = seen.header("accept").unwrap_or_default();
    let is_protobuf = accept.contains("application/protobuf");
    let either = |name: &str| {
        if is_protobuf {
            TempoReply::new(
                200,
                "application/protobuf",
                fixture(&format!("{name}-proto.pb")),
            )
        } else {
            TempoReply::json(fixture(&format!("{name}.json")))
        }
    };
    let path = seen.path();
    match path {
        "/api/search" if is_side_search(seen) => side_search_response(seen),
        "/api/search" => either("search-tenantA"),
        "/api/search/tags" => either("tags-v1-raw"),
        "/api/v2/search/tags" if is_unfiltered_names(seen) => {
            TempoReply::new(200, "application/protobuf", "")
        }
        "/api/v2/search/tags" => either("tags-v2-tenantA"),
        "/api/metrics/query_range" => TempoReply::json(fixture("metrics-range-tenantA.json")),
        "/api/metrics/query" => TempoReply::json(fixture("metrics-instant-tenantA.json")),
        "/api/echo" => TempoReply::text(200, "echo"),
        "/ready" => TempoReply::text(200, "ready\n"),
        "/api/status/buildinfo" => TempoReply::json(r#"{"version":"3.0.3","goVersion":"go1"}"#),
        "/grpc.health.v1.Health/Check" => TempoReply::grpc(&[vec![8, 1]], 0, ""),
        _ => {
            if let Some(call) = path.strip_prefix("/tempopb.StreamingQuerier/") {
                let name = match call {
                    "SearchTags" | "SearchTagValues" => panic!("{call} is never filtered"),
                    call => format!("grpc-http-port-{call}-tenantA.bin"),
                };
                return TempoReply::grpc(&recorded_stream(&name), 0, "");
            }
            if let Some(id) = path.strip_prefix("/api/traces/") {
                return trace("v1", id, is_protobuf);
            }
            if let Some(id) = path.strip_prefix("/api/v2/traces/") {
                return trace("v2", id, is_protobuf);
            }
            if path.starts_with("/api/v2/search/tag/") {
                return either("tagvalues-v2-tenantA");
            }
            if path.starts_with("/api/search/tag/") {
                return either("tagvalues-v1-raw");
            }
            TempoReply::text(404, "404 page not found\n")
        }
    }
}

fn trace(version: &str, id: &str, is_protobuf: bool) -> TempoReply {
    let id = format!("{:0>32}", id.to_ascii_lowercase());
    let (suffix, content_type) = if is_protobuf {
        ("-proto.pb", "application/protobuf")
    } else {
        (".json", "application/json")
    };
    match TRACES.iter().find(|(end, ..)| trace_id(end) == id) {
        Some((_, name, _)) => {
            let name = format!("trace-{version}-{name}{suffix}");
            TempoReply::new(200, content_type, fixture(&name))
        }
        None if version == "v1" => TempoReply::new(404, "", ""),
        None => TempoReply::new(
            200,
            content_type,
            fixture(&format!("trace-v2-notfound{suffix}")),
        ),
    }
}

/// The groups of each trace it asks for, as `by(resource.tenant_id)` gives them.
fn ownership_response(seen: &Seen) -> Vec<u8> {
    let query = seen.param("q").concat();
    let asked: Vec<&str> = query.split('"').skip(1).step_by(2).collect();
    let groups = |id: &str| -> Option<Vec<AnyValue>> {
        let end = id
            .trim_start_matches('0')
            .trim_start_matches("abc")
            .trim_start_matches('0');
        match end {
            "8" => Some(vec![list(&["A", "B"])]),
            "8a" => Some(vec![list(&["A"])]),
            "c" => Some(vec![text("A")]),
            end => {
                let known = TRACES.iter().find(|(known, ..)| *known == end);
                known.map(|(_, _, tenants)| tenants.iter().map(|t| text(t)).collect())
            }
        }
    };
    let trace = |id: &&str| -> Option<FoundTrace> {
        let set = |value: AnyValue| SpanSet {
            attributes: vec![attribute("by(resource.tenant_id)", value)],
            matched: 1,
            ..SpanSet::default()
        };
        Some(FoundTrace {
            id: (*id).to_owned(),
            span_sets: groups(id)?.into_iter().map(set).collect(),
            ..FoundTrace::default()
        })
    };
    let traces = asked.iter().filter_map(trace).collect();
    SearchResponse {
        traces,
        metrics: None,
    }
    .encode_to_vec()
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(request, Arc::clone(&state)));
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn serve(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    if is_health_check(&head.headers) {
        let is_without_org_id =
            head.uri.path() != "/ready" && !head.headers.contains_key("x-scope-orgid");
        let (status, text) = if is_without_org_id {
            let status = state.without_org_id.load(Ordering::Relaxed);
            (status, if status == 401 { "no org id\n" } else { "{}" })
        } else {
            (200, "")
        };
        let body = Full::from(text).map_err(|never| match never {});
        let answer = Response::builder().status(status);
        return Ok(answer.body(BodyExt::boxed_unsync(body))?);
    }
    let body = body.collect().await?;
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let seen = Seen {
        method: head.method,
        target: target.to_owned(),
        headers: head.headers,
        trailers: body.trailers().cloned(),
        body: body.to_bytes(),
    };
    let reply = {
        let rules = state.rules.lock().expect("no panic");
        let reply = rules.iter().find_map(|rule| rule(&seen));
        reply.unwrap_or_else(|| recorded(&seen))
    };
    state.seen.lock().expect("no panic").push(seen);
    tokio::time::sleep(reply.after).await;
    let mut answer = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        answer = answer.header(*name, value);
    }
    let mut trailers = HeaderMap::new();
    for (name, value) in reply.trailers {
        trailers.insert(name, value.parse()?);
    }
    let size = reply
        .body
        .len()
        .div_ceil(state.pieces.load(Ordering::Relaxed));
    let pieces = reply.body.chunks(size.max(1)).map(Bytes::copy_from_slice);
    let mut frames: Vec<Frame<Bytes>> = pieces.map(Frame::data).collect();
    if !trailers.is_empty() {
        frames.push(Frame::trailers(trailers));
    }
    let one_by_one = futures_util::stream::iter(frames).then(|frame| async {
        // A pause, so that each is read by itself.
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(frame)
    });
    let body = StreamBody::new(one_by_one);
    Ok(answer.body(BodyExt::boxed_unsync(body))?)
}
