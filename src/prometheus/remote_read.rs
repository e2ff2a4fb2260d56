//! Remote read: a matcher for each tenant label is added to every query of the request.
//!
//! The message (`prompb.ReadRequest`) is walked on the wire, not decoded: what is not added stays
//! byte for byte. A query's matchers are a conjunction of submessages, so one more narrows it
//! whatever the others hold.
//!
//! A Prometheus whose external labels include the tenant label takes an equality matcher on it
//! for one on itself (`filterExtLabelsFromMatchers`): right for one tenant; for several it finds
//! nothing.

mod ranges;

use thiserror::Error;

pub use self::ranges::ranges;
use crate::tenancy::{MatchOp, Matchers};

/// The most queries one request may have. Clients send one.
pub const MAX_QUERIES: usize = 100;

/// Why a body is not sent. All are the client's mistakes, to be answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RemoteReadError {
    /// Not snappy's block format.
    #[error("the body is not a snappy block")]
    NotSnappy,
    /// The decoded message would be longer than allowed.
    #[error("the decoded body is longer than {0} bytes")]
    TooLong(usize),
    /// Not a message this reads in the one way the upstream does.
    #[error("the body is not a remote read request this proxy knows: {0}")]
    Unknown(&'static str),
    /// More than [`MAX_QUERIES`].
    #[error("the request has more than {MAX_QUERIES} queries")]
    TooManyQueries,
}

/// Confines the body of `POST /api/v1/read`: a snappy block in, a snappy block out. The message
/// may be `max_decoded` bytes long.
pub fn confine(
    body: &[u8],
    matchers: &Matchers,
    max_decoded: usize,
) -> Result<Vec<u8>, RemoteReadError> {
    let message = decompress(body, max_decoded)?;
    let confined = confine_message(&message, &encode_matchers(matchers))?;
    snap::raw::Encoder::new()
        .compress_vec(&confined)
        .map_err(|_| RemoteReadError::TooLong(max_decoded))
}

fn decompress(body: &[u8], max_decoded: usize) -> Result<Vec<u8>, RemoteReadError> {
    let length = snap::raw::decompress_len(body).map_err(|_| RemoteReadError::NotSnappy)?;
    if length > max_decoded {
        return Err(RemoteReadError::TooLong(max_decoded));
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|_| RemoteReadError::NotSnappy)
}

/// Wire types (protobuf's encoding guide).
const VARINT: u8 = 0;
const BYTES: u8 = 2;

/// `ReadRequest`: 1 queries, 2 accepted response types (one or packed).
fn confine_message(message: &[u8], added: &[u8]) -> Result<Vec<u8>, RemoteReadError> {
    let mut out = Vec::with_capacity(message.len() + added.len() + 16);
    let mut queries = 0;
    let mut wire = Wire(message);
    while let Some(field) = wire.field()? {
        match (field.number, field.wire_type) {
            (1, BYTES) => {
                queries += 1;
                if queries > MAX_QUERIES {
                    return Err(RemoteReadError::TooManyQueries);
                }
                check_query(field.payload)?;
                write_tag(&mut out, 1, BYTES);
                write_varint(&mut out, field.payload.len() + added.len());
                out.extend_from_slice(field.payload);
                out.extend_from_slice(added);
            }
            (2, VARINT | BYTES) => out.extend_from_slice(field.whole),
            _ => return Err(RemoteReadError::Unknown("a field of the request")),
        }
    }
    Ok(out)
}

/// `Query`: 1 start, 2 end, 3 matchers, 4 hints.
fn check_query(query: &[u8]) -> Result<(), RemoteReadError> {
    let mut wire = Wire(query);
    while let Some(field) = wire.field()? {
        match (field.number, field.wire_type) {
            (1 | 2, VARINT) | (3 | 4, BYTES) => {}
            _ => return Err(RemoteReadError::Unknown("a field of a query")),
        }
    }
    Ok(())
}

/// The matchers as fields of a `Query`: `LabelMatcher` is 1 type, 2 name, 3 value.
fn encode_matchers(matchers: &Matchers) -> Vec<u8> {
    let mut out = Vec::new();
    for matcher in matchers.iter() {
        let mut message = Vec::with_capacity(matcher.label().len() + matcher.value().len() + 16);
        write_tag(&mut message, 1, VARINT);
        message.push(match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::Regex => 2,
        });
        for (number, text) in [(2, matcher.label()), (3, matcher.value())] {
            write_bytes(&mut message, number, text.as_bytes());
        }
        write_bytes(&mut out, 3, &message);
    }
    out
}

fn write_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    write_tag(out, number, BYTES);
    write_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// `number` is below 16, so the tag is one byte.
fn write_tag(out: &mut Vec<u8>, number: u8, wire_type: u8) {
    out.push(number << 3 | wire_type);
}

fn write_varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// What is left of a message.
struct Wire<'a>(&'a [u8]);

struct Field<'a> {
    number: u8,
    wire_type: u8,
    /// Of a varint; 0 for a length-delimited field.
    number_value: u64,
    /// The bytes of a length-delimited field, without tag and length.
    payload: &'a [u8],
    /// The field as it came.
    whole: &'a [u8],
}

impl<'a> Wire<'a> {
    /// The next field; `None` at the end. Only varints and length-delimited fields are known.
    fn field(&mut self) -> Result<Option<Field<'a>>, RemoteReadError> {
        const SHORT: RemoteReadError = RemoteReadError::Unknown("it ends within a field");
        if self.0.is_empty() {
            return Ok(None);
        }
        let start = self.0;
        // Every field of these messages has a number below 16.
        let tag = u8::try_from(self.varint()?)
            .map_err(|_| RemoteReadError::Unknown("a field's number"))?;
        let (mut payload, mut number_value): (&[u8], u64) = (&[], 0);
        match tag & 7 {
            VARINT => number_value = self.varint()?,
            BYTES => {
                let length = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
                (payload, self.0) = self.0.split_at_checked(length).ok_or(SHORT)?;
            }
            _ => return Err(RemoteReadError::Unknown("a wire type")),
        }
        let whole = start.get(..start.len() - self.0.len()).ok_or(SHORT)?;
        Ok(Some(Field {
            number: tag >> 3,
            wire_type: tag & 7,
            number_value,
            payload,
            whole,
        }))
    }

    /// At most 64 bits: readers disagree on what they do with more.
    fn varint(&mut self) -> Result<u64, RemoteReadError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self
                .0
                .split_first()
                .ok_or(RemoteReadError::Unknown("it ends within a number"))?;
            self.0 = rest;
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RemoteReadError::Unknown("a number has more than 64 bits"))
    }
}

#[cfg(test)]
mod tests;
