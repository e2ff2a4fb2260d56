//! What the client sees of an upstream's error.
//!
//! Tempo's error texts quote the query it got, which is the confined one, and details of the data
//! it read, which is every tenant's. Only texts that are known to be about the client's own
//! parameters are shown, and what its parser misses.
//!
//! A parser reports before any data is read, so its text can be about nothing but the query that it
//! got: the caller's own, with the caller's own tenants in it. Of its texts, only those made of the
//! words of its grammar are shown (`syntax error: unexpected rate`), without the position, which is
//! one in the confined query. They occur where a Tempo is older than the `TraceQL` that is parsed
//! here: 3.0 has no arithmetic between metrics.

use std::borrow::Cow;

use crate::grpc::status::{Code, Status};

/// The prefixes of Tempo's harmless texts (`pkg/api`, `modules/frontend`).
const HARMLESS: [&str; 18] = [
    "http parameter start must be before end",
    "range specified by start and end exceeds",
    "invalid start: ",
    "invalid end: ",
    "invalid limit: ",
    "invalid scope: ",
    "invalid spss: ",
    "limit ",
    "spans per span set exceeds",
    "could not parse 'since' parameter",
    "could not parse 'start' parameter",
    "could not parse 'end' parameter",
    "only one of start and end provided",
    "end must be greater than start",
    "query window falls entirely within query_end_cutoff",
    "metrics query time range exceeds the maximum allowed duration",
    "step must be greater than 0",
    "TraceQL expression exceeds the configured maximum size",
];

const MAX_HARMLESS_BYTES: usize = 400;

/// The `text/plain` body for an HTTP error of the upstream. Its status is forwarded.
pub fn http_text(status: u16, body: &[u8]) -> Cow<'_, str> {
    if status == 400 {
        if let Some(text) = harmless(body) {
            return Cow::Borrowed(text);
        }
        if let Some(complaint) = of_grammar(body) {
            return Cow::Owned(not_understood(complaint));
        }
    }
    Cow::Borrowed(match status {
        400 | 422 => REFUSED,
        404 => NOT_FOUND,
        429 => TOO_MANY,
        _ => FAILED,
    })
}

/// The status for a gRPC error of the upstream: its code, and a text that may be shown. `message`
/// is the decoded `grpc-message`. No other trailer is forwarded: `grpc-status-details-bin` repeats
/// the message.
pub fn grpc_status(code: Code, message: &str) -> Status {
    // Of a metrics query that it cannot read, Tempo says UNKNOWN.
    if let (Code::InvalidArgument | Code::Unknown, Some(complaint)) =
        (code, of_grammar(message.as_bytes()))
    {
        return Status::new(Code::InvalidArgument, not_understood(complaint));
    }
    let text = match code {
        Code::Ok => "",
        Code::InvalidArgument => match harmless(message.as_bytes()) {
            Some(text) => return Status::new(code, text.to_owned()),
            None => REFUSED,
        },
        Code::NotFound | Code::Unimplemented => NOT_FOUND,
        Code::ResourceExhausted => TOO_MANY,
        _ => FAILED,
    };
    Status::new(code, text)
}

const REFUSED: &str = "Tempo refused the request. Its reason is not shown, as it may quote the \
                       query that was sent in your name; it is in the log of Tempo.";
const NOT_FOUND: &str = "Tempo has no such endpoint; if it should have, check its version and the \
                         path in the upstream's `url`.";
const TOO_MANY: &str = "Tempo has too many requests or this one asks for too much; try again \
                        later, or with a shorter range.";
const FAILED: &str = "Tempo failed to answer. Its reason is not shown, as it may reveal other \
                      tenants' data; it is in the log of Tempo.";

fn not_understood(complaint: &str) -> String {
    format!(
        "Tempo does not understand the query: {complaint}; it may be older than this part of \
         TraceQL, so ask without it (of metrics arithmetic, for each operand alone)"
    )
}

/// What comes before a complaint of the parser (`modules/frontend`, `pkg/traceql`).
const PARSER: [&str; 3] = ["", "invalid TraceQL query: ", "compiling query: "];

/// The longest word of Tempo's grammar has 24 bytes, and it lists at most four that it expects.
const MAX_COMPLAINT_BYTES: usize = 200;

/// `syntax error: unexpected A, expecting B or C` of `parse error at line 1, col 2: …`, made of
/// nothing but words of the grammar: names of tokens and operators, without quotes, digits or
/// attribute names.
fn of_grammar(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?.trim_end();
    let (before, after) = text.split_once("parse error at line ")?;
    let (place, complaint) = after.split_once(": ")?;
    let is_place = |byte: u8| byte.is_ascii_digit() || b", col".contains(&byte);
    let words = complaint.strip_prefix("syntax error: unexpected ")?;
    let is_of_grammar = |word: &str| {
        let word = word.strip_suffix(',').unwrap_or(word);
        // `span.` and `trace:` are tokens.
        let name = word.strip_suffix(['.', ':']).unwrap_or(word);
        let is_name = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$');
        let is_operator = |byte: u8| b"+-*/%^=!<>&|~(){}[].,:".contains(&byte);
        name.bytes().all(is_name) || word.bytes().all(is_operator)
    };
    let is_shown = PARSER.contains(&before)
        && place.bytes().all(is_place)
        && complaint.len() <= MAX_COMPLAINT_BYTES
        && words.split(' ').all(is_of_grammar);
    is_shown.then_some(complaint)
}

fn harmless(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?.trim_end();
    let is_plain = text.len() <= MAX_HARMLESS_BYTES && !text.contains(char::is_control);
    let is_known = HARMLESS.iter().any(|start| text.starts_with(start));
    (is_plain && is_known).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_about_the_clients_own_parameters_are_shown() {
        for text in [
            "http parameter start must be before end. received start=9 end=8",
            "limit 10000000 exceeds max limit 262144",
            "invalid scope: bogus",
        ] {
            assert_eq!(http_text(400, text.as_bytes()), text);
            assert_eq!(grpc_status(Code::InvalidArgument, text).message, text);
        }
    }

    #[test]
    fn texts_that_quote_the_query_or_the_data_are_hidden() {
        for (status, text) in [
            (400, "invalid TraceQL query: parse error at line 1, col 3"),
            (
                400,
                "binary operations must operate on the same type: resource.tenant_id = `a`",
            ),
            (500, "error querying: division by zero"),
            (500, "limit 1 exceeds max limit 2"),
            (422, "trace exceeds max size"),
            (400, "limit \n{ resource.tenant_id"),
        ] {
            let shown = http_text(status, text.as_bytes());
            assert_ne!(shown, text);
            assert!([REFUSED, FAILED].contains(&&*shown), "{text}");
        }
        let long = format!("limit {}", "x".repeat(MAX_HARMLESS_BYTES));
        assert_eq!(http_text(400, long.as_bytes()), REFUSED);
        assert_eq!(http_text(400, b"limit \xff"), REFUSED);
        let internal = grpc_status(Code::Internal, "limit 1 exceeds max limit 2");
        assert_eq!(internal.message, FAILED);
        assert_eq!(internal.code, Code::Internal);
    }

    /// Of Tempo 3.0.3, which does not know arithmetic between metrics.
    #[test]
    fn what_the_parser_misses_in_the_query_is_shown_without_its_place() {
        for (said, shown) in [
            (
                "parse error at line 1, col 42: syntax error: unexpected rate",
                "syntax error: unexpected rate;",
            ),
            (
                "compiling query: parse error at line 1, col 48: syntax error: unexpected /, expecting with\n",
                "syntax error: unexpected /, expecting with;",
            ),
            (
                "invalid TraceQL query: parse error at line 1, col 6: syntax error: unexpected {",
                "syntax error: unexpected {;",
            ),
            (
                "parse error at line 3, col 1: syntax error: unexpected $end, expecting ) or |",
                "syntax error: unexpected $end, expecting ) or |;",
            ),
        ] {
            let text = http_text(400, said.as_bytes());
            assert!(text.contains(shown) && !text.contains("line"), "{text}");
            for code in [Code::InvalidArgument, Code::Unknown] {
                let status = grpc_status(code, said);
                assert_eq!(status.code, Code::InvalidArgument);
                assert_eq!(status.message, text);
            }
        }
    }

    #[test]
    fn what_may_quote_more_than_the_grammar_is_not_shown() {
        for said in [
            "parse error at line 1, col 3: unknown identifier: globex",
            "parse error at line 1, col 3: syntax error: unexpected \"globex\"",
            "parse error at line 1, col 3: syntax error: unexpected `globex`, expecting }",
            "parse error at line 1, col 3: syntax error: unexpected 10.0.0.7",
            "parse error at line 1, col 3: syntax error: unexpected resource.tenant_id",
            "parse error at line x, globex: syntax error: unexpected rate",
            "globex: parse error at line 1, col 3: syntax error: unexpected rate",
            "parse error at line 1, col 3: syntax error: unexpected rate\nglobex",
        ] {
            assert_eq!(http_text(400, said.as_bytes()), REFUSED, "{said}");
            assert_eq!(grpc_status(Code::Unknown, said).message, FAILED, "{said}");
        }
        let long = format!(
            "parse error at line 1, col 3: syntax error: unexpected {}",
            "globex ".repeat(40).trim_end()
        );
        assert_eq!(http_text(400, long.as_bytes()), REFUSED);
        let good = "parse error at line 1, col 3: syntax error: unexpected rate";
        assert_eq!(http_text(500, good.as_bytes()), FAILED);
        assert_eq!(grpc_status(Code::Internal, good).message, FAILED);
    }

    #[test]
    fn ok_status_has_no_text() {
        assert_eq!(grpc_status(Code::Ok, "x"), Status::new(Code::Ok, ""));
    }
}
