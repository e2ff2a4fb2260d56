//! What time ranges a remote read asks for.

use super::{BYTES, Field, MAX_QUERIES, RemoteReadError, VARINT, Wire, decompress};

/// The ranges of every query, and of its hints, which storages go by as well; in nanoseconds.
pub fn ranges(body: &[u8], max_decoded: usize) -> Result<Vec<i128>, RemoteReadError> {
    let message = decompress(body, max_decoded)?;
    let mut ranges = Vec::new();
    let mut wire = Wire(&message);
    while let Some(field) = wire.field()? {
        if (field.number, field.wire_type) == (1, BYTES) {
            if ranges.len() > 2 * MAX_QUERIES {
                return Err(RemoteReadError::TooManyQueries);
            }
            of_query(field.payload, &mut ranges)?;
        }
    }
    Ok(ranges)
}

/// `Query`: 1 start, 2 end, 4 hints.
fn of_query(query: &[u8], ranges: &mut Vec<i128>) -> Result<(), RemoteReadError> {
    let mut times = Times::default();
    let mut hints = None;
    let mut wire = Wire(query);
    while let Some(field) = wire.field()? {
        match (field.number, field.wire_type) {
            (1, VARINT) => once(&mut times.start, &field)?,
            (2, VARINT) => once(&mut times.end, &field)?,
            (4, BYTES) if hints.is_some() => return Err(REPEATED),
            (4, BYTES) => hints = Some(field.payload),
            _ => {}
        }
    }
    ranges.push(times.range());
    if let Some(hints) = hints {
        ranges.push(of_hints(hints)?);
    }
    Ok(())
}

/// `ReadHints`: 3 start, 4 end. Without both, nothing is found.
fn of_hints(hints: &[u8]) -> Result<i128, RemoteReadError> {
    let mut times = Times::default();
    let mut wire = Wire(hints);
    while let Some(field) = wire.field()? {
        match (field.number, field.wire_type) {
            (3, VARINT) => once(&mut times.start, &field)?,
            (4, VARINT) => once(&mut times.end, &field)?,
            _ => {}
        }
    }
    Ok(times.range())
}

/// Milliseconds since 1970; one that is not there is 0.
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

/// Decoders take the last of several, but not all need to be decoders.
const REPEATED: RemoteReadError = RemoteReadError::Unknown("a time is given twice");

fn once(time: &mut Option<i64>, field: &Field<'_>) -> Result<(), RemoteReadError> {
    if time.is_some() {
        return Err(REPEATED);
    }
    *time = Some(field.number_value.cast_signed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{write_bytes, write_tag};
    use super::*;

    const MS: i128 = 1_000_000;

    fn put(out: &mut Vec<u8>, number: u8, value: i64) {
        write_tag(out, number, VARINT);
        let mut value = value.cast_unsigned();
        loop {
            let low = u8::try_from(value & 0x7F).unwrap();
            value >>= 7;
            if value == 0 {
                return out.push(low);
            }
            out.push(low | 0x80);
        }
    }

    fn of(queries: &[Vec<u8>]) -> Result<Vec<i128>, RemoteReadError> {
        let mut message = Vec::new();
        for query in queries {
            write_bytes(&mut message, 1, query);
        }
        let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
        ranges(&body, 1000)
    }

    fn query(times: &[(u8, i64)]) -> Vec<u8> {
        let mut query = Vec::new();
        for (number, time) in times {
            put(&mut query, *number, *time);
        }
        query
    }

    #[test]
    fn every_query_and_its_hints_have_a_range() {
        let mut hinted = query(&[(1, 1000), (2, 3000)]);
        write_bytes(&mut hinted, 4, &query(&[(3, 500), (4, 9000)]));
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
        fn any_message_is_read_or_not(query in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = of(&[query]);
        }
    }
}
