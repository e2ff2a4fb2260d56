//! What is asked and answered, over and over.

use bytes::Bytes;
use hyper::header::HeaderValue;
use serde_json::{Map, json};

use crate::answers::{self, Answer};
use crate::contestants::{CLAIM, Kind};
use crate::dashboard::{PANELS, get, get_as, graph};
use crate::grpc::{self, Call};
use crate::issuer::Issuer;
use crate::load::Requests;
use crate::made_up::OURS;
use crate::{Effort, Outcome};

/// The rows of the table; bytes are of answers.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    PassThrough(usize),
    Dashboards,
    NewQueries,
    NewQueriesAndTokens,
    Metrics(usize),
    Rules(usize),
    ProtobufTrace(usize),
    JsonTrace(usize),
    GrpcSearch,
}

/// What is asked and answered.
pub(crate) struct Workload {
    pub(crate) requests: Requests,
    pub(crate) answer: Answer,
    pub(crate) connections: usize,
    /// The requests there are for all rounds together, if each can be sent only once.
    pub(crate) supply: Option<usize>,
    /// Who can do it.
    pub(crate) on: &'static [Kind],
}

/// Those that do not look at what passes.
const PLAIN: &[Kind] = &[
    Kind::Partywall,
    Kind::Baseline,
    Kind::Bare,
    Kind::Nginx,
    Kind::Envoy,
];

/// The least to compare with, for what passes otherwise would not be asked.
const OURS_AND_BARE: &[Kind] = &[Kind::Partywall, Kind::Baseline, Kind::Bare];

/// The bytes of an answer that weighs little beside the request.
const SMALL: usize = 1000;

const TEXT: &str = r#"sum by (job) (rate(http_requests_total{namespace="shop"}[5m]))"#;

/// A trace's path.
const TRACE: &str = "/api/v2/traces/4bf92f3577b34da6a3ce929d0e0e4736";

impl Work {
    pub(crate) const ALL: [Self; 12] = [
        Self::PassThrough(1000),
        Self::Dashboards,
        Self::NewQueries,
        Self::NewQueriesAndTokens,
        Self::Metrics(140_000),
        Self::Metrics(14_000_000),
        Self::Rules(140_000),
        Self::ProtobufTrace(1_000_000),
        Self::ProtobufTrace(100_000_000),
        Self::JsonTrace(1_000_000),
        Self::JsonTrace(100_000_000),
        Self::GrpcSearch,
    ];

    /// As in the tables of `docs/performance.md`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::PassThrough(bytes) => format!("passed through, {}", size(bytes)),
            Self::Dashboards => "dashboards: token, PromQL and metrics, 1 KB".to_owned(),
            Self::NewQueries => "the same, each query new".to_owned(),
            Self::NewQueriesAndTokens => "the same, each query and each token new".to_owned(),
            Self::Metrics(bytes) => format!("a graph, {}", size(bytes)),
            Self::Rules(bytes) => format!("rules filtered, {}", size(bytes)),
            Self::ProtobufTrace(bytes) => format!("trace redacted, protobuf, {}", size(bytes)),
            Self::JsonTrace(bytes) => format!("trace redacted, JSON, {}", size(bytes)),
            Self::GrpcSearch => "gRPC search, streamed".to_owned(),
        }
    }

    /// How many requests are enough where instructions are counted.
    pub(crate) fn requests_to_count(self) -> usize {
        match self {
            Self::Metrics(bytes)
            | Self::Rules(bytes)
            | Self::ProtobufTrace(bytes)
            | Self::JsonTrace(bytes)
            | Self::PassThrough(bytes) => (20_000_000 / bytes).clamp(2, 600),
            Self::Dashboards | Self::NewQueries | Self::NewQueriesAndTokens | Self::GrpcSearch => {
                600
            }
        }
    }

    pub(crate) fn make(self, issuer: &Issuer, effort: Effort) -> Outcome<Workload> {
        let users = users(issuer)?;
        let user = users.first().ok_or("no user")?;
        Ok(match self {
            Self::PassThrough(bytes) => Workload {
                requests: same(get("/static/app.js", &[], user)),
                answer: answers::page(bytes),
                connections: 64,
                supply: None,
                on: PLAIN,
            },
            Self::Dashboards => Workload {
                requests: dashboards(&users),
                answer: answers::matrix(SMALL),
                connections: 64,
                supply: None,
                on: &Kind::ALL,
            },
            Self::NewQueries => Workload {
                requests: new_queries(users),
                answer: answers::matrix(SMALL),
                connections: 64,
                supply: None,
                on: &Kind::ALL,
            },
            Self::NewQueriesAndTokens => Workload {
                requests: new_queries_and_tokens(issuer, effort.new_tokens)?,
                answer: answers::matrix(SMALL),
                connections: 64,
                supply: Some(effort.new_tokens),
                on: OURS_AND_BARE,
            },
            Self::Metrics(bytes) => Workload {
                requests: same(graph(TEXT, user)),
                answer: answers::matrix(effort.bytes(bytes)),
                connections: at_once(bytes),
                supply: None,
                on: PLAIN,
            },
            Self::Rules(bytes) => Workload {
                requests: same(get("/api/v1/rules", &[], user)),
                answer: answers::rules(effort.bytes(bytes))?,
                connections: at_once(bytes),
                supply: None,
                on: PLAIN,
            },
            Self::ProtobufTrace(bytes) => protobuf_trace(effort.bytes(bytes), user),
            Self::JsonTrace(bytes) => json_trace(effort.bytes(bytes), user),
            Self::GrpcSearch => Workload {
                requests: Requests::Grpc(search(user)?),
                answer: answers::search()?,
                connections: 64,
                supply: None,
                on: PLAIN,
            },
        })
    }
}

/// How many clients ask for answers of this size.
fn at_once(bytes: usize) -> usize {
    match bytes {
        0..1_000_000 => 32,
        1_000_000..10_000_000 => 16,
        10_000_000..100_000_000 => 8,
        _ => 2,
    }
}

/// A warm query of about this many bytes.
pub(crate) fn long_query(query: &str, token: &str) -> Workload {
    Workload {
        requests: same(graph(query, token)),
        answer: answers::matrix(SMALL),
        connections: 16,
        supply: None,
        on: OURS_AND_BARE,
    }
}

/// The same, never twice: `query` writes the one of a number.
pub(crate) fn distinct_queries(
    query: impl Fn(usize) -> String + 'static,
    token: String,
) -> Workload {
    Workload {
        requests: Requests::Http1(Box::new(move |number| Some(graph(&query(number), &token)))),
        answer: answers::matrix(SMALL),
        connections: 16,
        supply: None,
        on: OURS_AND_BARE,
    }
}

/// A trace by id.
pub(crate) fn protobuf_trace(bytes: usize, token: &str) -> Workload {
    Workload {
        requests: same(get_as("application/protobuf", TRACE, &[], token)),
        answer: answers::protobuf_trace(bytes),
        connections: at_once(bytes),
        supply: None,
        on: PLAIN,
    }
}

/// The same as JSON.
pub(crate) fn json_trace(bytes: usize, token: &str) -> Workload {
    Workload {
        requests: same(get(TRACE, &[], token)),
        answer: answers::json_trace(bytes),
        connections: at_once(bytes),
        supply: None,
        on: PLAIN,
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_000_000 => format!("{} KB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// A token of a user with so many tenants.
pub(crate) fn token(issuer: &Issuer, subject: &str, tenants: usize) -> Outcome<String> {
    let more = (1..tenants).map(|index| format!("customer-{index:04}"));
    let names: Vec<String> = std::iter::once(OURS.to_owned()).chain(more).collect();
    let claims = Map::from_iter([
        (CLAIM.to_owned(), json!(names)),
        // What identity providers add.
        ("azp".to_owned(), json!("grafana")),
        ("email".to_owned(), json!(format!("{subject}@example.com"))),
        ("scope".to_owned(), json!("openid profile email")),
    ]);
    issuer.token(subject, claims)
}

fn users(issuer: &Issuer) -> Outcome<Vec<String>> {
    (0..20)
        .map(|user| token(issuer, &format!("user-{user}"), 1))
        .collect()
}

fn same(request: Bytes) -> Requests {
    Requests::Http1(Box::new(move |_| Some(request.clone())))
}

/// Every user looks at every panel.
fn dashboards(users: &[String]) -> Requests {
    let all: Vec<Bytes> = users
        .iter()
        .flat_map(|user| PANELS.iter().map(|panel| panel.request(user)))
        .collect();
    Requests::Http1(Box::new(move |number| all.get(number % all.len()).cloned()))
}

fn new_queries(users: Vec<String>) -> Requests {
    Requests::Http1(Box::new(move |number| {
        let user = users.get(number % users.len())?;
        let panel = PANELS.get(number % PANELS.len())?;
        Some(panel.distinct_request(number, user))
    }))
}

fn new_queries_and_tokens(issuer: &Issuer, count: usize) -> Outcome<Requests> {
    let tokens = (0..count)
        .map(|number| token(issuer, &format!("new-{number}"), 1))
        .collect::<Outcome<Vec<_>>>()?;
    Ok(Requests::Http1(Box::new(move |number| {
        let panel = PANELS.get(number % PANELS.len())?;
        Some(panel.distinct_request(number, tokens.get(number)?))
    })))
}

fn search(token: &str) -> Outcome<Call> {
    const QUERY: &str = "{ resource.service.name = \"checkout\" && status = error }";
    // `query` (8), `limit` (4), `start` (5) and `end` (6) of a `SearchRequest`.
    let mut message = Vec::new();
    prost::encoding::string::encode(8, &QUERY.to_owned(), &mut message);
    for (field, value) in [(4, 20), (5, 1_795_229_745), (6, 1_795_233_345)] {
        prost::encoding::uint32::encode(field, &value, &mut message);
    }
    Ok(Call {
        path: "/tempopb.StreamingQuerier/Search",
        message: grpc::frame(&message)?,
        token: HeaderValue::try_from(format!("Bearer {token}"))?,
    })
}
