//! The size of the matchers of a remote read.

use super::RemoteReadError;
use crate::query_size::{Size, repetitions};
use crate::wire::{self, Message, Value};

/// The size of each matcher of each query, as if it were PromQL.
pub fn sizes(message: &[u8]) -> Result<Vec<Size>, RemoteReadError> {
    let mut sizes = Vec::new();
    for field in wire::fields(message) {
        let field = field?;
        let (1, Value::Bytes(query)) = (field.number, field.value) else {
            continue;
        };
        for field in query.fields() {
            let field = field?;
            if let (3, Value::Bytes(matcher)) = (field.number, field.value) {
                sizes.push(size(matcher)?);
            }
        }
    }
    Ok(sizes)
}

/// `LabelMatcher`: 1 type, 2 name, 3 value. Whatever its type, its value is measured as a regular
/// expression: decoders differ on which of several types applies.
fn size(matcher: Message<'_>) -> Result<Size, RemoteReadError> {
    let mut size = Size {
        nodes: 1,
        ..Size::default()
    };
    for field in matcher.fields() {
        let field = field?;
        if let (2 | 3, Value::Bytes(text)) = (field.number, field.value) {
            size.bytes += text.bytes.len();
            size.nodes = size.nodes.saturating_add(repetitions(text.bytes));
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_matcher_of_every_query_is_measured() {
        let matcher = |name: &str, value: &str| {
            let mut matcher = Vec::new();
            wire::put_uint(&mut matcher, 1, 2);
            wire::put_bytes(&mut matcher, 2, name.as_bytes());
            wire::put_bytes(&mut matcher, 3, value.as_bytes());
            matcher
        };
        let mut message = Vec::new();
        for matchers in [vec![("a", "b"), ("job", "x{500}")], vec![("c", "")]] {
            let mut query = Vec::new();
            for (name, value) in matchers {
                wire::put_bytes(&mut query, 3, &matcher(name, value));
            }
            wire::put_bytes(&mut message, 1, &query);
        }
        let found: Vec<_> = sizes(&message)
            .unwrap()
            .iter()
            .map(|size| (size.bytes, size.nodes))
            .collect();
        assert_eq!(found, [(2, 1), (9, 500), (1, 1)]);
    }
}
