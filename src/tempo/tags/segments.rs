//! A merged answer of a gRPC call, in messages that clients accept.

use super::names::Scope;
use crate::tempo::answer::Unreadable;
use crate::wire;

/// The most bytes of a field's number and length, twice: those of a name and of its scope.
const HEADS: usize = 12;

/// Splits a protobuf answer into messages of at most `max_bytes`, as the streams of Tempo are split
/// (`segmentSearchTagsV2Response` in `modules/frontend/combiner/search_tags.go`): a client adds them up.
/// Only a single name or value may be longer. With `has_scopes` it is one of `SearchTagsV2`, whose scopes
/// may be split.
pub fn segments(
    answer: Vec<u8>,
    has_scopes: bool,
    max_bytes: usize,
) -> Result<Vec<Vec<u8>>, Unreadable> {
    if answer.len() <= max_bytes {
        return Ok(vec![answer]);
    }
    let mut messages = Vec::new();
    let mut open = Vec::new();
    for field in wire::fields(&answer) {
        let field = field?;
        let item = field.bytes()?;
        if !open.is_empty() && open.len() + item.len() + HEADS > max_bytes {
            messages.push(std::mem::take(&mut open));
        }
        if !has_scopes || field.number != 1 || item.len() + HEADS <= max_bytes {
            wire::put_bytes(&mut open, field.number, item);
            continue;
        }
        let scope = Scope::read_protobuf(item)?;
        let start = || {
            let mut part = Vec::new();
            wire::put_bytes(&mut part, 1, scope.name.as_bytes());
            part
        };
        let mut part = start();
        let empty = part.len();
        for tag in &scope.tags {
            if part.len() > empty && part.len() + tag.0.len() + HEADS > max_bytes {
                let mut message = Vec::new();
                wire::put_bytes(&mut message, 1, &std::mem::replace(&mut part, start()));
                messages.push(message);
            }
            wire::put_bytes(&mut part, 2, tag.0.as_bytes());
        }
        wire::put_bytes(&mut open, 1, &part);
    }
    messages.push(open);
    Ok(messages)
}
