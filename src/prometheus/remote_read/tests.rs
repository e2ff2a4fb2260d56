use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::tenancy::{LabelMatcher, Tenant, TenantSet};
use crate::testing::selected;

/// `prompb/remote.proto` and `prompb/types.proto` of Prometheus 3.14.
#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
    #[prost(int32, repeated, tag = "2")]
    accepted_response_types: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<PbMatcher>,
    #[prost(message, optional, tag = "4")]
    hints: Option<ReadHints>,
}

#[derive(Clone, PartialEq, Message)]
struct PbMatcher {
    #[prost(int32, tag = "1")]
    r#type: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct ReadHints {
    #[prost(int64, tag = "1")]
    step_ms: i64,
    #[prost(string, tag = "2")]
    func: String,
    #[prost(string, repeated, tag = "5")]
    grouping: Vec<String>,
}

fn matcher(label: &str, tenants: &[&str]) -> LabelMatcher {
    let tenants = TenantSet::new(tenants.iter().map(|t| Tenant::new(t).unwrap())).unwrap();
    LabelMatcher::new(label.into(), tenants)
}

fn matchers() -> Matchers {
    Matchers::new(
        matcher("tenant_id", &["acme"]),
        [matcher("env", &["a.b", "c"])],
    )
}

fn added() -> [PbMatcher; 2] {
    [
        PbMatcher {
            r#type: 0,
            name: "tenant_id".into(),
            value: "acme".into(),
        },
        PbMatcher {
            r#type: 2,
            name: "env".into(),
            value: r"a\.b|c".into(),
        },
    ]
}

fn snappy(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

/// The body that is forwarded for this one.
fn confine_body(body: &[u8], max_decoded: usize) -> Result<Vec<u8>, RemoteReadError> {
    confine(&decode(body, max_decoded)?, &matchers(), max_decoded)
}

fn confined(message: &[u8]) -> Result<ReadRequest, RemoteReadError> {
    let body = confine_body(&snappy(message), 1 << 20)?;
    let message = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    Ok(ReadRequest::decode(&message[..]).unwrap())
}

fn query(own: &str) -> Query {
    Query {
        start_timestamp_ms: -1,
        end_timestamp_ms: i64::MAX,
        matchers: vec![PbMatcher {
            r#type: 3,
            name: "tenant_id".into(),
            value: own.into(),
        }],
        hints: Some(ReadHints {
            step_ms: 15,
            func: "rate".into(),
            grouping: vec!["job".into()],
        }),
    }
}

#[test]
fn every_query_gets_every_matcher_and_is_otherwise_unmodified() {
    let request = ReadRequest {
        queries: vec![query("globex"), Query::default(), query(&"long".repeat(99))],
        accepted_response_types: vec![1, 0],
    };
    let mut want = request.clone();
    for query in &mut want.queries {
        // Without a matcher it selects nothing, and goes on to.
        if query.matchers.is_empty() {
            query.matchers.push(PbMatcher {
                r#type: 0,
                name: "__name__".into(),
                value: String::new(),
            });
        }
        query.matchers.extend(added());
    }
    assert_eq!(confined(&request.encode_to_vec()), Ok(want));
}

#[test]
fn request_without_queries_is_unmodified() {
    let request = ReadRequest {
        queries: vec![],
        accepted_response_types: vec![0],
    };
    assert_eq!(confined(&request.encode_to_vec()), Ok(request));
    assert_eq!(confined(&[]), Ok(ReadRequest::default()));
}

#[test]
fn unpacked_response_types_are_supported() {
    assert_eq!(
        confined(&[0x10, 1, 0x10, 0])
            .unwrap()
            .accepted_response_types,
        [1, 0]
    );
}

#[test]
fn unknown_fields_are_refused() {
    let hostile: &[&[u8]] = &[
        &[0x1A, 0],                               // field 3 of the request
        &[0x08, 1],                               // queries as a varint
        &[0x0B, 0x0C],                            // queries as a group
        &[0x0A, 2, 0x2A, 0],                      // field 5 of a query
        &[0x0A, 2, 0x18, 0],                      // matchers as a varint
        &[0x0A, 2, 0x0A, 0],                      // start as bytes
        &[0x0A, 5, 0],                            // longer than the message
        &[0x0A, 2, 0x1A, 9],                      // longer than the query
        &[0x0A],                                  // no length
        &[0x80],                                  // a truncated tag
        &[0x8A, 0x80, 0x80, 0x80, 0x80, 0x01, 0], // field 1 to a parser that keeps 32 bits of it
        &[
            0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01,
        ],
        &[
            0x8A, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, 0,
        ],
        &[0x02, 0],          // field 0
        &[0x0D, 0, 0, 0, 0], // 32 bits
    ];
    for message in hostile {
        let refused = confined(message).unwrap_err();
        assert!(
            matches!(refused, RemoteReadError::Unknown(_)),
            "{message:x?}: {refused}"
        );
    }
}

#[test]
fn sizes_are_bounded_before_anything_is_allocated() {
    // Declares 4 GiB - 1.
    let bomb = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0];
    assert_eq!(
        confine_body(&bomb, 1 << 20),
        Err(RemoteReadError::TooLong(1 << 20))
    );
    let many = [0x0A, 0].repeat(MAX_QUERIES + 1);
    assert_eq!(confined(&many), Err(RemoteReadError::TooManyQueries));
    assert!(confined(&[0x0A, 0].repeat(MAX_QUERIES)).is_ok());
}

#[test]
fn invalid_snappy_is_refused() {
    for body in [&b""[..], b"\x05hello", b"\xff\xff\xff\xff\xff\xff"] {
        assert_eq!(confine_body(body, 1 << 20), Err(RemoteReadError::NotSnappy));
    }
}

proptest! {
    /// Whatever prost decodes from the forwarded body has the matchers in every query.
    #[test]
    fn arbitrary_messages_cannot_bypass_the_matchers(message in prop::collection::vec(
        prop_oneof![Just(0x0A_u8), Just(0x1A), Just(0x02), Just(0x00), any::<u8>()], 0..40,
    )) {
        let body = confine_body(&snappy(&message), 1 << 20);
        if let Ok(body) = body {
            let sent = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
            if let Ok(request) = ReadRequest::decode(&sent[..]) {
                for query in request.queries {
                    prop_assert!(query.matchers.ends_with(&added()));
                }
            }
        }
    }

    #[test]
    fn arbitrary_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = confine_body(&body, 1 << 16);
    }
}

#[test]
fn selectors_keep_their_operator() {
    for (op, number, value) in [("=~", 2, "(?s:a.*)"), ("!~", 3, "(?s:a.*)|")] {
        let own = LabelMatcher::new("ns".into(), selected(op, "a.*", &[]));
        let body = snappy(
            &ReadRequest {
                queries: vec![query("x")],
                ..Default::default()
            }
            .encode_to_vec(),
        );
        let sent = confine(
            &decode(&body, 1 << 20).unwrap(),
            &Matchers::new(own, []),
            1 << 20,
        )
        .unwrap();
        let message = snap::raw::Decoder::new().decompress_vec(&sent).unwrap();
        let sent = ReadRequest::decode(&message[..]).unwrap();
        let added = PbMatcher {
            r#type: number,
            name: "ns".into(),
            value: value.into(),
        };
        assert!(sent.queries[0].matchers.contains(&added), "{op}");
    }
}
