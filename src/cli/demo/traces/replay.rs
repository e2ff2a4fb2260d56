//! Answers of a real Tempo, given again. It knows the requests that were recorded, by path and
//! query, and no others.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;

use super::spans::Ids;
use crate::cli::demo::Failure;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";

/// A request, and what it was answered.
pub(super) struct Recording {
    path: &'static str,
    pub(super) query: Option<String>,
    pub(super) accept: &'static str,
    #[cfg_attr(not(test), allow(dead_code, reason = "only to record anew"))]
    pub(super) file: &'static str,
    answer: &'static [u8],
}

impl Recording {
    /// The path with the traces' ids in it.
    pub(super) fn path_of(&self, ids: &Ids) -> String {
        self.path
            .replace("{globex}", &ids.globex)
            .replace("{shared}", &ids.shared)
    }
}

macro_rules! recording {
    ($path:expr, $query:expr, $accept:expr, $file:literal) => {
        Recording {
            path: $path,
            query: $query,
            accept: $accept,
            file: $file,
            answer: include_bytes!(concat!("recorded/", $file)),
        }
    };
}

/// All there are. The queries are those that the proxy sends.
pub(super) fn recordings() -> [Recording; 8] {
    const SEARCH: &str = "/api/search";
    let ids = Ids::recorded();
    let confined = |tenant: &str, query: &str| {
        Some(format!("{{ resource.tenant_id = \"{tenant}\" }} | {query}"))
    };
    let companion = |own: &str| {
        let id = |id: &str| format!("trace:id = \"{}\"", id.trim_start_matches('0'));
        let ids = format!("{} || {}", id(own), id(&ids.shared));
        Some(format!("{{ {ids} }} | by(resource.tenant_id)"))
    };
    let foreign = r#"{ resource.tenant_id = "globex" }"#;
    [
        recording!(SEARCH, Some("{}".to_owned()), JSON, "all.json"),
        recording!(SEARCH, confined("acme", "{}"), JSON, "acme.json"),
        recording!(SEARCH, confined("globex", "{}"), JSON, "globex.json"),
        recording!(SEARCH, confined("acme", foreign), JSON, "acme-foreign.json"),
        recording!(SEARCH, companion(&ids.acme), PROTOBUF, "acme-companion.pb"),
        recording!(
            SEARCH,
            companion(&ids.globex),
            PROTOBUF,
            "globex-companion.pb"
        ),
        recording!("/api/v2/traces/{shared}", None, JSON, "trace-shared.json"),
        recording!("/api/v2/traces/{globex}", None, JSON, "trace-globex.json"),
    ]
}

/// Serves them on a port of its own; returns its URL. It ends with the process.
pub(super) async fn start() -> Result<String, Failure> {
    let failed = |cause| format!("cannot start the replay: {cause}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request| async move { answer(&request) });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(format!("http://{address}"))
}

fn answer(request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let (path, query) = (request.uri().path(), query_of(request));
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    let ids = Ids::recorded();
    let known = recordings().into_iter().find(|recording| {
        let is_wanted = |accept: &str| accept.contains(recording.accept) || accept == "*/*";
        recording.path_of(&ids) == path && recording.query == query && accept.is_none_or(is_wanted)
    });
    match known {
        Some(recording) => Response::builder()
            .header(CONTENT_TYPE, recording.accept)
            .body(Full::from(recording.answer)),
        None => Response::builder()
            .status(StatusCode::NOT_IMPLEMENTED)
            .body(Full::from(&b"This replay has no answer to that.\n"[..])),
    }
}

/// The parameter `q`.
fn query_of(request: &Request<Incoming>) -> Option<String> {
    let mut pairs = request.uri().query()?.split('&');
    let value = pairs.find_map(|pair| pair.strip_prefix("q="))?;
    let value = value.replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
}
