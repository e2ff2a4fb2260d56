use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::tempo::tags::TagsVersion;
use crate::tempo::testing::{RangeRequest, SearchRequest, TagValuesRequest, TagsRequest};

type Error = RequestError<Unconfinable>;

/// The error of these tests' stand-in for TraceQL.
#[derive(Debug, PartialEq)]
struct Unconfinable;

fn check(query: &str) -> Result<(), Unconfinable> {
    (!query.contains("bad")).then_some(()).ok_or(Unconfinable)
}

fn confine(query: &str) -> Result<String, Unconfinable> {
    check(query)?;
    Ok(format!("T|{query}"))
}

fn from_tags(search: &TagSearch) -> Result<String, Unconfinable> {
    let tags = format!("{:?}", search.tags);
    check(&tags)?;
    let (min, max) = (search.min_duration_ms, search.max_duration_ms);
    Ok(format!("T|{tags}|{min}..{max}"))
}

fn rewrite(request: &SearchRequest) -> Result<(SearchRequest, Range), Error> {
    let (message, range) = search(&request.encode_to_vec(), confine, from_tags)?;
    Ok((SearchRequest::decode(&message[..]).unwrap(), range))
}

#[test]
fn search_is_forwarded_with_its_query_confined() {
    let request = SearchRequest {
        query: "{}".to_owned(),
        limit: 20,
        start: 5,
        end: 9,
        spans_per_span_set: 3,
        min_duration_ms: 7,
        rf1_after: Some(vec![8, 1]),
        skip_ast_transformations: vec!["a".to_owned(), "b".to_owned()],
        ..Default::default()
    };
    let (sent, range) = rewrite(&request).unwrap();
    assert_eq!(
        sent,
        SearchRequest {
            query: "T|{}".to_owned(),
            min_duration_ms: 0,
            rf1_after: None,
            skip_ast_transformations: vec![],
            ..request
        }
    );
    assert_eq!((range.start, range.end), (5, 9));
}

#[test]
fn tags_and_durations_become_the_confined_query() {
    let request = SearchRequest {
        tags: [("a".to_owned(), "1".to_owned())].into(),
        min_duration_ms: 7,
        max_duration_ms: 9,
        ..Default::default()
    };
    let (sent, _) = rewrite(&request).unwrap();
    assert_eq!(sent.query, r#"T|[("a", "1")]|7..9"#);
    assert!(sent.tags.is_empty());
    assert_eq!((sent.min_duration_ms, sent.max_duration_ms), (0, 0));

    let (sent, _) = rewrite(&SearchRequest::default()).unwrap();
    assert_eq!(sent.query, "T|[]|0..0");
    let both = SearchRequest {
        query: "{}".to_owned(),
        ..request
    };
    assert_eq!(rewrite(&both), Err(RequestError::TagsAndQuery));
}

#[test]
fn unconfinable_query_is_refused() {
    let request = SearchRequest {
        query: "bad".to_owned(),
        ..Default::default()
    };
    assert_eq!(rewrite(&request), Err(RequestError::Query(Unconfinable)));
    let request = RangeRequest {
        query: "bad".to_owned(),
        ..Default::default()
    }
    .encode_to_vec();
    let refused = Err(RequestError::Query(Unconfinable));
    assert_eq!(metrics_query_range(&request, confine), refused);
    assert_eq!(metrics_query_instant(&request, confine), refused);
}

#[test]
fn searches_that_tempo_refuses_are_refused() {
    let reversed = SearchRequest {
        min_duration_ms: 9,
        max_duration_ms: 7,
        ..Default::default()
    };
    assert_eq!(rewrite(&reversed), Err(RequestError::DurationsReversed));
    let many = SearchRequest {
        tags: (0..=MAX_TAGS)
            .map(|n| (n.to_string(), "1".to_owned()))
            .collect(),
        ..Default::default()
    };
    assert_eq!(rewrite(&many), Err(RequestError::TooManyTags));
}

#[test]
fn second_query_is_refused() {
    let one = SearchRequest {
        query: "{}".to_owned(),
        ..Default::default()
    };
    let twice = [one.encode_to_vec(), one.encode_to_vec()].concat();
    assert_eq!(
        search(&twice, confine, from_tags),
        Err(RequestError::Repeated(8))
    );
    let tag = b"\x0a\x06\x0a\x01a\x12\x01b";
    assert_eq!(
        search(&tag.repeat(2), confine, from_tags),
        Err(RequestError::RepeatedTag)
    );
}

#[test]
fn unknown_and_internal_fields_are_refused() {
    // Field 12, and field 70, whose number is beyond those that `Once` tracks.
    for (message, number) in [(&b"\x60\x01"[..], 12), (b"\xb0\x04\x01", 70)] {
        let refused = search(message, confine, from_tags);
        assert_eq!(refused, Err(RequestError::Field(number)));
        let refused: Result<_, Error> = tag_names(message);
        assert_eq!(refused, Err(RequestError::Field(number)));
        let refused: Result<_, Error> = tag_values(message, TagsVersion::V2);
        assert_eq!(refused, Err(RequestError::Field(number)));
        let refused = metrics_query_range(message, confine);
        assert_eq!(refused, Err(RequestError::Field(number)));
        let refused = metrics_query_instant(message, confine);
        assert_eq!(refused, Err(RequestError::Field(number)));
    }
    let request = RangeRequest {
        query: "q".to_owned(),
        block_id: "b".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        metrics_query_range(&request.encode_to_vec(), confine),
        Err(RequestError::Field(8))
    );
}

#[test]
fn tag_calls_always_carry_the_filter() {
    let request = TagsRequest {
        scope: "span".to_owned(),
        query: "{}".to_owned(),
        start: 1,
        end: 2,
        max_tags_per_scope: 3,
        stale_values_threshold: 4,
        rf1_after: Some(vec![]),
    };
    let encoded = request.encode_to_vec();
    let asked = tag_names::<Unconfinable>(&encoded).unwrap();
    assert_eq!((asked.params.scope, asked.params.query), ("span", "{}"));
    let params = asked.params.forwarded("T".to_owned());
    let params: Vec<(&str, &str)> = params
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let expected = [
        ("q", "T"),
        ("scope", "span"),
        ("start", "1"),
        ("end", "2"),
        ("limit", "3"),
        ("maxStaleValues", "4"),
    ];
    assert_eq!(params, expected);
    assert_eq!(
        TagsRequest::decode(&asked.message("T&{}")[..]).unwrap(),
        TagsRequest {
            query: "T&{}".to_owned(),
            rf1_after: None,
            ..request
        }
    );
    let asked = tag_names::<Unconfinable>(b"").unwrap();
    let sent = TagsRequest::decode(&asked.message("T")[..]).unwrap();
    assert_eq!(sent.query, "T");
}

#[test]
fn tag_is_forwarded_by_its_v2_name() {
    let request = |tag: &str| {
        TagValuesRequest {
            tag_name: tag.to_owned(),
            query: "{}".to_owned(),
            max_tag_values: 5,
            ..Default::default()
        }
        .encode_to_vec()
    };
    let sent = |tag, version| {
        let request = request(tag);
        let asked = tag_values::<Unconfinable>(&request, version).unwrap();
        assert_eq!(asked.params.query, "{}");
        assert_eq!(asked.params.limit.map(u32::from), Some(5));
        let sent = asked.message(&asked.tag, "T&{}");
        let message = TagValuesRequest::decode(&sent[..]).unwrap();
        assert_eq!(message.query, "T&{}");
        assert_eq!(message.max_tag_values, 5);
        message.tag_name
    };
    assert_eq!(sent("x", TagsVersion::V1), ".x");
    assert_eq!(
        sent("service.name", TagsVersion::V1),
        "resource.service.name"
    );
    assert_eq!(sent("span.x", TagsVersion::V2), "span.x");
    for tag in ["", "x", "rootName } | { true", ".a/../../x"] {
        let request = request(tag);
        let refused: Result<_, Error> = tag_values(&request, TagsVersion::V2);
        assert!(matches!(refused, Err(RequestError::TagName(_))), "{tag}");
    }
    let request = request("rootName");
    let of_trace = tag_values::<Unconfinable>(&request, TagsVersion::V1).unwrap();
    assert!(of_trace.tag.describes_whole_trace());
}

#[test]
fn metrics_queries_are_forwarded_confined() {
    let request = RangeRequest {
        query: "q".to_owned(),
        start: 1 << 60,
        end: (1 << 60) + 9,
        step: 60_000_000_000,
        exemplars: 100,
        max_series: 7,
        instant: Some(false),
        skip_ast_transformations: vec!["a".to_owned(), "b".to_owned()],
        block_id: String::new(),
    };
    let sent = metrics_query_range(&request.encode_to_vec(), confine).unwrap();
    assert_eq!(
        RangeRequest::decode(&sent[..]).unwrap(),
        RangeRequest {
            query: "T|q".to_owned(),
            skip_ast_transformations: vec![],
            ..request
        }
    );
    let instant = RangeRequest {
        query: "q".to_owned(),
        start: 1,
        end: 2,
        ..Default::default()
    };
    let sent = metrics_query_instant(&instant.encode_to_vec(), confine).unwrap();
    let sent = RangeRequest::decode(&sent[..]).unwrap();
    assert_eq!((&*sent.query, sent.start, sent.end), ("T|q", 1, 2));
    assert_eq!(
        metrics_query_range(b"", confine),
        Err(RequestError::NoQuery)
    );
    assert_eq!(
        metrics_query_instant(b"", confine),
        Err(RequestError::NoQuery)
    );
}

#[test]
fn invalid_messages_are_refused() {
    for message in [
        &b"\x42\x01\xff"[..],
        b"\x40\x01",
        b"\x42\x05a",
        b"\x0b",
        b"\x20\x80\x80\x80\x80\x10",
    ] {
        let refused = search(message, confine, from_tags);
        assert!(
            matches!(refused, Err(RequestError::Unreadable(_))),
            "{message:x?}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_messages_are_confined_or_refused(message in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok((sent, _)) = search(&message, confine, from_tags) {
            let sent = SearchRequest::decode(&sent[..]).unwrap();
            prop_assert!(sent.query.starts_with('T') && sent.tags.is_empty());
        }
        if let Ok(asked) = tag_names::<Unconfinable>(&message) {
            let sent = TagsRequest::decode(&asked.message("T")[..]).unwrap();
            prop_assert_eq!(sent.query, "T");
        }
        let _ = tag_values::<Unconfinable>(&message, TagsVersion::V1);
        if let Ok(sent) = metrics_query_range(&message, confine) {
            prop_assert!(RangeRequest::decode(&sent[..]).unwrap().query.starts_with("T|"));
        }
        let _ = metrics_query_instant(&message, confine);
    }

    /// Messages that are nearly valid, which random bytes hardly ever are.
    #[test]
    fn mutated_messages_are_confined_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut message = SearchRequest {
            query: "{ a }".to_owned(),
            limit: 20,
            start: 1_795_226_560,
            end: 1_795_230_165,
            spans_per_span_set: 3,
            ..Default::default()
        }
        .encode_to_vec();
        for (index, byte) in changes {
            let at = index.index(message.len());
            message[at] = byte;
        }
        if let Ok((sent, _)) = search(&message, confine, from_tags) {
            let sent = SearchRequest::decode(&sent[..]).unwrap();
            prop_assert!(sent.query.starts_with('T') && sent.tags.is_empty());
        }
    }
}
