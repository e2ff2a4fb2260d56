//! Names of attributes with a column of their own, which Tempo lists whatever the filter: shown only if
//! the caller has a value of them. `T7` is a row of the list of attacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};

use super::{Door, STAGE, assert_plain};
use crate::kit::client::Ask;
use crate::kit::grpc::Call;
use crate::kit::tempo_messages::{
    Scope, Scopes, Strings, TagValue, TagValues, TagsRequest, decode,
};
use crate::kit::tempo_upstream::{TempoReply, is_unfiltered_names};
use crate::kit::upstream::Seen;

const PROTOBUF: &str = "application/protobuf";
const NAMES: &str = "/tempopb.StreamingQuerier/SearchTagsV2";
const NAMES_V1: &str = "/tempopb.StreamingQuerier/SearchTags";

type Names = [(&'static str, &'static [&'static str])];

/// Those of a filter: the caller's own, and those with a column.
const LISTED: &Names = &[
    ("span", &["own", "http.url", "http.method"]),
    (
        "resource",
        &["service.name", "k8s.pod.name", "tenant_id", "http.url"],
    ),
    ("event", &["of.event"]),
    ("intrinsic", &["name", "status"]),
];
/// Those of a filter that nothing fulfils.
const UNFILTERED: &Names = &[
    ("span", &["http.url", "http.method", "late"]),
    ("resource", &["service.name", "k8s.pod.name", "tenant_id"]),
    ("event", &["of.event"]),
    ("intrinsic", &["name", "status"]),
];
/// The tags of which the caller has a value. Its own attribute has one if any span has a name.
const WITH_VALUES: [&str; 3] = ["span.http.method", "resource.service.name", "name"];

fn scopes(names: &Names) -> Scopes {
    let scope = |(name, tags): &(&str, &[&str])| Scope {
        name: (*name).to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    Scopes {
        scopes: names.iter().map(scope).collect(),
        metrics: None,
    }
}

fn expected() -> Value {
    json!([
        {"name": "span", "tags": ["own", "http.method"]},
        {"name": "resource", "tags": ["service.name", "tenant_id", "http.url"]},
        {"name": "intrinsic", "tags": ["name", "status"]},
    ])
}

fn values(all: &[&str]) -> TempoReply {
    let value = |value: &&str| TagValue {
        kind: "string".to_owned(),
        value: (*value).into(),
    };
    let values = all.iter().map(value).collect();
    let metrics = None;
    let body = TagValues { values, metrics }.encode_to_vec();
    TempoReply::new(200, PROTOBUF, body)
}

fn tag(seen: &Seen) -> Option<&str> {
    seen.path()
        .strip_prefix("/api/v2/search/tag/")?
        .strip_suffix("/values")
}

fn answer(seen: &Seen, listed: &Names) -> Option<TempoReply> {
    if is_unfiltered_names(seen) {
        let body = scopes(UNFILTERED).encode_to_vec();
        return Some(TempoReply::new(200, PROTOBUF, body));
    }
    if let Some(tag) = tag(seen) {
        let all: &[&str] = if WITH_VALUES.contains(&tag) {
            &["v"]
        } else {
            &[]
        };
        return Some(values(all));
    }
    let scopes = scopes(listed);
    if seen.path() == NAMES {
        // In two messages, as Tempo sends what is new.
        let (first, second) = scopes.scopes.split_at(1);
        let messages = [first, second].map(|scopes| {
            let (scopes, metrics) = (scopes.to_vec(), None);
            Scopes { scopes, metrics }.encode_to_vec()
        });
        return Some(TempoReply::grpc(&messages, 0, ""));
    }
    if seen.path() != "/api/v2/search/tags" {
        return None;
    }
    if seen.header("accept") == Some(PROTOBUF) {
        return Some(TempoReply::new(200, PROTOBUF, scopes.encode_to_vec()));
    }
    Some(TempoReply::json(
        json!({ "scopes": in_json(&scopes) }).to_string(),
    ))
}

fn in_json(scopes: &Scopes) -> Value {
    let all = scopes.scopes.iter();
    all.map(|scope| json!({"name": scope.name, "tags": scope.tags}))
        .collect()
}

/// The same names, in any order.
fn sorted(mut scopes: Value) -> Value {
    let all = scopes.as_array_mut().into_iter().flatten();
    for scope in all {
        let tags = scope["tags"].as_array_mut().expect("names");
        tags.sort_by_key(Value::to_string);
    }
    scopes
}

async fn door() -> Door {
    let door = Door::open().await;
    door.upstream.rule(|seen| answer(seen, LISTED));
    door
}

/// T7.
#[tokio::test]
async fn name_that_tempo_does_not_filter_is_listed_only_if_the_caller_has_a_value() {
    let door = door().await;
    let of_first = [
        "http.method",
        "http.url",
        "own",
        "service.name",
        "tenant_id",
    ];

    let json_answer = door.get("/api/v2/search/tags").await;
    assert_eq!(json_answer.status, 200, "{}", json_answer.text());
    assert_eq!(json_answer.json()["scopes"], sorted(expected()));
    let protobuf = door.get_as("/api/v2/search/tags", PROTOBUF).await;
    assert_eq!(in_json(&decode(&protobuf.body)), sorted(expected()));
    let first = door.get("/api/search/tags").await;
    assert_eq!(first.json()["tagNames"], json!(of_first));
    let first = door.get_as("/api/search/tags", PROTOBUF).await;
    assert_eq!(decode::<Strings>(&first.body).strings, of_first);

    let request = TagsRequest::default();
    let streamed = door.call(&Call::new(NAMES, &request)).await;
    assert_eq!(
        (streamed.code(), streamed.messages.len()),
        (0, 1),
        "{streamed:?}"
    );
    assert_eq!(in_json(&decode(&streamed.messages[0])), sorted(expected()));
    let streamed = door.call(&Call::new(NAMES_V1, &request)).await;
    assert_eq!(
        (streamed.code(), streamed.messages.len()),
        (0, 1),
        "{streamed:?}"
    );
    assert_eq!(decode::<Strings>(&streamed.messages[0]).strings, of_first);
}

/// Whatever the client's query and limits are: Tempo lists such names to a private store's client too.
#[tokio::test]
async fn names_are_checked_with_the_callers_filter_alone_in_the_same_time() {
    let door = door().await;
    let params = [
        ("q", "{ span.x = 1 }"),
        ("scope", "span"),
        ("start", "1"),
        ("end", "9"),
        ("limit", "5"),
        ("maxStaleValues", "7"),
    ];
    let answer = door.ask(&Ask::get("/api/v2/search/tags", &params)).await;
    assert_eq!(answer.json()["scopes"], expected());
    let seen = door.upstream.take();
    assert_eq!(seen.len(), 2 + 6, "{seen:#?}");
    let of = |one: &Seen, name: &str| one.param(name).concat();
    assert!(is_unfiltered_names(&seen[1]));
    assert_eq!(of(&seen[1], "scope"), "span");
    for one in &seen[1..] {
        assert_eq!(
            (of(one, "start"), of(one, "end")),
            ("1".to_owned(), "9".to_owned())
        );
        assert_eq!(of(one, "maxStaleValues"), "");
        assert_eq!(one.header("accept"), Some(PROTOBUF));
    }
    assert_eq!(of(&seen[1], "limit"), "");
    for one in &seen[2..] {
        assert_eq!(
            (of(one, "q"), of(one, "limit")),
            (STAGE.to_owned(), "1".to_owned())
        );
    }
    let mut tags: Vec<&str> = seen.iter().filter_map(tag).collect();
    tags.sort_unstable();
    assert_eq!(
        tags,
        [
            "event.of.event",
            "name",
            "resource.k8s.pod.name",
            "resource.service.name",
            "span.http.method",
            "span.http.url"
        ]
    );
}

#[tokio::test]
async fn names_that_tempo_filters_take_no_request_more() {
    const OWN: &Names = &[("span", &["own"]), ("intrinsic", &["name"])];
    const INTRINSIC: &Names = &[("intrinsic", &["name"])];
    for (listed, requests) in [(OWN, 2), (INTRINSIC, 1), (&[], 1)] {
        let door = Door::open().await;
        door.upstream.rule(move |seen| answer(seen, listed));
        let answer = door.get("/api/v2/search/tags?scope=span").await;
        assert_eq!(answer.json()["scopes"], in_json(&scopes(listed)));
        assert_eq!(door.upstream.take().len(), requests);
    }
}

#[tokio::test]
async fn value_of_any_alternative_shows_the_name() {
    let door = Door::with(|setup| {
        let selectors = "\n  selectors:\n    A: {traces: {any: [\
             [{attribute: resource.env, match: '=', value: prod}], \
             [{attribute: resource.team, match: '=', value: shop}]]}}";
        setup.tenancy.push_str(selectors);
    })
    .await;
    door.upstream.rule(|seen| {
        let is_of_team = seen.param("q").concat() == "{ resource.team = \"shop\" }";
        match tag(seen) {
            Some("span.http.url") => Some(values(if is_of_team { &["v"] } else { &[] })),
            Some("span.http.method") => Some(values(&[])),
            _ => answer(seen, LISTED),
        }
    });
    let answer = door.get("/api/v2/search/tags?scope=span").await.json();
    assert_eq!(answer["scopes"][0]["tags"], json!(["http.url", "own"]));
}

/// A part of the check is no check.
#[tokio::test]
async fn failed_check_fails_the_call() {
    for failing in [
        TempoReply::text(500, "checkout is secret"),
        TempoReply::new(200, PROTOBUF, b"\x0a\xff".to_vec()),
        TempoReply::json("["),
    ] {
        for of_values in [false, true] {
            let door = Door::open().await;
            let failing = failing.clone();
            door.upstream.rule(move |seen| {
                let fails = if of_values {
                    tag(seen) == Some("span.http.url")
                } else {
                    is_unfiltered_names(seen)
                };
                if fails {
                    return Some(failing.clone());
                }
                answer(seen, LISTED)
            });
            for target in ["/api/v2/search/tags", "/api/search/tags"] {
                let answer = door.get(target).await;
                assert_plain(target, &answer, 502);
                assert!(!answer.text().contains("secret"), "{}", answer.text());
            }
            let answer = door.call(&Call::new(NAMES, &TagsRequest::default())).await;
            assert_eq!(
                (answer.code(), answer.messages.len()),
                (13, 0),
                "{answer:?}"
            );
        }
    }
}

/// Tempo before 2.6 does not filter names at all.
#[tokio::test]
async fn names_beyond_the_most_that_are_checked_and_unaskable_ones_are_not_listed() {
    let door = Door::open().await;
    let names = (0..80).map(|n| format!("n{n:02}"));
    let names: Vec<String> = names.chain(["a/../b".to_owned()]).collect();
    let listed = names.clone();
    door.upstream.rule(move |seen| {
        if tag(seen).is_some() {
            return Some(values(&["v"]));
        }
        let (name, tags) = ("span".to_owned(), listed.clone());
        let (scopes, metrics) = (vec![Scope { name, tags }], None);
        let body = Scopes { scopes, metrics }.encode_to_vec();
        Some(TempoReply::new(200, PROTOBUF, body))
    });
    let answer = door
        .get_as("/api/v2/search/tags?scope=span", PROTOBUF)
        .await;
    let shown = decode::<Scopes>(&answer.body);
    assert_eq!(shown.scopes[0].tags, names[..63]);
    assert_eq!(door.upstream.take().len(), 2 + 63);
}

#[tokio::test]
async fn names_are_checked_a_few_at_a_time() {
    let door = Door::open().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    door.upstream.rule(move |seen| {
        if tag(seen).is_none() {
            return answer(seen, LISTED);
        }
        counted.fetch_add(1, Ordering::Relaxed);
        let mut reply = values(&["v"]);
        reply.after = Duration::from_hours(1);
        Some(reply)
    });
    let get = door.get("/api/v2/search/tags");
    let waited = tokio::time::timeout(Duration::from_secs(2), get).await;
    assert!(waited.is_err(), "answered without its checks");
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

/// With a filter, Tempo lists too few of all scopes, and all of one.
#[tokio::test]
async fn names_of_all_scopes_are_asked_for_by_scope_too() {
    let door = Door::open().await;
    door.upstream.rule(|seen| {
        let scopes: &Names = match &*seen.param("scope").concat() {
            _ if is_unfiltered_names(seen) => &[],
            "" | "none" => &[("span", &["all"]), ("intrinsic", &["name"])],
            "span" => &[("span", &["all", "of-span"])],
            "event" => &[("event", &["of-event"])],
            "link" => &[("link", &["of-link"])],
            "resource" => &[("resource", &["of-resource"])],
            // Tempo before 2.7 does not know this one.
            _ => return Some(TempoReply::text(400, "unknown scope: instrumentation")),
        };
        let body = self::scopes(scopes).encode_to_vec();
        Some(if seen.path() == NAMES {
            TempoReply::grpc(&[body], 0, "")
        } else {
            TempoReply::new(200, PROTOBUF, body)
        })
    });
    let expected = json!([
        {"name": "span", "tags": ["all", "of-span"]},
        {"name": "intrinsic", "tags": ["name"]},
        {"name": "resource", "tags": ["of-resource"]},
        {"name": "event", "tags": ["of-event"]},
        {"name": "link", "tags": ["of-link"]},
    ]);
    let target = "/api/v2/search/tags?start=1&end=9&limit=5";
    for target in [target, &format!("{target}&scope=none")] {
        let answer = door.get_as(target, PROTOBUF).await;
        assert_eq!(in_json(&decode(&answer.body)), expected, "{target}");
        let seen = door.upstream.take();
        assert_eq!(seen.len(), 1 + 5 + 1, "{seen:#?}");
        for one in &seen[1..6] {
            let of = |name: &str| one.param(name).concat();
            assert_eq!((of("q"), of("limit")), (STAGE.to_owned(), "5".to_owned()));
            assert_eq!((of("start"), of("end")), ("1".to_owned(), "9".to_owned()));
        }
    }
    let answer = door.call(&Call::new(NAMES, &TagsRequest::default())).await;
    assert_eq!(in_json(&decode(&answer.messages[0])), expected);
    door.upstream.take();
    // A private store lists as few of a query with conditions.
    for (name, value) in [("q", "{ span.x = 1 }"), ("scope", "span")] {
        let ask = Ask::get("/api/v2/search/tags", &[(name, value)]);
        let ask = ask.with_header("accept", PROTOBUF);
        let answer = door.ask(&ask).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(door.upstream.take().len(), 2, "{name}");
    }
}
