//! Remote read: adds a matcher for each tenant label to every query of the request.
//!
//! The message (`prompb.ReadRequest`) is edited in its wire format without decoding it: apart from
//! what is added, it is byte for byte the original. A query's matchers are a conjunction of
//! submessages, so one more narrows it whatever the others contain. Only a query without any selects
//! nothing in a store, where the tenants' alone would select all their series: it gets a matcher that
//! no series meets besides.
//!
//! A Prometheus whose external labels include the tenant label takes an equality matcher on it as
//! one on itself (`filterExtLabelsFromMatchers`): right for one tenant; for several it finds
//! nothing.

mod ranges;
mod sizes;

use thiserror::Error;

pub use self::ranges::ranges;
pub use self::sizes::sizes;
use crate::tenancy::{MatchOp, Matchers};
use crate::wire::{self, Malformed, Message, Value};

/// The most queries of one request. Clients send one.
pub const MAX_QUERIES: usize = 100;

/// Why a body is refused. All are client errors, status 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RemoteReadError {
    #[error("the body is not a snappy block")]
    NotSnappy,
    #[error("the decoded body is longer than {0} bytes")]
    TooLong(usize),
    /// A message that the upstream might parse differently.
    #[error("the body is not a remote read request that this proxy supports: {0}")]
    Unknown(&'static str),
    #[error("the request has more than {MAX_QUERIES} queries")]
    TooManyQueries,
}

/// Confines a decoded message of at most `max_decoded` bytes; the result is a body for `POST
/// /api/v1/read`, a snappy block.
pub fn confine(
    message: &[u8],
    matchers: &Matchers,
    max_decoded: usize,
) -> Result<Vec<u8>, RemoteReadError> {
    let confined = confine_message(message, &encode_matchers(matchers))?;
    snap::raw::Encoder::new()
        .compress_vec(&confined)
        .map_err(|_| RemoteReadError::TooLong(max_decoded))
}

/// The message in a body of `POST /api/v1/read`, a snappy block; at most `max_decoded` bytes.
pub fn decode(body: &[u8], max_decoded: usize) -> Result<Vec<u8>, RemoteReadError> {
    let length = snap::raw::decompress_len(body).map_err(|_| RemoteReadError::NotSnappy)?;
    if length > max_decoded {
        return Err(RemoteReadError::TooLong(max_decoded));
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|_| RemoteReadError::NotSnappy)
}

/// `ReadRequest`: 1 queries, 2 accepted response types (one or packed).
fn confine_message(message: &[u8], added: &[u8]) -> Result<Vec<u8>, RemoteReadError> {
    let mut out = Vec::with_capacity(message.len() + added.len() + 16);
    let mut queries = 0;
    for field in wire::fields(message) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(query)) => {
                queries += 1;
                if queries > MAX_QUERIES {
                    return Err(RemoteReadError::TooManyQueries);
                }
                let nothing = if has_matchers(query)? {
                    Vec::new()
                } else {
                    encode_matcher(0, "__name__", "")
                };
                let length = query.bytes.len() + added.len() + nothing.len();
                wire::put_bytes_head(&mut out, 1, length);
                out.extend_from_slice(query.bytes);
                out.extend_from_slice(&nothing);
                out.extend_from_slice(added);
            }
            (2, Value::Varint(_) | Value::Bytes(_)) => out.extend_from_slice(field.encoded),
            _ => return Err(RemoteReadError::Unknown("a field of the request")),
        }
    }
    Ok(out)
}

/// `Query`: 1 start, 2 end, 3 matchers, 4 hints.
fn has_matchers(query: Message<'_>) -> Result<bool, RemoteReadError> {
    let mut has_matchers = false;
    for field in query.fields() {
        let field = field?;
        match (field.number, field.value) {
            (3, Value::Bytes(_)) => has_matchers = true,
            (1 | 2, Value::Varint(_)) | (4, Value::Bytes(_)) => {}
            _ => return Err(RemoteReadError::Unknown("a field of a query")),
        }
    }
    Ok(has_matchers)
}

/// The matchers as fields of a `Query`: `LabelMatcher` is 1 type, 2 name, 3 value.
fn encode_matchers(matchers: &Matchers) -> Vec<u8> {
    let mut out = Vec::new();
    for matcher in matchers.iter() {
        let op = match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        };
        out.extend(encode_matcher(op, matcher.label(), matcher.value()));
    }
    out
}

fn encode_matcher(op: u64, label: &str, value: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(label.len() + value.len() + 16);
    wire::put_uint(&mut message, 1, op);
    wire::put_bytes(&mut message, 2, label.as_bytes());
    wire::put_bytes(&mut message, 3, value.as_bytes());
    let mut out = Vec::with_capacity(message.len() + 8);
    wire::put_bytes(&mut out, 3, &message);
    out
}

impl From<Malformed> for RemoteReadError {
    fn from(malformed: Malformed) -> Self {
        Self::Unknown(malformed.what)
    }
}

#[cfg(test)]
mod tests;
