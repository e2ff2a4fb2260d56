//! Skips parts of a query that by the grammar are labels, numbers or durations, and checks that
//! they contain nothing else, so that no selector can hide there.
//!
//! The functions start at the opening bracket, stop after the closing one, and return how many
//! parts they skipped.

use super::cursor::{Cursor, is_keyword, is_word_start};
use super::refusal::{Problem, Refusal};

/// The labels of `by (…)` and the like: words and strings.
pub(super) fn labels(cursor: &mut Cursor<'_>) -> Result<usize, Refusal> {
    let mut labels = 0;
    cursor.skip_gap();
    if !cursor.take(b'(') {
        return Err(cursor.malformed(Problem::Labels));
    }
    loop {
        cursor.skip_gap();
        match cursor.peek() {
            Some(b')') => break,
            Some(b'"' | b'\'' | b'`') => cursor.string()?,
            Some(byte) if is_word_start(byte) => cursor.word(),
            _ => return Err(cursor.malformed(Problem::Labels)),
        };
        labels += 1;
        cursor.skip_gap();
        if !cursor.take(b',') {
            break;
        }
    }
    if !cursor.take(b')') {
        return Err(cursor.malformed(Problem::Labels));
    }
    Ok(labels)
}

/// The `(number)` of a `fill`.
pub(super) fn fill_value(cursor: &mut Cursor<'_>) -> Result<(), Refusal> {
    cursor.advance(1);
    cursor.skip_gap();
    if matches!(cursor.peek(), Some(b'+' | b'-')) {
        cursor.advance(1);
        cursor.skip_gap();
    }
    if cursor.at_number() {
        cursor.number();
    } else if !is_keyword(cursor.word(), &["inf", "nan"]) {
        return Err(cursor.malformed(Problem::Fill));
    }
    cursor.skip_gap();
    if !cursor.take(b')') {
        return Err(cursor.malformed(Problem::Fill));
    }
    Ok(())
}

/// Words that Prometheus allows in a range: 3.12 has `max` and `min`, 3.14 `max_of` and `min_of`.
const WORDS_OF_RANGES: &[&str] = &["step", "range", "max_of", "min_of", "max", "min"];

/// A range or subquery: durations, arithmetic, and a few words.
pub(super) fn range(cursor: &mut Cursor<'_>) -> Result<usize, Refusal> {
    cursor.advance(1);
    let mut parts = 0;
    let mut depth = 0_usize;
    loop {
        cursor.skip_gap();
        match cursor.peek() {
            Some(b']') if depth == 0 => break,
            Some(b'(') => depth += 1,
            Some(b')') if depth > 0 => depth -= 1,
            Some(b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b',' | b':') => {}
            _ if cursor.at_number() => {
                cursor.number();
                continue;
            }
            _ if cursor.take_keyword(WORDS_OF_RANGES) => continue,
            _ => return Err(cursor.malformed(Problem::Range)),
        }
        cursor.advance(1);
        parts += 1;
    }
    cursor.advance(1);
    Ok(parts)
}
