//! What real clients put on the wire, and what they get for it.
//!
//! | file | one idea |
//! |---|---|
//! | `table` | the requests, byte by byte, by client, and the answers that are expected |
//! | `row` | one of them |
//! | `sent` | how it is sent on HTTP/1.1 and on HTTP/2 |
//! | `traces` | the requests to Tempo, and the plain ones that say the same |
//!
//! Each row goes to a private store, to the proxy in front of a shared one, and to a proxy in shadow
//! mode, and the answers must say the same; where the proxy refuses, its text is in the row. What
//! `explain` says of the request has to agree. To add a client, add rows to `table`.

mod row;
mod sent;
mod table;
mod traces;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use crate::kit::client::{Answer, Client};
use crate::kit::compare::{Strictness, differences};
use crate::kit::dataset::Dataset;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::Prometheus;
use crate::kit::token::now;
use row::{Expected, Row};
use sent::Protocol;

/// One proxy, and how its answers are judged.
struct Way<'a> {
    name: &'static str,
    proxy: &'a Partywall,
    in_shadow: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_answered_as_by_their_private_store() {
    let data = Dataset::shared(now() - 30);
    let acme = data.only(&["acme"]);
    let (shared, private) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private acme", &acme),
    );
    let enforcing = Partywall::start(Setup::new(&shared.url)).await;
    let mut setup = Setup::new(&private.url);
    let until = std::time::SystemTime::now() + Duration::from_hours(1);
    let until = humantime::format_rfc3339_millis(until);
    setup.upstream_options = vec![format!(
        "shadow: {{until: {until}, tenants_see_each_other: true}}"
    )];
    let shadowed = Partywall::start(setup).await;
    let ways = [
        Way {
            name: "enforcing",
            proxy: &enforcing,
            in_shadow: false,
        },
        Way {
            name: "in shadow mode",
            proxy: &shadowed,
            in_shadow: true,
        },
    ];
    let mut failures = Vec::new();
    let rows = table::rows(data.end - 600);
    for row in &rows {
        let store = private.url.trim_start_matches("http://");
        let expected = expected_answer(row, store).await;
        for way in &ways {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                if !row.is_sent_on(protocol) {
                    continue;
                }
                let token = way.proxy.signer.tenant("acme");
                let got = sent::send(protocol, way.proxy.authority(), row, Some(&token)).await;
                let found = judge(row, protocol, way.in_shadow, expected.as_ref(), got);
                failures.extend(
                    found.map(|why| format!("{}, {protocol:?}, {}: {why}", row.name(), way.name)),
                );
            }
        }
        let is_answered = expected
            .as_ref()
            .is_some_and(|answer| answer.status.is_success());
        if is_answered || row.refusal(Protocol::Http1).is_some() {
            failures.extend(explain(row, &enforcing).await);
        }
    }
    println!("{} forms", rows.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

async fn expected_answer(row: &Row, store: &str) -> Option<Answer> {
    match &row.expected {
        Expected::AsStoreAt(target) => {
            let plain = Row::get(row.client, target);
            sent::send(Protocol::Http1, store, &plain, None).await
        }
        _ => sent::send(Protocol::Http1, store, row, None).await,
    }
}

/// What is wrong with an answer.
fn judge(
    row: &Row,
    protocol: Protocol,
    in_shadow: bool,
    expected: Option<&Answer>,
    got: Option<Answer>,
) -> Option<String> {
    let Some(got) = got else {
        return Some("no answer".to_owned());
    };
    let refusal = row.refusal(protocol);
    if let Some((status, text)) = refusal.filter(|_| !in_shadow || row.is_unread(protocol)) {
        let said = got.text();
        let is_said =
            said.contains(text) && (protocol == Protocol::Http1 || got.json()["error"].is_string());
        let is_right = got.status.as_u16() == status && is_said;
        return (!is_right)
            .then(|| format!("expected {status} {text:?}, got {} {said}", got.status));
    }
    let Some(expected) = expected else {
        return Some("the store did not answer".to_owned());
    };
    if matches!(row.expected, Expected::AsStoreAt(_)) && expected.status != StatusCode::OK {
        return Some(format!("the store answers {}", expected.status));
    }
    // A store's errors quote the query that it got.
    if !expected.status.is_success() && got.status == expected.status {
        return None;
    }
    let found = differences(expected, &got, Strictness::default());
    if !found.is_empty() {
        return Some(found.join("\n    "));
    }
    let verdict = got.header("x-partywall-shadow");
    let is_agreed = !in_shadow || verdict.starts_with("denied") == refusal.is_some();
    (!is_agreed).then(|| format!("the verdict is {verdict:?}"))
}

/// What `explain` says of a request without a body has to agree with what becomes of it.
async fn explain(row: &Row, proxy: &Partywall) -> Option<String> {
    if row.has_body() || row.is_unread(Protocol::Http1) {
        return None;
    }
    let question = json!({
        "request": format!("{} {}", row.method, row.target),
        "headers": row.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>(),
        "token": proxy.signer.tenant("acme"),
    });
    let request = Request::post(format!("{}/-/explain", proxy.admin))
        .header("content-type", "application/json")
        .body(Full::from(Bytes::from(question.to_string())))
        .expect("a request");
    let answer = Client::default().send(request).await;
    let said: Value = answer.json();
    let is_refused = said["result"] == "refused";
    let expects_refusal = row.refusal(Protocol::Http1).is_some();
    (answer.status != StatusCode::OK || is_refused != expects_refusal)
        .then(|| format!("{}: explain says {said}", row.name()))
}
