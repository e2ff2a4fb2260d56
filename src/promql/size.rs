//! Measures a query's size, whether or not it is valid PromQL.

use super::cursor::{Cursor, is_keyword, is_word_start};
use crate::query_size::{Meter, Size, repetitions_of_literal};

/// Measures a query or selector by its tokens. Nothing after an unterminated string counts: every
/// store stops reading there.
///
/// Every string counts as a regular expression, because the one in `label_replace` is not marked
/// by an operator.
pub fn measure(text: &str) -> Size {
    let mut cursor = Cursor::new(text);
    let mut meter = Meter::default();
    loop {
        cursor.skip_gap();
        let Some(byte) = cursor.peek() else { break };
        match byte {
            b'(' | b'[' | b'{' => {
                cursor.advance(1);
                meter.open();
            }
            b')' | b']' | b'}' => {
                cursor.advance(1);
                meter.close();
            }
            b',' => {
                cursor.advance(1);
                meter.comma();
            }
            b'"' | b'\'' | b'`' => match cursor.string() {
                Ok(string) => meter.operand(repetitions_of_literal(string)),
                Err(_) => break,
            },
            _ if is_word_start(byte) => {
                let word = cursor.word();
                // In operand position these are metric names.
                if meter.after_operand() && is_keyword(word, &["and", "or", "unless", "atan2"]) {
                    meter.operator();
                } else {
                    meter.operand(0);
                }
            }
            _ if cursor.at_number() => {
                cursor.number();
                meter.operand(0);
            }
            _ => {
                let length = match (byte, cursor.peek_after(1)) {
                    (b'=' | b'!', Some(b'=' | b'~')) | (b'<' | b'>', Some(b'=' | b'/')) => 2,
                    _ => 1,
                };
                cursor.advance(length);
                meter.operator();
            }
        }
    }
    meter.finish(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, depth, nodes, height.
    const SIZES: [(&str, usize, usize, usize); 32] = [
        ("", 0, 0, 0),
        ("up", 0, 1, 0),
        ("# a comment ((((\nup", 0, 1, 0),
        ("1 + 1", 0, 3, 1),
        ("1 + 1 + 1", 0, 5, 2),
        ("a == bool b", 0, 4, 1),
        ("a and b or c unless d atan2 e", 0, 9, 4),
        ("and and and", 0, 3, 1),
        ("2 ^ 2 ^ -2", 1, 6, 3),
        ("-1", 1, 2, 1),
        ("---1", 3, 4, 3),
        ("-1 + -1 + -1", 1, 8, 5),
        ("- (- (- 1))", 5, 6, 5),
        ("(1) + (1)", 1, 5, 2),
        ("(-(1)) + -(1)", 3, 8, 5),
        ("((1))", 2, 3, 2),
        ("f(1, -1, 1)", 2, 6, 2),
        ("f(a, (b), c + d)", 2, 8, 2),
        ("sum by (a, b) (c)", 1, 7, 1),
        (r#"a{b="c",d!~"e"}"#, 1, 8, 2),
        (r#"{"a","b"="c"}"#, 1, 5, 2),
        ("a[5m]", 1, 3, 1),
        ("f(f(a[5m:])[1h:1m])", 3, 11, 3),
        ("a offset -5m @ 10", 0, 6, 2),
        ("a[((1+2))]", 3, 7, 4),
        ("a </ b >/ c <= d", 0, 7, 3),
        (r#""((((" + '))))' + `((((`"#, 0, 5, 2),
        (r#"a =~ "b{101}""#, 0, 103, 1),
        (r#"f(a, "b{101}")"#, 1, 104, 1),
        ("))) + (((", 3, 4, 4),
        ("a + \"(((", 0, 2, 1),
        ("é", 2, 2, 2),
    ];

    #[test]
    fn tokens_are_counted_and_brackets_nest() {
        for (text, depth, nodes, height) in SIZES {
            let size = measure(text);
            let found = (size.depth, size.nodes, size.height);
            assert_eq!(found, (depth, nodes, height), "{text}");
            assert_eq!(size.bytes, text.len());
        }
    }
}
