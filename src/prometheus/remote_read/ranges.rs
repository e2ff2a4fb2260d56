//! The time ranges of a remote read.

use super::{MAX_QUERIES, RemoteReadError};
use crate::wire::{self, Field, Message, Value};

/// The ranges of every query, and of its hints, which storages use as well; in nanoseconds.
pub fn ranges(message: &[u8]) -> Result<Vec<i128>, RemoteReadError> {
    let mut ranges = Vec::new();
    for field in wire::fields(message) {
        let field = field?;
        if let (1, Value::Bytes(query)) = (field.number, field.value) {
            if ranges.len() > 2 * MAX_QUERIES {
                return Err(RemoteReadError::TooManyQueries);
            }
            of_query(query, &mut ranges)?;
        }
    }
    Ok(ranges)
}

/// `Query`: 1 start, 2 end, 4 hints.
fn of_query(query: Message<'_>, ranges: &mut Vec<i128>) -> Result<(), RemoteReadError> {
    let mut times = Times::default();
    let mut hints = None;
    for field in query.fields() {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Varint(_)) => once(&mut times.start, &field)?,
            (2, Value::Varint(_)) => once(&mut times.end, &field)?,
            (4, Value::Bytes(_)) if hints.is_some() => return Err(REPEATED),
            (4, Value::Bytes(message)) => hints = Some(message),
            _ => {}
        }
    }
    ranges.push(times.range());
    if let Some(hints) = hints {
        ranges.push(of_hints(hints)?);
    }
    Ok(())
}

/// `ReadHints`: 3 start, 4 end. If both are missing, the range is empty.
fn of_hints(hints: Message<'_>) -> Result<i128, RemoteReadError> {
    let mut times = Times::default();
    for field in hints.fields() {
        let field = field?;
        match (field.number, field.value) {
            (3, Value::Varint(_)) => once(&mut times.start, &field)?,
            (4, Value::Varint(_)) => once(&mut times.end, &field)?,
            _ => {}
        }
    }
    Ok(times.range())
}

/// Milliseconds since 1970; a missing one is 0.
#[derive(Default)]
struct Times {
    start: Option<i64>,
    end: Option<i64>,
}

impl Times {
    fn range(&self) -> i128 {
        let time = |time: Option<i64>| i128::from(time.unwrap_or(0));
        (time(self.end) - time(self.start)) * 1_000_000
    }
}

/// Decoders take the last of several, but an upstream need not use such a decoder.
const REPEATED: RemoteReadError = RemoteReadError::Unknown("a time is given twice");

fn once(time: &mut Option<i64>, field: &Field<'_>) -> Result<(), RemoteReadError> {
    if time.is_some() {
        return Err(REPEATED);
    }
    *time = Some(field.varint()?.cast_signed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i128 = 1_000_000;

    /// Zero is omitted, as encoders do.
    fn put(out: &mut Vec<u8>, number: u32, value: i64) {
        wire::put_uint(out, number, value.cast_unsigned());
    }

    fn of(queries: &[Vec<u8>]) -> Result<Vec<i128>, RemoteReadError> {
        let mut message = Vec::new();
        for query in queries {
            wire::put_bytes(&mut message, 1, query);
        }
        ranges(&message)
    }

    fn query(times: &[(u32, i64)]) -> Vec<u8> {
        let mut query = Vec::new();
        for (number, time) in times {
            put(&mut query, *number, *time);
        }
        query
    }

    #[test]
    fn every_query_and_its_hints_have_a_range() {
        let mut hinted = query(&[(1, 1000), (2, 3000)]);
        wire::put_bytes(&mut hinted, 4, &query(&[(3, 500), (4, 9000)]));
        let plain = query(&[(2, -1000), (1, 1000)]);
        assert_eq!(
            of(&[hinted, plain]).unwrap(),
            [2000 * MS, 8500 * MS, -2000 * MS]
        );
        assert_eq!(of(&[query(&[(2, 7)])]).unwrap(), [7 * MS]);
        let extreme = query(&[(1, i64::MIN), (2, i64::MAX)]);
        assert_eq!(of(&[extreme]).unwrap(), [i128::from(u64::MAX) * MS]);
        assert!(of(&[query(&[(1, 1), (1, 1)])]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_messages_never_panic(query in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = of(&[query]);
        }
    }
}
