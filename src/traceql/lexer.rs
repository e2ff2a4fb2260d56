//! Splits a query into tokens exactly as Tempo does.
//!
//! Source: `pkg/traceql/lexer.go` of Grafana Tempo, which sits on Go's `text/scanner` with
//! `GoTokens`. Outside of strings, comments and attribute names a valid query is ASCII, so no
//! other characters are distinguished there.

use super::number;
use super::refusal::{Fault, Problem};
use super::token::{Lexeme, Op, Scope, Token, Type, Word};

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning, after a byte order mark.
    pub(super) fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self { text, at }
    }

    /// The next token. At the end, every call returns [`Token::End`].
    pub(super) fn next(&mut self) -> Result<Lexeme, Fault> {
        self.skip_white_space()?;
        let start = self.at;
        let token = self.token()?;
        let end = self.at;
        Ok(Lexeme { token, start, end })
    }

    fn token(&mut self) -> Result<Token, Fault> {
        let Some(byte) = self.peek() else {
            return Ok(Token::End);
        };
        match byte {
            b'{' => Ok(self.one(Token::OpenBrace)),
            b'}' => Ok(self.one(Token::CloseBrace)),
            b'(' => Ok(self.one(Token::OpenParens)),
            b')' => Ok(self.one(Token::CloseParens)),
            b',' => Ok(self.one(Token::Comma)),
            b'"' => self.quoted_string(),
            b'`' => self.raw_string(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek_at(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number(),
            b'.' => {
                self.at += 1;
                self.attribute(Scope::None)
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => self.word(),
            _ => self.operator(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn one(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn fault<T>(&self, start: usize, problem: Problem) -> Result<T, Fault> {
        Err(Fault {
            start,
            end: self.at,
            problem,
        })
    }

    /// Skips Go's four kinds of white space, and Go's comments.
    fn skip_white_space(&mut self) -> Result<(), Fault> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'/') if self.peek_at(1) == Some(b'/') => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                }
                Some(b'/') if self.peek_at(1) == Some(b'*') => {
                    let start = self.at;
                    self.at += 2;
                    match self.rest().find("*/") {
                        Some(length) => self.at += length + 2,
                        None => {
                            return self.fault(start, Problem::Syntax("comment not terminated"));
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn quoted_string(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None | Some(b'\n') => {
                    return self.fault(start, Problem::Syntax("string not terminated"));
                }
                Some(b'"') => return Ok(self.one(Token::Literal(Type::Text))),
                Some(b'\\') => {
                    let escape = escape_length(self.rest());
                    if escape == 0 {
                        return self.fault(start, Problem::Syntax("invalid escape in a string"));
                    }
                    self.at += escape;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn raw_string(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        match self.rest().find('`') {
            Some(length) => {
                self.at += length + 1;
                Ok(Token::Literal(Type::Text))
            }
            None => self.fault(start, Problem::Syntax("string not terminated")),
        }
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        match number::scan(self.rest()) {
            Ok((length, literal)) => {
                self.at += length;
                Ok(Token::Literal(literal))
            }
            Err(message) => {
                self.at += 1;
                self.fault(start, Problem::Syntax(message))
            }
        }
    }

    fn word(&mut self) -> Result<Token, Fault> {
        let length = self
            .rest()
            .bytes()
            .take_while(|&byte| byte == b'_' || byte.is_ascii_alphanumeric())
            .count();
        let word = self.rest().get(..length).unwrap_or("");
        self.at += length;
        match (scope(word), self.peek()) {
            (Some(scope), Some(b'.')) if scope != Scope::Trace => {
                self.at += 1;
                self.attribute(scope)
            }
            (Some(scope), Some(b':')) if scope != Scope::Parent && scope != Scope::Resource => {
                Ok(self.one(Token::Colon(scope)))
            }
            _ => Ok(keyword(word)),
        }
    }

    /// The name of an attribute, after its dot. Nearly every character is allowed, even
    /// `+ - * /`, and there may be quoted parts in which only `\"` and `\\` are escapes.
    fn attribute(&mut self, scope: Scope) -> Result<Token, Fault> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            if byte == b'"' {
                self.quoted_name()?;
            } else if byte.is_ascii() {
                if ends_name(byte) {
                    break;
                }
                self.at += 1;
            } else {
                match self.rest().chars().next() {
                    Some(c) if !c.is_whitespace() => self.at += c.len_utf8(),
                    _ => break,
                }
            }
        }
        if self.at == start {
            let end = self.rest().chars().next().map_or(0, char::len_utf8);
            self.at += end;
            return self.fault(start, Problem::Unexpected("the name of an attribute"));
        }
        Ok(Token::Attribute(scope))
    }

    fn quoted_name(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            match (self.peek(), self.peek_at(1)) {
                (None, _) => {
                    return self.fault(start, Problem::Syntax("quoted name not terminated"));
                }
                (Some(b'"'), _) => {
                    self.at += 1;
                    return Ok(());
                }
                (Some(b'\\'), Some(b'"' | b'\\')) => self.at += 2,
                (Some(b'\\'), _) => {
                    return self.fault(start, Problem::Syntax("invalid escape in a quoted name"));
                }
                (Some(_), _) => self.at += 1,
            }
        }
    }

    fn operator(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let ahead = [0, 1, 2].map(|ahead| self.peek_at(ahead).unwrap_or(b' '));
        let (length, op) = match ahead {
            [b'&' | b'!', b'>', b'>'] | [b'&' | b'!', b'<', b'<'] => (3, Op::Structural),
            [b'&', b'&', _] => (2, Op::And),
            [b'|', b'|', _] => (2, Op::Or),
            [b'=', b'~', _] => (2, Op::Regex),
            [b'!', b'~', _] => (2, Op::NotRegex),
            [b'!', b'=', _] => (2, Op::NotEqual),
            [b'>', b'=', _] => (2, Op::GreaterEqual),
            [b'<', b'=', _] => (2, Op::LessEqual),
            [b'>', b'>', _]
            | [b'<', b'<', _]
            | [b'!', b'>' | b'<', _]
            | [b'&', b'>' | b'<' | b'~', _] => (2, Op::Structural),
            [b'|', ..] => (1, Op::Pipe),
            [b'=', ..] => (1, Op::Equal),
            [b'>', ..] => (1, Op::Greater),
            [b'<', ..] => (1, Op::Less),
            [b'!', ..] => (1, Op::Not),
            [b'~', ..] => (1, Op::Structural),
            [b'+', ..] => (1, Op::Add),
            [b'-', ..] => (1, Op::Sub),
            [b'*', ..] => (1, Op::Mul),
            [b'/', ..] => (1, Op::Div),
            [b'%', ..] => (1, Op::Mod),
            [b'^', ..] => (1, Op::Pow),
            _ => {
                self.at += self.rest().chars().next().map_or(1, char::len_utf8);
                return self.fault(start, Problem::Unexpected("TraceQL"));
            }
        };
        self.at += length;
        Ok(Token::Op(op))
    }
}

/// The name of an attribute without its quotes and escapes.
pub(super) fn unquoted_name(written: &str) -> String {
    let mut name = String::with_capacity(written.len());
    let mut quoted = false;
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => name.extend(chars.next()),
            c => name.push(c),
        }
    }
    name
}

/// Whether an ASCII byte ends the name of an attribute. Outside ASCII, all Unicode white space does.
pub(super) fn ends_name(byte: u8) -> bool {
    matches!(
        byte,
        b'\t'
            ..=b'\r'
                | b' '
                | b'{'
                | b'}'
                | b'('
                | b')'
                | b'='
                | b'~'
                | b'!'
                | b'<'
                | b'>'
                | b'&'
                | b'|'
                | b'^'
                | b','
    )
}

/// The length of the escape at the start of `text`, 0 if Go has no such escape in a string.
fn escape_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize, count: usize, radix: u32| {
        text.get(from..from + count)
            .filter(|digits| digits.chars().all(|c| c.is_digit(radix)))
            .and_then(|digits| u32::from_str_radix(digits, radix).ok())
    };
    match bytes.get(1) {
        Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' | b'"') => 2,
        Some(b'x') if digits(2, 2, 16).is_some() => 4,
        Some(b'u') if digits(2, 4, 16).and_then(char::from_u32).is_some() => 6,
        Some(b'U') if digits(2, 8, 16).and_then(char::from_u32).is_some() => 10,
        Some(b'0'..=b'7') if digits(1, 3, 8).is_some_and(|value| value <= 255) => 4,
        _ => 0,
    }
}

fn scope(word: &str) -> Option<Scope> {
    Some(match word {
        "span" => Scope::Span,
        "resource" => Scope::Resource,
        "event" => Scope::Event,
        "link" => Scope::Link,
        "instrumentation" => Scope::Instrumentation,
        "trace" => Scope::Trace,
        "parent" => Scope::Parent,
        _ => return None,
    })
}

fn keyword(word: &str) -> Token {
    Token::Word(match word {
        "true" | "false" => return Token::Literal(Type::Bool),
        "ok" | "error" | "unset" => return Token::Literal(Type::Status),
        "unspecified" | "internal" | "server" | "client" | "producer" | "consumer" => {
            return Token::Literal(Type::Kind);
        }
        "nil" => return Token::Nil,
        "duration" => Word::Duration,
        "name" => Word::Name,
        "status" => Word::Status,
        "statusMessage" => Word::StatusMessage,
        "kind" => Word::Kind,
        "parent" => Word::Parent,
        "rootName" => Word::RootName,
        "rootServiceName" => Word::RootServiceName,
        "traceDuration" => Word::TraceDuration,
        "nestedSetLeft" | "nestedSetRight" | "nestedSetParent" => Word::NestedSet,
        "rootService" => Word::RootService,
        "childCount" => Word::ChildCount,
        "id" => Word::Id,
        "traceID" => Word::TraceId,
        "spanID" => Word::SpanId,
        "parentID" => Word::ParentId,
        "timeSinceStart" => Word::TimeSinceStart,
        "version" => Word::Version,
        "count" => Word::Count,
        "avg" | "max" | "min" | "sum" => Word::Aggregate,
        "by" => Word::By,
        "coalesce" => Word::Coalesce,
        "select" => Word::Select,
        "rate" | "count_over_time" => Word::Rate,
        "min_over_time" | "max_over_time" | "sum_over_time" => Word::OverTime,
        "avg_over_time" | "histogram_over_time" => Word::BucketOverTime,
        "quantile_over_time" => Word::QuantileOverTime,
        "compare" => Word::Compare,
        "topk" | "bottomk" => Word::TopK,
        "with" => Word::With,
        _ => return Token::Identifier,
    })
}
