//! T10: the calls of `tempopb.StreamingQuerier`, as Grafana makes them.

use bytes::Bytes;
use hyper::HeaderMap;
use prost::Message;

use super::{Door, STAGE, assert_no_foreign};
use crate::kit::grpc::{Call, CallAnswer, call, call_repeatedly, frame, unframe};
use crate::kit::otlp::Any;
use crate::kit::tempo_messages::{
    QueryInstantRequest, QueryInstantResponse, QueryRangeRequest, QueryRangeResponse, Scopes,
    SearchRequest, SearchResponse, Strings, TagValues, TagValuesRequest, TagsRequest, decode,
};
use crate::kit::tempo_upstream::{TempoReply, is_side_search, recorded_stream, trace_id};
use crate::kit::upstream::Seen;

const INVALID_ARGUMENT: u8 = 3;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

fn path(method: &str) -> String {
    format!("/tempopb.StreamingQuerier/{method}")
}

fn search(query: &str) -> Call {
    let message = SearchRequest {
        query: query.to_owned(),
        limit: 20,
        start: 10,
        end: 20,
        spans_per_span_set: 3,
        ..SearchRequest::default()
    };
    Call::new(&path("Search"), &message)
}

fn sent<M: Message + Default>(seen: &Seen) -> M {
    let mut messages = unframe(seen.body.clone());
    assert_eq!(messages.len(), 1);
    decode(&messages.remove(0))
}

fn all<M: Message + Default>(answer: &CallAnswer) -> Vec<M> {
    assert_eq!((answer.http_status, answer.code()), (200, 0), "{answer:?}");
    assert_eq!(
        answer.headers.get("content-type").unwrap(),
        "application/grpc"
    );
    answer
        .messages
        .iter()
        .map(|message| decode(message))
        .collect()
}

/// The second time, HPACK writes the same trailers as one byte.
#[tokio::test]
async fn calls_on_one_connection_are_answered_alike() {
    let door = Door::open().await;
    let call = search("{ .a = 1 }");
    let answers = call_repeatedly(&door.proxy.url, &call, Some(&door.token), 5).await;
    let first: Vec<SearchResponse> = all(&answers[0]);
    for answer in &answers {
        assert_eq!(all::<SearchResponse>(answer), first);
    }
}

#[tokio::test]
async fn a_search_is_confined_and_its_messages_are_filtered() {
    let door = Door::open().await;
    let call = search("{ .a = 1 } | select(name)")
        .with("x-scope-orgid", "B")
        .with("x-grafana-user", "admin")
        .with("x-secret-bin", "QQ==")
        .with("grpc-timeout", "20S");
    let answer = door.call(&call).await;
    let pages: Vec<SearchResponse> = all(&answer);
    assert_eq!(
        pages.len(),
        recorded_stream("grpc-http-port-Search-tenantA.bin").len()
    );
    let mut shown = 0;
    for trace in pages.iter().flat_map(|page| &page.traces) {
        let is_described = ["1", "c", "3", "4"]
            .iter()
            .any(|end| trace_id(end).ends_with(&trace.id));
        assert_eq!(
            trace.service_stats.is_empty(),
            !is_described,
            "{}",
            trace.id
        );
        let spans = trace.span_sets.iter().flat_map(|set| &set.spans);
        for attribute in spans.flat_map(|span| &span.attributes) {
            assert_ne!(attribute.key, "tenant_id");
        }
        shown += 1;
    }
    assert!(shown > 3);
    for message in &answer.messages {
        assert_no_foreign("a message", &String::from_utf8_lossy(message));
    }
    for page in &pages {
        let metrics = page.metrics.clone().unwrap_or_default();
        assert_eq!((metrics.inspected_bytes, metrics.inspected_spans), (0, 0));
    }
    let seen = door.upstream.take();
    let request = &seen[0];
    assert_eq!(request.path(), path("Search"));
    let expected = SearchRequest {
        query: format!("{STAGE} | {{ .a = 1 }} | select(name)"),
        limit: 20,
        start: 10,
        end: 20,
        spans_per_span_set: 3,
        ..SearchRequest::default()
    };
    assert_eq!(sent::<SearchRequest>(request), expected);
    assert_eq!(request.header("content-type"), Some("application/grpc"));
    assert_eq!(request.header("te"), Some("trailers"));
    assert_eq!(request.header("grpc-timeout"), Some("20S"));
    for name in [
        "authorization",
        "x-scope-orgid",
        "x-grafana-user",
        "x-secret-bin",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
    let is_side = |seen: &Seen| is_side_search(seen) || seen.path().starts_with("/api/traces/");
    assert!(seen[1..].iter().all(is_side), "{seen:#?}");
    assert!(seen.len() > 1);
}

#[tokio::test]
async fn tag_calls_are_forwarded_as_v2() {
    let door = Door::open().await;
    let names = TagsRequest {
        query: "{ .unscoped = 1 }".to_owned(),
        start: 10,
        end: 20,
        ..TagsRequest::default()
    };
    let narrowed = TagsRequest {
        query: STAGE.to_owned(),
        ..names.clone()
    };
    let answer = door.call(&Call::new(&path("SearchTags"), &names)).await;
    let strings: Vec<Strings> = all(&answer);
    assert!(
        strings
            .iter()
            .any(|message| message.strings.contains(&"a.attr".to_owned()))
    );
    let seen = door.took_first();
    assert_eq!(seen.path(), path("SearchTagsV2"));
    assert_eq!(sent::<TagsRequest>(&seen), narrowed);
    let answer = door.call(&Call::new(&path("SearchTagsV2"), &names)).await;
    assert!(!all::<Scopes>(&answer)[0].scopes.is_empty());
    assert_eq!(sent::<TagsRequest>(&door.took_first()), narrowed);

    let values = |tag: &str| TagValuesRequest {
        tag: tag.to_owned(),
        query: "{ resource.service.name = \"web\" }".to_owned(),
        ..TagValuesRequest::default()
    };
    let narrowed = r#"{ resource.tenant_id = "A" && resource.service.name = "web" }"#;
    let answer = door
        .call(&Call::new(
            &path("SearchTagValues"),
            &values("service.name"),
        ))
        .await;
    assert!(!all::<Strings>(&answer)[0].strings.is_empty());
    let seen = door.upstream.take_one();
    assert_eq!(seen.path(), path("SearchTagValuesV2"));
    let request: TagValuesRequest = sent(&seen);
    assert_eq!(
        (request.tag.as_str(), request.query.as_str()),
        ("resource.service.name", narrowed)
    );
    let answer = door
        .call(&Call::new(&path("SearchTagValuesV2"), &values("span.n")))
        .await;
    assert!(!all::<TagValues>(&answer)[0].values.is_empty());
    let request: TagValuesRequest = sent(&door.upstream.take_one());
    assert_eq!(
        (request.tag.as_str(), request.query.as_str()),
        ("span.n", narrowed)
    );
    door.call(&Call::new(
        &path("SearchTagValuesV2"),
        &values("trace:rootName"),
    ))
    .await;
    let request: TagValuesRequest = sent(&door.upstream.take_one());
    assert_eq!(
        (request.tag.as_str(), request.query.as_str()),
        (
            "name",
            r#"{ resource.tenant_id = "A" && nestedSetParent < (0) }"#
        )
    );
}

#[tokio::test]
async fn metrics_are_confined() {
    let door = Door::open().await;
    let range = QueryRangeRequest {
        query: "{} | rate()".to_owned(),
        start: 1_795_228_873_000_000_000,
        end: 1_795_230_073_000_000_000,
        step: 60_000_000_000,
        exemplars: 5,
    };
    let answer = door
        .call(&Call::new(&path("MetricsQueryRange"), &range))
        .await;
    let series: Vec<QueryRangeResponse> = all(&answer);
    assert!(series.iter().any(|message| !message.series.is_empty()));
    let labels = series
        .iter()
        .flat_map(|message| &message.series)
        .flat_map(|s| &s.exemplars);
    assert!(
        labels
            .flat_map(|e| &e.labels)
            .all(|label| label.key != "resource.tenant_id")
    );
    let mut expected = range.clone();
    expected.query = format!("{STAGE} | {{}} | rate()");
    assert_eq!(
        sent::<QueryRangeRequest>(&door.upstream.take_one()),
        expected
    );

    let instant = QueryInstantRequest {
        query: "{} | rate() by(name)".to_owned(),
        start: range.start,
        end: range.end,
    };
    let answer = door
        .call(&Call::new(&path("MetricsQueryInstant"), &instant))
        .await;
    let series: Vec<QueryInstantResponse> = all(&answer);
    let is_text = |any: &Option<Any>| matches!(any, Some(Any::StringValue(_)));
    let labels = series
        .iter()
        .flat_map(|message| &message.series)
        .flat_map(|s| &s.labels);
    assert!(
        labels
            .filter_map(|label| label.value.as_ref())
            .all(|value| is_text(&value.value))
    );
    let request: QueryInstantRequest = sent(&door.upstream.take_one());
    assert_eq!(request.query, format!("{STAGE} | {{}} | rate() by(name)"));
}

#[tokio::test]
async fn an_empty_or_old_search_is_confined_too() {
    let door = Door::open().await;
    let mut old = SearchRequest::default();
    door.call(&Call::new(&path("Search"), &old)).await;
    assert_eq!(sent::<SearchRequest>(&door.took_first()).query, STAGE);
    old.tags
        .insert("service.name".to_owned(), "b-web".to_owned());
    old.min_duration_ms = 5;
    let answer = door.call(&Call::new(&path("Search"), &old)).await;
    assert_eq!(answer.code(), 0, "{answer:?}");
    let request: SearchRequest = sent(&door.took_first());
    assert!(request.query.starts_with(STAGE), "{}", request.query);
    assert!(
        request.query.contains("resource.service.name"),
        "{}",
        request.query
    );
    assert!(request.tags.is_empty() && request.min_duration_ms == 0);
    old.query = "{}".to_owned();
    let answer = door.call(&Call::new(&path("Search"), &old)).await;
    assert_eq!(answer.code(), INVALID_ARGUMENT, "{answer:?}");
    door.assert_nothing_forwarded("tags and a query");
}

#[tokio::test]
async fn health_is_passed() {
    let door = Door::open().await;
    let answer = door
        .call(&Call::framed("/grpc.health.v1.Health/Check", frame(0, b"")))
        .await;
    assert_eq!(
        (answer.code(), answer.messages),
        (0, vec![Bytes::from_static(&[8, 1])])
    );
    assert_eq!(
        door.upstream.take_one().path(),
        "/grpc.health.v1.Health/Check"
    );
}

#[tokio::test]
async fn every_other_method_is_unimplemented_and_not_forwarded() {
    let door = Door::open().await;
    for path in [
        "/tempopb.StreamingQuerier/Search2",
        "/tempopb.StreamingQuerier/search",
        "/tempopb.StreamingQuerier/",
        "/tempopb.Querier/FindTraceByID",
        "/tempopb.Querier/SearchRecent",
        "/tempopb.Querier/SearchTagsV2",
        "/tempopb.Metrics/QueryRange",
        "/tempopb.Pusher/PushBytesV2",
        "/tempopb.BackendScheduler/SubmitRedaction",
        "/tempopb.BackendScheduler/Next",
        "/frontend.Frontend/Process",
        "/frontend.Frontend/NotifyClientShutdown",
        "/httpgrpc.HTTP/Handle",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/x/tempopb.StreamingQuerier/Search",
        "/api/search",
    ] {
        let answer = door.call(&Call::framed(path, frame(0, b""))).await;
        assert_eq!(answer.http_status, 200, "{path}: {answer:?}");
        assert_eq!(answer.code(), UNIMPLEMENTED, "{path}: {answer:?}");
        assert!(answer.messages.is_empty());
        door.assert_nothing_forwarded(path);
    }
}

/// Refused before it is known what it is.
#[tokio::test]
async fn ambiguous_path_is_not_forwarded() {
    let door = Door::open().await;
    let authorization = format!("Bearer {}", door.proxy.signer.tenant("A"));
    for path in [
        "/tempopb.StreamingQuerier%2FSearch",
        "//tempopb.StreamingQuerier/Search",
        "/x/../tempopb.Querier/SearchRecent",
    ] {
        let request = hyper::Request::post(format!("{}{path}", door.proxy.url))
            .header("content-type", "application/grpc")
            .header("authorization", &authorization)
            .body(http_body_util::Full::new(frame(0, b"")))
            .expect("a request");
        let answer = door.client.send(request).await;
        let is_refused = answer.status == 400 || code_of(&answer.headers).is_some_and(|c| c != 0);
        assert!(is_refused, "{path}: {answer:?}");
        door.assert_nothing_forwarded(path);
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_answered() {
    let door = Door::open().await;
    for method in ["Search", "SearchTags", "MetricsQueryRange", "Nope"] {
        for token in [None, Some("a.b.c")] {
            let one = Call::framed(&path(method), frame(0, b""));
            let answer = call(&door.proxy.url, &one, token).await;
            assert_eq!(answer.code(), UNAUTHENTICATED, "{method}: {answer:?}");
            assert_eq!(answer.http_status, 200);
            assert!(!answer.message().is_empty());
            door.assert_nothing_forwarded(method);
        }
    }
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_refused() {
    let door = Door::open().await;
    let good = SearchRequest {
        query: "{}".to_owned(),
        ..SearchRequest::default()
    };
    let good = good.encode_to_vec();
    let twice = [frame(0, &good), frame(0, &good)].concat();
    let mut unknown = good.clone();
    unknown.extend([0xa2, 0x06, 1, b'x']);
    let repeated = [good.clone(), good.clone()].concat();
    for (what, body, code, word) in [
        ("compressed", frame(1, &good), UNIMPLEMENTED, "compressed"),
        ("flags", frame(2, &good), INVALID_ARGUMENT, "flags"),
        ("no message", Bytes::new(), INVALID_ARGUMENT, "one message"),
        (
            "two messages",
            Bytes::from(twice),
            INVALID_ARGUMENT,
            "one message",
        ),
        (
            "cut off",
            frame(0, &good).slice(..good.len()),
            INVALID_ARGUMENT,
            "within a message",
        ),
        (
            "no protobuf",
            frame(0, b"\xff\xff\xff"),
            INVALID_ARGUMENT,
            "unfinished varint",
        ),
        (
            "unknown field",
            frame(0, &unknown),
            PERMISSION_DENIED,
            "field 100",
        ),
        (
            "query twice",
            frame(0, &repeated),
            INVALID_ARGUMENT,
            "field 8",
        ),
    ] {
        let answer = door.call(&Call::framed(&path("Search"), body)).await;
        assert_eq!(answer.code(), code, "{what}: {answer:?}");
        assert!(
            answer.message().contains(word),
            "{what}: {}",
            answer.message()
        );
        door.assert_nothing_forwarded(what);
    }
    let compressed = search("{}").with("grpc-encoding", "gzip");
    let answer = door.call(&compressed).await;
    assert_eq!(
        answer.code(),
        0,
        "a plain message may come with any encoding: {answer:?}"
    );
}

#[tokio::test]
async fn queries_are_refused_in_the_words_of_their_http_twins() {
    let door = Door::open().await;
    for (query, code) in [
        ("{ nope }", INVALID_ARGUMENT),
        ("{ traceDuration > 1s }", PERMISSION_DENIED),
        ("{} with (debug_return_in=\"5s\")", INVALID_ARGUMENT),
    ] {
        let answer = door.call(&search(query)).await;
        assert_eq!(answer.code(), code, "{answer:?}");
        let twin = door.search(&[("q", query)]).await;
        assert_eq!(answer.message().trim_end(), twin.text().trim_end());
        door.assert_nothing_forwarded(query);
    }
    let values = TagValuesRequest {
        tag: "trace:duration".to_owned(),
        ..TagValuesRequest::default()
    };
    let answer = door
        .call(&Call::new(&path("SearchTagValuesV2"), &values))
        .await;
    assert_eq!(answer.code(), PERMISSION_DENIED, "{answer:?}");
    let metrics = QueryRangeRequest {
        query: "{}".to_owned(),
        ..QueryRangeRequest::default()
    };
    let answer = door
        .call(&Call::new(&path("MetricsQueryRange"), &metrics))
        .await;
    assert_eq!(answer.code(), INVALID_ARGUMENT, "{answer:?}");
    door.assert_nothing_forwarded("refused");
}

#[tokio::test]
async fn grpc_status_is_preserved_with_a_scrubbed_message() {
    let door = Door::open().await;
    let page = &recorded_stream("grpc-http-port-Search-tenantA.bin")[..1];
    let harmless = "limit 10000000 exceeds max limit 262144";
    for (messages, code, text, shown) in [
        (page, 0, "", ""),
        (page, INTERNAL, "SECRET", "Tempo failed"),
        (&[], RESOURCE_EXHAUSTED, "SECRET", "too many requests"),
        (&[], INVALID_ARGUMENT, harmless, harmless),
        (&[], INVALID_ARGUMENT, "`A` SECRET", "refused"),
        (&[], UNAVAILABLE, "10.0.0.1 SECRET", "Tempo failed"),
    ] {
        let mut reply = TempoReply::grpc(messages, code, text);
        reply
            .trailers
            .push(("grpc-status-details-bin", "U0VDUkVU".to_owned()));
        reply.trailers.push(("x-secret", "SECRET".to_owned()));
        door.upstream.reply(&path("Search"), reply);
        let answer = door.call(&search("{}")).await;
        assert_eq!(answer.code(), code, "{answer:?}");
        assert_eq!(answer.messages.len(), messages.len());
        assert!(answer.message().contains(shown), "{}", answer.message());
        let trailers: Vec<&str> = answer
            .trailers
            .keys()
            .map(hyper::header::HeaderName::as_str)
            .collect();
        for name in ["grpc-status-details-bin", "x-secret"] {
            assert!(!trailers.contains(&name), "{trailers:?}");
        }
        door.upstream.take();
    }
}

#[tokio::test]
async fn an_upstream_that_is_no_grpc_server_is_an_error() {
    let door = Door::open().await;
    let mut no_status =
        TempoReply::grpc(&recorded_stream("grpc-http-port-Search-tenantA.bin"), 0, "");
    no_status.trailers.clear();
    let mut compressed = TempoReply::grpc(&[], 0, "");
    compressed.body = frame(1, b"SECRET");
    let mut cut = TempoReply::grpc(&[b"SECRET".to_vec()], 0, "");
    cut.body = cut.body.slice(..8);
    for (what, reply) in [
        ("HTTP 404", TempoReply::text(404, "SECRET")),
        ("HTTP 500", TempoReply::text(500, "SECRET")),
        ("HTML", TempoReply::new(200, "text/html", "<html>SECRET")),
        ("no status", no_status),
        ("compressed", compressed),
        ("cut off", cut),
        (
            "garbage",
            TempoReply::grpc(&[b"\xff\xff\xff SECRET".to_vec()], 0, ""),
        ),
    ] {
        door.upstream.reply(&path("Search"), reply);
        let answer = door.call(&search("{}")).await;
        assert_ne!(answer.code(), 0, "{what}: {answer:?}");
        let shown = format!("{answer:?}");
        assert!(!shown.contains("SECRET"), "{what}: {shown}");
        door.upstream.take();
    }
}

/// gRPC-Web and other forms of messages are not gRPC.
#[tokio::test]
async fn other_content_types_are_refused() {
    let door = Door::open().await;
    for content_type in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc+json",
    ] {
        let request = hyper::Request::post(format!("{}{}", door.proxy.url, path("Search")))
            .header("content-type", content_type)
            .header(
                "authorization",
                format!("Bearer {}", door.proxy.signer.tenant("A")),
            )
            .body(http_body_util::Full::new(frame(0, b"")))
            .expect("a request");
        let answer = door.client.send(request).await;
        let code = code_of(&answer.headers);
        assert!(
            code == Some(INVALID_ARGUMENT) || code == Some(UNIMPLEMENTED),
            "{answer:?}"
        );
        door.assert_nothing_forwarded(content_type);
    }
    // A call's path without a call is no path of HTTP's.
    let answer = door.get("/tempopb.StreamingQuerier/Search").await;
    assert_eq!(code_of(&answer.headers), Some(UNIMPLEMENTED), "{answer:?}");
    door.assert_nothing_forwarded("GET");
}

fn code_of(headers: &HeaderMap) -> Option<u8> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
