//! Measures a query's size, whether or not it is valid TraceQL.

use super::lexer::Lexer;
use super::token::{Token, Type};
use crate::query_size::{Meter, Size, repetitions_of_literal};

/// Measures a query by its tokens. Nothing after an invalid token counts: Tempo refuses such a
/// query.
pub fn measure(text: &str) -> Size {
    let mut lexer = Lexer::new(text);
    let mut meter = Meter::default();
    while let Ok(lexeme) = lexer.next() {
        match lexeme.token {
            Token::End => break,
            Token::OpenBrace | Token::OpenParens => meter.open(),
            Token::CloseBrace | Token::CloseParens => meter.close(),
            Token::Comma => meter.comma(),
            Token::Op(_) => meter.operator(),
            Token::Literal(Type::Text) => {
                let quoted = text.get(lexeme.start..lexeme.end).unwrap_or_default();
                meter.operand(repetitions_of_literal(quoted));
            }
            Token::Literal(_)
            | Token::Nil
            | Token::Attribute(_)
            | Token::Colon(_)
            | Token::Word(_)
            | Token::Identifier => meter.operand(0),
        }
    }
    meter.finish(text.len())
}

/// Each tag becomes a filter with about this many parts.
const PARTS_OF_A_TAG: usize = 10;

/// Measures the older form of a search, in logfmt: `key=value key="a value" key`. A text has at
/// most as many tags as it has words or equals signs. Quoted text counts like any other.
pub fn measure_tags(text: &str) -> Size {
    let words = text
        .split(|c: char| c <= ' ')
        .filter(|word| !word.is_empty());
    let equals = memchr::memchr_iter(b'=', text.as_bytes());
    Size {
        bytes: text.len(),
        nodes: words.count().max(equals.count()) * PARTS_OF_A_TAG,
        ..Size::default()
    }
}

/// Measures a parameter that is a tag by itself.
pub fn measure_tag(name: &str, value: &str) -> Size {
    Size {
        bytes: name.len() + value.len(),
        nodes: PARTS_OF_A_TAG,
        ..Size::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, depth, nodes.
    const SIZES: [(&str, usize, usize); 14] = [
        ("", 0, 0),
        ("{}", 1, 1),
        ("{ .a = 1 && (.b = 2) }", 2, 9),
        ("{ !!!.a }", 4, 5),
        ("{ - - 1 = .a }", 3, 6),
        ("{ !(!.a) && !.b }", 4, 8),
        ("{ .a } >> { .b } &>> { .c }", 1, 8),
        ("({} && {}) || {}", 2, 6),
        ("{} | count() > 2", 1, 6),
        ("{} | select(.a, .b)", 1, 6),
        ("{ .a =~ \"b{101}\" }", 1, 104),
        ("{ .a =~ `b{101}` }", 1, 104),
        ("{ .a = \"((((\" } // ((((", 1, 4),
        ("{} /* ((((", 1, 1),
    ];

    #[test]
    fn tokens_are_counted_and_brackets_nest() {
        for (text, depth, nodes) in SIZES {
            let size = measure(text);
            assert_eq!((size.depth, size.nodes), (depth, nodes), "{text}");
        }
    }

    #[test]
    fn each_tag_counts_as_the_filter_it_becomes() {
        assert_eq!(measure_tags("").nodes, 0);
        assert_eq!(measure_tags(" a=b  c ").nodes, 20);
        assert_eq!(measure_tags("a=\"\"b=\"\"c=\"\"").nodes, 30);
        assert_eq!(measure_tag("a", "b").nodes, 10);
        assert_eq!(measure_tag("abc", "de").bytes, 5);
    }
}
