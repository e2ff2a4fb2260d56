//! Names and values of tags that take several requests: of a caller with alternatives and typed
//! values, of a query with `||`, of an attribute without a scope. `T7` is a row of the list of attacks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};

use super::{Door, assert_plain};
use crate::kit::client::Ask;
use crate::kit::grpc::{Call, CallAnswer};
use crate::kit::partywall::Setup;
use crate::kit::tempo_messages::{
    Scope, Scopes, Strings, TagValue, TagValues, TagValuesRequest, TagsRequest, decode,
};
use crate::kit::tempo_upstream::{TempoReply, in_json, is_unfiltered_names};
use crate::kit::upstream::Seen;

const PROTOBUF: &str = "application/protobuf";

/// The caller's alternatives, and the conditions of the requests for them.
const UNION: &str = "{any: [[{attribute: resource.env, match: '=', value: prod}, \
                     {attribute: resource.team, match: '=~', value: 'front-.*'}], \
                     [{attribute: resource.team, match: '=', value: checkout}], \
                     [{attribute: resource.n, match: '=', value: 5}, \
                     {attribute: resource.b, match: '=', value: true}]]}";
const CONDITIONS: [&str; 4] = [
    "resource.b = true && resource.n = 5",
    "resource.b = true && resource.n = 5.0",
    r#"resource.env = "prod" && resource.team =~ "^(?:(?s:front-.*))$""#,
    r#"resource.team = "checkout""#,
];

fn selecting(selector: &str) -> impl FnOnce(&mut Setup) {
    let selectors = format!("\n  selectors:\n    A: {{traces: {selector}}}");
    move |setup| setup.tenancy.push_str(&selectors)
}

fn is_of_tags(seen: &Seen) -> bool {
    seen.path().starts_with("/api/v2/search/tag")
        || seen
            .path()
            .starts_with("/tempopb.StreamingQuerier/SearchTag")
}

/// Over HTTP, in a parameter; over gRPC, in the message.
fn query(seen: &Seen) -> String {
    if seen.path().starts_with("/tempopb.") {
        let message = seen.body.slice(5..);
        return match TagsRequest::decode(&message[..]) {
            Ok(names) if seen.path().ends_with("TagsV2") => names.query,
            _ => decode::<TagValuesRequest>(&message).query,
        };
    }
    let queries = seen.param("q");
    assert_eq!(queries.len(), 1, "{}", seen.target);
    queries.concat()
}

fn queries(seen: &[Seen]) -> BTreeSet<String> {
    let all: BTreeSet<String> = seen.iter().map(query).collect();
    assert_eq!(all.len(), seen.len(), "no query twice: {seen:#?}");
    all
}

fn filters(more: &[&str]) -> BTreeSet<String> {
    let filter = |own: &str, more: &str| match more {
        "" => format!("{{ {own} }}"),
        more => format!("{{ {own} && {more} }}"),
    };
    let all = CONDITIONS.iter();
    all.flat_map(|own| more.iter().map(move |more| filter(own, more)))
        .collect()
}

/// What was forwarded, without the requests for names of one scope, and for those that Tempo does not
/// filter.
fn asked(door: &Door) -> Vec<Seen> {
    let mut seen = door.upstream.take();
    seen.retain(|one| !is_unfiltered_names(one) && one.param("scope").is_empty());
    seen
}

/// What the Tempo answers: names after the place of the query's alternative, and one that all have.
fn place(query: &str) -> usize {
    let of = |own: &&str| {
        query.starts_with(&format!("{{ {own} }}")) || query.starts_with(&format!("{{ {own} &&"))
    };
    CONDITIONS.iter().position(of).expect("a confined query")
}

fn scopes(place: usize) -> Scopes {
    let scope = |name: &str, tags: &[&str]| Scope {
        name: name.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    let own = format!("z{place}");
    let other = format!("r{}", place / 2);
    Scopes {
        scopes: vec![
            scope("span", &[&own, "all"]),
            scope("resource", &[&other]),
            scope("intrinsic", &["name"]),
        ],
        metrics: None,
    }
}

fn values(place: usize) -> TagValues {
    let value = |kind: &str, value: &str| TagValue {
        kind: kind.to_owned(),
        value: value.into(),
    };
    TagValues {
        values: vec![
            value("string", &format!("v{place}")),
            value("string", "front-x"),
            value("string", "checkout"),
            value("string", "foreign"),
            value("int", "5"),
            value("float", "5"),
            value("bool", "true"),
            value("bool", "false"),
        ],
        metrics: None,
    }
}

/// Answers each request by its alternative, in the format that is asked for.
fn by_alternative(seen: &Seen) -> Option<TempoReply> {
    if !is_of_tags(seen) || is_unfiltered_names(seen) {
        return None;
    }
    let place = place(&query(seen));
    let is_names = seen.path().ends_with("/tags") || seen.path().ends_with("TagsV2");
    if seen.path().starts_with("/tempopb.") {
        let messages = if is_names {
            // In two messages, as Tempo sends what is new.
            let mut first = scopes(place);
            let second = Scopes {
                scopes: first.scopes.split_off(1),
                metrics: None,
            };
            vec![first.encode_to_vec(), second.encode_to_vec()]
        } else {
            vec![values(place).encode_to_vec()]
        };
        return Some(TempoReply::grpc(&messages, 0, ""));
    }
    if seen.header("accept") == Some(PROTOBUF) {
        let body = if is_names {
            scopes(place).encode_to_vec()
        } else {
            values(place).encode_to_vec()
        };
        return Some(TempoReply::new(200, PROTOBUF, body));
    }
    let body = if is_names {
        let all = scopes(place).scopes;
        let all = all
            .iter()
            .map(|scope| json!({"name": scope.name, "tags": scope.tags}));
        json!({"scopes": all.collect::<Value>(), "metrics": {"totalJobs": 1, "completedJobs": 1}})
    } else {
        let all = values(place).values;
        let all = all.iter().map(
            |value| json!({"type": value.kind, "value": String::from_utf8_lossy(&value.value)}),
        );
        json!({"tagValues": all.collect::<Value>()})
    };
    Some(TempoReply::json(body.to_string()))
}

async fn of_union() -> Door {
    let door = Door::with(selecting(UNION)).await;
    door.upstream.rule(by_alternative);
    door
}

fn all_names() -> Value {
    json!([
        {"name": "span", "tags": ["all", "z0", "z1", "z2", "z3"]},
        {"name": "resource", "tags": ["r0", "r1"]},
        {"name": "intrinsic", "tags": ["name"]},
    ])
}

/// T7: each alternative is a request of its own, since earlier versions of Tempo answer one with `||`
/// for all tenants.
#[tokio::test]
async fn names_of_alternatives_are_those_of_all_requests() {
    let door = of_union().await;
    let params = [("start", "1"), ("end", "9"), ("maxStaleValues", "7")];
    let answer = door.ask(&Ask::get("/api/v2/search/tags", &params)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["scopes"], all_names());
    assert_eq!(
        answer.json()["metrics"],
        json!({"totalJobs": 1, "completedJobs": 1})
    );
    let seen = asked(&door);
    assert_eq!(queries(&seen), filters(&[""]));
    for (place, one) in seen.iter().enumerate() {
        assert_eq!(one.path(), "/api/v2/search/tags");
        for (name, value) in params {
            assert_eq!(one.param(name), [value], "{}", one.target);
        }
        let accept = if place == 0 {
            "application/json"
        } else {
            PROTOBUF
        };
        assert_eq!(one.header("accept"), Some(accept));
    }

    let answer = door.get("/api/search/tags").await;
    let expected = json!(["all", "r0", "r1", "z0", "z1", "z2", "z3"]);
    assert_eq!(answer.json()["tagNames"], expected);
    let answer = door.get_as("/api/v2/search/tags?limit=2", PROTOBUF).await;
    let limited: Scopes = decode(&answer.body);
    assert_eq!(limited.scopes[0].tags, ["all", "z0"]);
    assert!(asked(&door).iter().all(is_of_tags));
}

/// Tempo before 2.10 answers in JSON, whatever it is asked for.
#[tokio::test]
async fn answers_in_json_are_merged_too() {
    let door = of_union().await;
    let names = door.get("/api/v2/search/tags").await.json();
    let values = "/api/v2/search/tag/span.x/values";
    let of_tag = door.get(values).await.json();
    let door = Door::with(selecting(UNION)).await;
    door.upstream.rule(|seen| {
        let reply = by_alternative(seen)?;
        Some(match seen.header("accept") {
            Some(PROTOBUF) if seen.path().ends_with("/tags") => in_json::<Scopes>(&reply),
            Some(PROTOBUF) => in_json::<TagValues>(&reply),
            _ => reply,
        })
    });
    assert_eq!(door.get("/api/v2/search/tags").await.json(), names);
    assert_eq!(door.get(values).await.json(), of_tag);
    assert_eq!(names["scopes"], all_names());
}

#[tokio::test]
async fn values_of_alternatives_are_those_of_all_requests_each_with_its_own_filter() {
    let door = of_union().await;
    let path = "/api/v2/search/tag/span.x/values";
    let shown = |answer: &Value| -> Vec<String> {
        let all = answer["tagValues"].as_array().into_iter().flatten();
        all.map(|value| {
            let text = |key: &str| value[key].as_str().unwrap_or_default();
            format!("{} {}", text("type"), text("value"))
        })
        .collect()
    };
    let answer = door.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = shown(&answer.json());
    for place in 0..4 {
        assert!(answer.contains(&format!("string v{place}")), "{answer:?}");
    }
    assert_eq!(answer.len(), 11, "{answer:?}");
    door.upstream.take();

    // Of an attribute that decides, each answer has its own alternative's values alone.
    for (tag, expected) in [
        // That of a resource with two values is in an answer too.
        ("resource.n", vec!["float 5", "int 5", "string checkout"]),
        ("resource.b", vec!["bool true"]),
        ("resource.env", vec![]),
    ] {
        let answer = door.get(&format!("/api/v2/search/tag/{tag}/values")).await;
        let answer = shown(&answer.json());
        for value in &expected {
            assert!(answer.contains(&(*value).to_owned()), "{tag}: {answer:?}");
        }
        let of_others = answer.iter().filter(|value| value.starts_with("string v"));
        // Alternatives without a condition on it show what their spans have.
        let without = match tag {
            "resource.n" | "resource.b" => ["string v2", "string v3"].as_slice(),
            _ => &["string v0", "string v1", "string v3"],
        };
        assert_eq!(of_others.collect::<Vec<_>>(), without, "{tag}");
    }
    door.upstream.take();
    let only_teams = Door::with(selecting(
        "{any: [[{attribute: resource.team, match: '=~', value: 'front-.*'}, \
         {attribute: resource.env, match: '=', value: prod}], \
         [{attribute: resource.team, match: '=', value: checkout}]]}",
    ))
    .await;
    only_teams.upstream.rule(by_alternative);
    for tag in ["resource.team", ".team"] {
        let answer = only_teams
            .get(&format!("/api/v2/search/tag/{tag}/values"))
            .await;
        let answer = shown(&answer.json());
        if tag == "resource.team" {
            assert_eq!(answer, ["string checkout", "string front-x"]);
        } else {
            // Those of spans are any.
            assert!(answer.contains(&"string foreign".to_owned()), "{answer:?}");
        }
        only_teams.upstream.take();
    }
}

/// The only tenant attribute's values are the caller's; those of a span's attribute of the same name
/// are any.
#[tokio::test]
async fn tenant_attribute_without_a_scope_has_the_values_of_both_scopes() {
    let door = Door::open().await;
    door.upstream.rule(|seen| {
        let value = |value: &str| TagValue {
            kind: "string".to_owned(),
            value: value.into(),
        };
        let is_of_spans = seen.path().contains("span.tenant_id");
        let values = if is_of_spans { ["A", "x"] } else { ["A", "B"] };
        if seen.header("accept") == Some(PROTOBUF) {
            let values = values.map(value).into();
            let metrics = None;
            let body = TagValues { values, metrics }.encode_to_vec();
            return Some(TempoReply::new(200, PROTOBUF, body));
        }
        let values = values.map(|value| json!({"type": "string", "value": value}));
        Some(TempoReply::json(json!({"tagValues": values}).to_string()))
    });
    for tag in [".tenant_id", ".%22tenant_id%22"] {
        let answer = door.get(&format!("/api/v2/search/tag/{tag}/values")).await;
        let value = |value: &str| json!({"type": "string", "value": value});
        assert_eq!(answer.json()["tagValues"], json!([value("A"), value("x")]));
    }
}

#[tokio::test]
async fn query_with_alternatives_is_a_request_for_each() {
    let door = Door::open().await;
    let stage = |more: &str| format!("{{ resource.tenant_id = \"A\" && {more} }}");
    for (query, expected) in [
        (
            "{ span.x = 1 || span.y = 2 }",
            vec![stage("span.x = 1"), stage("span.y = 2")],
        ),
        (
            "{ span.x = 1 && (span.y = 2 || name = \"z\") }",
            vec![
                stage("span.x = 1 && span.y = 2"),
                stage("span.x = 1 && name = \"z\""),
            ],
        ),
    ] {
        for path in [
            "/api/v2/search/tags",
            "/api/search/tags",
            "/api/v2/search/tag/span.n/values",
        ] {
            let answer = door.ask(&Ask::get(path, &[("q", query)])).await;
            assert_eq!(answer.status, 200, "{path} {query}: {}", answer.text());
            let expected: BTreeSet<String> = expected.iter().cloned().collect();
            assert_eq!(queries(&asked(&door)), expected, "{path} {query}");
        }
    }
    // Together with the caller's own alternatives.
    let door = of_union().await;
    let both = [("q", "{ span.x = 1 || span.y = 2 }")];
    door.ask(&Ask::get("/api/v2/search/tags", &both)).await;
    let expected = filters(&["span.x = 1", "span.y = 2"]);
    assert_eq!(queries(&asked(&door)), expected);
}

/// T7: before 3.0 Tempo answers for all tenants.
#[tokio::test]
async fn attribute_without_a_scope_is_one_of_resources_and_one_of_spans() {
    let door = Door::open().await;
    for path in ["/api/v2/search/tag/.n/values", "/api/search/tag/n/values"] {
        let answer = door.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = asked(&door);
        let paths: Vec<&str> = seen.iter().map(Seen::path).collect();
        assert_eq!(
            paths,
            [
                "/api/v2/search/tag/resource.n/values",
                "/api/v2/search/tag/span.n/values"
            ]
        );
        for one in &seen {
            assert_eq!(query(one), super::STAGE);
        }
    }
}

fn path(method: &str) -> String {
    format!("/tempopb.StreamingQuerier/{method}")
}

fn messages<M: prost::Message + Default>(answer: &CallAnswer) -> Vec<M> {
    assert_eq!((answer.http_status, answer.code()), (200, 0), "{answer:?}");
    let all = answer.messages.iter();
    all.map(|message| decode(message)).collect()
}

#[tokio::test]
async fn grpc_calls_are_answered_by_one_message_for_all_alternatives() {
    let door = of_union().await;
    let names = TagsRequest {
        query: "{ span.x = 1 || span.y = 2 }".to_owned(),
        start: 10,
        end: 20,
        ..TagsRequest::default()
    };
    let answer = door.call(&Call::new(&path("SearchTagsV2"), &names)).await;
    let all: Vec<Scopes> = messages(&answer);
    assert_eq!(all.len(), 1);
    let scopes = all[0].scopes.iter();
    let scopes = scopes.map(|scope| json!({"name": scope.name, "tags": scope.tags}));
    assert_eq!(scopes.collect::<Value>(), all_names());
    let seen = asked(&door);
    assert_eq!(queries(&seen), filters(&["span.x = 1", "span.y = 2"]));
    assert_eq!(seen[0].path(), path("SearchTagsV2"));
    for one in &seen[1..] {
        assert_eq!(one.path(), "/api/v2/search/tags");
        assert_eq!(
            (one.param("start"), one.param("end")),
            (vec!["10".to_owned()], vec!["20".to_owned()])
        );
    }
    let answer = door.call(&Call::new(&path("SearchTags"), &names)).await;
    let strings: Vec<Strings> = messages(&answer);
    assert_eq!(
        strings[0].strings,
        ["all", "r0", "r1", "z0", "z1", "z2", "z3"]
    );
    door.upstream.take();

    let values = TagValuesRequest {
        tag: "span.x".to_owned(),
        ..TagValuesRequest::default()
    };
    let answer = door
        .call(&Call::new(&path("SearchTagValuesV2"), &values))
        .await;
    let all: Vec<TagValues> = messages(&answer);
    assert_eq!((all.len(), all[0].values.len()), (1, 11));
    let seen = asked(&door);
    assert_eq!(queries(&seen), filters(&[""]));
    let paths: BTreeSet<&str> = seen[1..].iter().map(Seen::path).collect();
    assert_eq!(paths, BTreeSet::from(["/api/v2/search/tag/span.x/values"]));
}

/// Clients refuse messages of more than 4 MiB.
#[tokio::test]
async fn large_grpc_answer_of_alternatives_is_sent_in_several_messages() {
    const LARGEST: usize = 1024 * 1024;
    let texts = |place: usize| (0..7000).map(move |n| format!("{place}-{n:0100}"));
    let door = Door::with(selecting(UNION)).await;
    door.upstream.rule(move |seen| {
        if is_unfiltered_names(seen) {
            return None;
        }
        let texts = texts(place(&query(seen)));
        let is_names = seen.path().ends_with("/tags") || seen.path().ends_with("TagsV2");
        let body = if is_names {
            let (name, tags) = ("span".to_owned(), texts.collect());
            let scopes = vec![Scope { name, tags }];
            let metrics = None;
            Scopes { scopes, metrics }.encode_to_vec()
        } else {
            let values = texts.map(|text| TagValue {
                kind: "string".to_owned(),
                value: text.into_bytes(),
            });
            let values = values.collect();
            let metrics = None;
            TagValues { values, metrics }.encode_to_vec()
        };
        Some(if seen.path().starts_with("/tempopb.") {
            TempoReply::grpc(&[body], 0, "")
        } else {
            TempoReply::new(200, PROTOBUF, body)
        })
    });
    let mut expected: Vec<String> = (0..4).flat_map(texts).collect();
    expected.sort();

    let names = TagsRequest::default();
    let answer = door.call(&Call::new(&path("SearchTagsV2"), &names)).await;
    let scopes: Vec<Scopes> = messages(&answer);
    assert!(scopes.len() > 2, "{}", scopes.len());
    assert!(answer.messages.iter().all(|one| one.len() <= LARGEST));
    let scopes = scopes.into_iter().flat_map(|one| one.scopes);
    let names: Vec<String> = scopes.flat_map(|scope| scope.tags).collect();
    assert!(names == expected);

    let values = TagValuesRequest {
        tag: "span.x".to_owned(),
        ..TagValuesRequest::default()
    };
    for method in ["SearchTagValuesV2", "SearchTagValues"] {
        let answer = door.call(&Call::new(&path(method), &values)).await;
        assert!(answer.messages.iter().all(|one| one.len() <= LARGEST));
        let values: Vec<String> = if method.ends_with("V2") {
            let all = messages::<TagValues>(&answer).into_iter();
            let all = all.flat_map(|one| one.values);
            all.map(|value| String::from_utf8(value.value).unwrap())
                .collect()
        } else {
            let all = messages::<Strings>(&answer).into_iter();
            all.flat_map(|one| one.strings).collect()
        };
        assert!(values == expected, "{method}");
    }
}

/// As over HTTP.
#[tokio::test]
async fn grpc_answer_too_long_to_be_merged_is_refused_and_the_log_names_the_limit() {
    let scopes = |bytes: usize| {
        let (name, tags) = ("span".to_owned(), vec!["x".repeat(bytes)]);
        let (scopes, metrics) = (vec![Scope { name, tags }], None);
        Scopes { scopes, metrics }.encode_to_vec()
    };
    for answers in [vec![scopes(700), scopes(700)], vec![scopes(2000)]] {
        let door = Door::with(|setup| {
            selecting(UNION)(setup);
            setup.rest.push_str("limits: {answer_bytes: 1KiB}\n");
        })
        .await;
        let method = path("SearchTagsV2");
        door.upstream
            .reply(&method, TempoReply::grpc(&answers, 0, ""));
        let answer = door
            .call(&Call::new(&method, &TagsRequest::default()))
            .await;
        assert_eq!((answer.code(), answer.messages.len()), (13, 0));
        let text = answer.message();
        assert!(text.contains("cannot be checked"), "{text}");
        let log = door.proxy.process.log();
        assert!(log.contains("limits.answer_bytes"), "{log}");
    }
}

/// A part of the answer is no answer.
#[tokio::test]
async fn failed_request_for_an_alternative_fails_the_call() {
    let door = of_union().await;
    for failing in [
        TempoReply::text(500, "checkout is secret"),
        TempoReply::text(429, "too many"),
        TempoReply::new(200, PROTOBUF, b"\x0a\xff".to_vec()),
        TempoReply::json("["),
        TempoReply::text(200, "{}"),
    ] {
        door.upstream.rule(move |seen| {
            let fails = is_of_tags(seen)
                && !is_unfiltered_names(seen)
                && !seen.path().starts_with("/tempopb.")
                && place(&query(seen)) == 3;
            fails.then(|| failing.clone())
        });
        for target in [
            "/api/v2/search/tags",
            "/api/search/tags",
            "/api/v2/search/tag/span.x/values",
        ] {
            let answer = door.get(target).await;
            assert_plain(target, &answer, 502);
            assert!(!answer.text().contains("secret"), "{}", answer.text());
        }
        let names = TagsRequest::default();
        let answer = door.call(&Call::new(&path("SearchTagsV2"), &names)).await;
        assert_eq!(answer.code(), 13, "{answer:?}");
        assert!(answer.messages.is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn too_many_alternatives_are_refused_before_anything_is_sent() {
    let numbers = (0..7).map(|n| format!("{{attribute: resource.a{n}, match: '=', value: 1}}"));
    let numbers = format!("[{}]", numbers.collect::<Vec<_>>().join(", "));
    let door = Door::with(selecting(&numbers)).await;
    for target in ["/api/v2/search/tags", "/api/search/tag/x/values"] {
        let answer = door.get(target).await;
        assert_plain(target, &answer, 403);
        assert!(
            answer.text().contains("too many alternatives"),
            "{}",
            answer.text()
        );
        door.assert_nothing_forwarded(target);
    }
    let call = Call::new(&path("SearchTagsV2"), &TagsRequest::default());
    let answer = door.call(&call).await;
    assert_eq!(answer.code(), 7, "{answer:?}");
    door.assert_nothing_forwarded("gRPC");
}

#[tokio::test]
async fn further_requests_are_sent_a_few_at_a_time() {
    let alternatives =
        (0..16).map(|n| format!("[{{attribute: resource.a{n}, match: '=', value: x}}]"));
    let any = format!("{{any: [{}]}}", alternatives.collect::<Vec<_>>().join(", "));
    let door = Door::with(selecting(&any)).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    door.upstream.rule(move |seen| {
        counted.fetch_add(1, Ordering::Relaxed);
        let accept = seen.header("accept") == Some(PROTOBUF);
        let mut reply = if accept {
            TempoReply::new(200, PROTOBUF, Vec::new())
        } else {
            TempoReply::json("{}")
        };
        if accept {
            // Until it is answered, no more than a few others are.
            reply.after = Duration::from_hours(1);
        }
        Some(reply)
    });
    let get = door.get("/api/v2/search/tags");
    let waited = tokio::time::timeout(Duration::from_secs(2), get).await;
    assert!(waited.is_err(), "answered without its alternatives");
    assert_eq!(asked.load(Ordering::Relaxed), 1 + 4);
}
