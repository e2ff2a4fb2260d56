//! Remote read: each query of what comes out has our matchers beside its own.

use partywall::prometheus::remote_read::{confine, decode, ranges, sizes};
use partywall::tenancy::{MatchOp, Matchers};
use prost::Message;

const MAX_DECODED: usize = 1 << 16;

/// `prompb.ReadRequest`, from `prompb/remote.proto` and `prompb/types.proto` of Prometheus.
#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
    #[prost(enumeration = "ResponseType", repeated, tag = "2")]
    accepted: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum ResponseType {
    Samples = 0,
    StreamedXorChunks = 1,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start: i64,
    #[prost(int64, tag = "2")]
    end: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<LabelMatcher>,
    #[prost(bytes = "vec", optional, tag = "4")]
    hints: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelMatcher {
    #[prost(int32, tag = "1")]
    op: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

/// The first byte chooses the scope, and whether the body is compressed already.
pub fn check(data: &[u8]) {
    let Some(([choice], body)) = crate::split(data) else {
        return;
    };
    let matchers = crate::scopes::matchers(choice & 3);
    let message = if choice & 4 == 0 {
        body.to_vec()
    } else {
        let Ok(message) = decode(body, MAX_DECODED) else {
            return;
        };
        assert!(message.len() <= MAX_DECODED);
        message
    };
    let _ = (ranges(&message), sizes(&message));
    let original = ReadRequest::decode(&*message);
    let confined = match confine(&message, &matchers, MAX_DECODED) {
        Ok(confined) => confined,
        Err(error) => {
            let is_canonical =
                original.is_ok_and(|it| it.encode_to_vec() == message && it.queries.len() <= 100);
            assert!(!is_canonical, "{error}");
            return;
        }
    };
    let confined = decode(&confined, usize::MAX).expect("a snappy block");
    let Ok(original) = original else { return };
    let sent = ReadRequest::decode(&*confined).expect("what is sent can be decoded");
    assert_eq!(sent.accepted, original.accepted);
    assert_eq!(sent.queries.len(), original.queries.len());
    for (sent, original) in sent.queries.iter().zip(&original.queries) {
        assert_eq!(
            (sent.start, sent.end, &sent.hints),
            (original.start, original.end, &original.hints)
        );
        let (own, ours) = sent.matchers.split_at(original.matchers.len());
        assert_eq!(own, original.matchers);
        let selects_nothing = original.matchers.is_empty();
        assert_ours(&ours[usize::from(selects_nothing)..], &matchers);
        if selects_nothing {
            assert_eq!(
                (ours[0].op, &*ours[0].name, &*ours[0].value),
                (0, "__name__", "")
            );
        }
    }
}

fn assert_ours(sent: &[LabelMatcher], matchers: &Matchers) {
    let expected: Vec<_> = matchers
        .iter()
        .map(|it| {
            let op = match it.op() {
                MatchOp::Equal => 0,
                MatchOp::Regex => 2,
                MatchOp::NotRegex => 3,
            };
            LabelMatcher {
                op,
                name: it.label().to_owned(),
                value: it.value().to_owned(),
            }
        })
        .collect();
    assert_eq!(sent, expected);
}
