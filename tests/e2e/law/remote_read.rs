//! Remote read: the same series, as samples and as streamed chunks.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};

use super::requests::Times;
use super::suite::Scope;
use crate::kit::client::{Answer, Client};
use crate::kit::protobuf::{LabelMatcher, Query, ReadRequest, ReadResponse, pack, unpack};

const EQUAL: i32 = 0;
const NOT_EQUAL: i32 = 1;
const REGEX: i32 = 2;
const NOT_REGEX: i32 = 3;

/// Kind, label, value.
type Matcher = (i32, &'static str, &'static str);

/// Each a query's matchers.
const QUERIES: &[&[Matcher]] = &[
    &[(EQUAL, "__name__", "up")],
    &[(REGEX, "__name__", ".+")],
    &[(REGEX, "__name__", "http.*"), (NOT_EQUAL, "code", "200")],
    &[(EQUAL, "__name__", "up"), (EQUAL, "tenant_id", "beta")],
    &[(EQUAL, "__name__", "up"), (EQUAL, "tenant_id", "acme")],
    &[(EQUAL, "__name__", "up"), (NOT_EQUAL, "tenant_id", "acme")],
    &[(EQUAL, "__name__", "up"), (REGEX, "tenant_id", ".*")],
    &[(EQUAL, "__name__", "up"), (NOT_REGEX, "tenant_id", "a.*")],
    &[(EQUAL, "__name__", "up"), (EQUAL, "tenant_id", "")],
    &[(EQUAL, "tenant_id", "beta")],
    &[
        (EQUAL, "__name__", "odd_labels"),
        (EQUAL, "name", "ünï ☃ {x}"),
    ],
    &[(EQUAL, "__name__", "nonexistent")],
    &[],
];

/// Compares all; returns how many answers were compared, and how many held series.
pub async fn compare(scope: &Scope, times: Times) -> (usize, usize) {
    let client = Client::default();
    let (mut compared, mut with_series) = (0, 0);
    let alone = QUERIES.iter().map(|query| vec![*query]);
    let together = [QUERIES.to_vec(), vec![QUERIES[0], QUERIES[3], QUERIES[9]]];
    for queries in alone.chain(together) {
        for types in [vec![], vec![0], vec![1], vec![1, 0]] {
            let request = ReadRequest {
                queries: queries
                    .iter()
                    .map(|matchers| query(matchers, times))
                    .collect(),
                accepted_response_types: types,
            };
            let expected = read(&client, &scope.private, None, &request).await;
            let got = read(&client, &scope.proxy, Some(&scope.token), &request).await;
            let what = format!("{}: {request:?}", scope.name);
            assert_eq!(got.status, expected.status, "{what}: {}", got.text());
            assert_eq!(got.status, StatusCode::OK, "{what}: {}", got.text());
            assert_eq!(
                got.header("content-type"),
                expected.header("content-type"),
                "{what}"
            );
            if got.header("content-encoding") == "snappy" {
                let (got, expected) = (decode(&got), decode(&expected));
                let has_series = got
                    .results
                    .iter()
                    .any(|result| !result.timeseries.is_empty());
                with_series += usize::from(has_series);
                // As text, in which a NaN equals a NaN.
                assert_eq!(format!("{got:?}"), format!("{expected:?}"), "{what}");
            } else {
                with_series += usize::from(!got.body.is_empty());
                assert_eq!(got.body, expected.body, "{what}");
            }
            compared += 1;
        }
    }
    println!(
        "{}, remote read: compared {compared} answers, {with_series} with series",
        scope.name
    );
    (compared, with_series)
}

fn query(matchers: &[Matcher], times: Times) -> Query {
    let matcher = |(kind, name, value): &Matcher| LabelMatcher {
        kind: *kind,
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    Query {
        start: (times.end - 900) * 1000,
        end: times.end * 1000,
        matchers: matchers.iter().map(matcher).collect(),
    }
}

async fn read(client: &Client, base: &str, token: Option<&str>, request: &ReadRequest) -> Answer {
    let mut builder = Request::post(format!("{base}/api/v1/read"))
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-read-version", "0.1.0");
    if let Some(token) = token {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    client
        .send(
            builder
                .body(Full::from(Bytes::from(pack(request))))
                .expect("a request"),
        )
        .await
}

fn decode(answer: &Answer) -> ReadResponse {
    let mut response: ReadResponse = unpack(&answer.body).expect("a read response");
    for result in &mut response.results {
        result
            .timeseries
            .sort_by_cached_key(|series| format!("{:?}", series.labels));
    }
    response
}
