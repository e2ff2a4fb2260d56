//! What clients of Tempo put on the wire: each form is forwarded and answered as the plain request
//! that says the same, on HTTP/1.1 and on HTTP/2.

use hyper::Method;

use super::row::{Expected, Row};
use super::sent::{self, Protocol};
use crate::kit::client::Answer;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::tempo_upstream::{TempoUpstream, trace_id};

/// The recordings' tenant.
const TENANT: &str = "A";
/// What the HTTP/2 library refuses.
const NOT_HTTP2: &str = "not a valid HTTP/2 request; percent-encode";

const SEARCH: &str = "/api/search?q=%7Bname%3D%22A-root%22%7D&start=10&end=20";
const RATE: &str = "/api/metrics/query_range?q=%7B%7D%7Crate()&start=10&end=20&step=5s";
const TAGS: &str = "/api/v2/search/tags";
const TRACE: &str = "/api/v2/traces/";

/// The plain request is `answered_as`'.
fn rows() -> Vec<Row> {
    let trace = format!("{TRACE}{}", trace_id("1"));
    let json = "application/json";
    let behind = |target: &str, more: &str| format!("{target}{more}");
    let search = |row: Row| row.answered_as(SEARCH);
    let mut rows = vec![
        search(Row::get("any client", SEARCH)),
        search(Row::get(
            "curl -g",
            "/api/search?q={name=\"A-root\"}&start=10&end=20",
        ))
        .refused_on_http2(400, NOT_HTTP2),
        Row::get("curl -g", "/api/search?q={duration>1s}&start=10&end=20")
            .answered_as("/api/search?q=%7Bduration%3E1s%7D&start=10&end=20")
            .refused_on_http2(400, NOT_HTTP2),
        search(Row::get(
            "a base address with a slash",
            &behind("/", SEARCH),
        )),
        search(Row::get(
            "a slash behind it",
            &SEARCH.replace("search?", "search/?"),
        )),
        search(Row::get("a GET with JSON", SEARCH).typed(json, "{}")),
        search(Row::get("nginx in front: GET in chunks", SEARCH).chunked("")),
        search(Row::get("a GET with an empty body", SEARCH).sized("")),
        search(Row::post("fetch: JSON and a URL", SEARCH).typed(json, "{}")),
        search(Row::post("all in the URL", SEARCH).sized("")),
        search(Row::form(
            "a form, which Tempo does not read",
            SEARCH,
            "q=%7B%7D&limit=1",
        )),
        search(Row::get("an empty query behind", &behind(SEARCH, "&q="))),
        search(Row::get("start twice", &behind(SEARCH, "&start=1"))),
        search(Row::get("another's parameter", &behind(SEARCH, "&x=1;y=2"))),
        search(Row::get(
            "a bad escape elsewhere",
            &behind(SEARCH, "&x=%zz"),
        )),
        search(Row::get(
            "spaces as plus signs",
            "/api/search?q=%7Bname%3D%22A-root%22%7D&start=10&end=20&x=a+b",
        )),
        Row::get("a limit twice", &behind(SEARCH, "&limit=5&limit=x"))
            .answered_as(&behind(SEARCH, "&limit=5")),
        Row::get("a step twice", &behind(RATE, "&step=1s")).answered_as(RATE),
        Row::post("a range in the URL", RATE)
            .typed(json, "{}")
            .answered_as(RATE),
        Row::get(
            "tempo-cli: parameters that say nothing",
            &behind(RATE, "&mode=&blockID=&startPage=0&encoding=none&size=0"),
        )
        .answered_as(RATE),
        Row::get("a slash before tags", &behind("/", TAGS)).answered_as(TAGS),
        Row::get("tags with a slash", &behind(TAGS, "/")).answered_as(TAGS),
        Row::get("a trace with a slash", &behind(&trace, "/")).answered_as(&trace),
        Row::get("a trace of a base with a slash", &behind("/", &trace)).answered_as(&trace),
        Row::post("a trace by POST", &trace)
            .sized("")
            .answered_as(&trace),
        Row::get("a trace with a body", &trace)
            .typed(json, "{}")
            .answered_as(&trace),
    ];
    for (tag, written) in [
        ("resource.service.name", "resource.service.name"),
        ("span.http.url", "span%2Ehttp.url"),
        ("span.a/b", "span.a/b"),
        ("span.a/b", "span.a%2Fb"),
        ("span.a;b", "span.a;b"),
    ] {
        let values = |name: &str| format!("/api/v2/search/tag/{name}/values");
        let plain = tag.replace('/', "%2F").replace(';', "%3B");
        rows.push(Row::get("Go: a tag in the path", &values(written)).answered_as(&values(&plain)));
    }
    rows.extend([
        Row::get("two queries", &behind(SEARCH, "&q=%7B%7D"))
            .refused(400, "more than once, with different values; give it once"),
        Row::get("a semicolon in a query", "/api/search?q=%7B%7D;").refused(400, "%3B"),
        Row::get("a space in the URL", "/api/search?q={} | rate()")
            .refused(400, "not valid HTTP/1.1; percent-encode")
            .on_http1_only(),
    ]);
    rows
}

/// What was answered, and what was forwarded for it.
struct Outcome {
    answer: Option<Answer>,
    forwarded: Vec<(Method, String)>,
}

async fn outcome(
    upstream: &TempoUpstream,
    proxy: &Partywall,
    row: &Row,
    protocol: Protocol,
) -> Outcome {
    let token = proxy.signer.tenant(TENANT);
    upstream.take();
    let answer = sent::send(protocol, proxy.authority(), row, Some(&token)).await;
    let mut forwarded = upstream.take();
    // Some are sent at once.
    forwarded.sort_by(|one, other| one.target.cmp(&other.target));
    Outcome {
        answer,
        forwarded: forwarded
            .into_iter()
            .map(|seen| (seen.method, seen.target))
            .filter(|(_, target)| !is_about_traces_of_a_page(target))
            .collect(),
    }
}

/// Whether this is a side request for a page of results. Those are only sent for traces of which nothing
/// is known from a request before.
fn is_about_traces_of_a_page(target: &str) -> bool {
    let is_search = target.starts_with("/api/search?") && target.contains("trace%3Aid+%3D+");
    is_search || target.starts_with("/api/traces/")
}

#[tokio::test]
async fn clients_of_tempo_are_answered_as_by_the_plain_request() {
    let upstream = TempoUpstream::start().await;
    let proxy = Partywall::start(Setup::tempo(&upstream.url)).await;
    let mut failures = Vec::new();
    for row in rows() {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            if !row.is_sent_on(protocol) {
                continue;
            }
            let got = outcome(&upstream, &proxy, &row, protocol).await;
            let why = match (row.refusal(protocol), &row.expected) {
                (Some((status, text)), _) => refused_otherwise(&got, status, text),
                (None, Expected::AsStoreAt(target)) => {
                    let plain = Row::get(row.client, target);
                    let expected = outcome(&upstream, &proxy, &plain, protocol).await;
                    differs(&expected, &got)
                }
                (None, _) => Some("the row names no plain request".to_owned()),
            };
            failures.extend(why.map(|why| format!("{protocol:?}, {}: {why}", row.name())));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn refused_otherwise(got: &Outcome, status: u16, text: &str) -> Option<String> {
    let Some(answer) = &got.answer else {
        return Some("no answer".to_owned());
    };
    let is_right = answer.status.as_u16() == status
        && answer.text().contains(text)
        && got.forwarded.is_empty();
    (!is_right).then(|| {
        let said = answer.text();
        format!(
            "expected {status} {text:?}, got {} {said}, forwarded {:?}",
            answer.status, got.forwarded
        )
    })
}

fn differs(expected: &Outcome, got: &Outcome) -> Option<String> {
    let (Some(plain), Some(answer)) = (&expected.answer, &got.answer) else {
        return Some("no answer".to_owned());
    };
    if plain.status != 200 || expected.forwarded.is_empty() {
        return Some(format!(
            "the plain request is answered {}: {}",
            plain.status,
            plain.text()
        ));
    }
    let is_equal = (plain.status, &plain.body, &expected.forwarded)
        == (answer.status, &answer.body, &got.forwarded);
    (!is_equal).then(|| {
        let text: String = answer.text().chars().take(300).collect();
        format!(
            "{} instead of {}: {text}\n    forwarded {:?}\n    instead of {:?}",
            answer.status, plain.status, got.forwarded, expected.forwarded
        )
    })
}
