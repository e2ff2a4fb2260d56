//! gRPC: messages come out of frames the same however they arrive, and a rewritten request carries one
//! confined query and nothing else that selects data.

use bytes::{Buf as _, Bytes};
use partywall::grpc::frame::{Decoder, FrameError, encode};
use partywall::grpc::status::{percent_decode, percent_encode};
use partywall::tempo::requests;
use prost::Message;

const LIMIT: usize = 4096;

/// Tempo's `SearchRequest`.
#[derive(Clone, PartialEq, Message)]
struct SearchRequest {
    #[prost(map = "string, string", tag = "1")]
    tags: std::collections::HashMap<String, String>,
    #[prost(string, tag = "8")]
    query: String,
}

/// The first byte chooses the length of the pieces.
pub fn check(data: &[u8]) {
    let Some(([piece], body)) = crate::split(data) else {
        return;
    };
    let whole = messages(body, body.len());
    assert_eq!(
        whole,
        messages(body, usize::from(*piece) + 1),
        "in pieces, other messages"
    );
    let (messages, end) = whole;
    let (expected, is_whole) = reference(body);
    assert_eq!(messages, expected);
    assert_eq!(end.is_ok(), is_whole);
    for message in &messages {
        let frame = encode(message).expect("short");
        assert_eq!(self::messages(&frame, 7), (vec![message.clone()], Ok(())));
        check_search(message);
    }
    let text = String::from_utf8_lossy(body);
    assert_eq!(percent_decode(percent_encode(&text).as_bytes()), text);
    check_search(body);
}

fn check_search(message: &[u8]) {
    let confine = |query: &str| Ok::<_, String>(format!("CONFINED {query}"));
    let tags = |_: &requests::TagSearch| Ok::<_, String>("CONFINED tags".to_owned());
    if let Ok((out, _)) = requests::search(message, confine, tags) {
        let sent = SearchRequest::decode(&*out).expect("what is sent can be decoded");
        assert!(sent.query.starts_with("CONFINED "), "{sent:?}");
        assert_eq!(
            sent.query.matches("CONFINED ").count() - 1,
            original(message),
            "{sent:?}"
        );
        assert!(sent.tags.is_empty(), "{sent:?}");
    }
}

/// How often the client's own query has the word.
fn original(message: &[u8]) -> usize {
    SearchRequest::decode(message).map_or(0, |it| it.query.matches("CONFINED ").count())
}

type Messages = (Vec<Bytes>, Result<(), FrameError>);

fn messages(body: &[u8], piece: usize) -> Messages {
    let mut decoder = Decoder::new(LIMIT);
    let mut messages = Vec::new();
    for piece in body.chunks(piece.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, decoder.finish())
}

fn reference(body: &[u8]) -> (Vec<Bytes>, bool) {
    let mut rest = body;
    let mut messages = Vec::new();
    while rest.has_remaining() {
        if rest.remaining() < 5 {
            return (messages, false);
        }
        let flags = rest.get_u8();
        let length = rest.get_u32() as usize;
        if flags != 0 || length > LIMIT || rest.remaining() < length {
            return (messages, false);
        }
        messages.push(rest.copy_to_bytes(length));
    }
    (messages, true)
}
