//! What the client sees of an upstream's error.
//!
//! Tempo's error texts quote the query it got, which is the confined one, and details of the data
//! it read, which is every tenant's. Only texts that are known to be about the client's own
//! parameters are shown.

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
    match harmless(body).filter(|_| status == 400) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Borrowed(match status {
            400 | 422 => REFUSED,
            404 => NOT_FOUND,
            429 => TOO_MANY,
            _ => FAILED,
        }),
    }
}

/// The status for a gRPC error of the upstream: its code, and a text that may be shown. `message`
/// is the decoded `grpc-message`. No other trailer is forwarded: `grpc-status-details-bin` repeats
/// the message.
pub fn grpc_status(code: Code, message: &str) -> Status {
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
const NOT_FOUND: &str = "Tempo has no such call.";
const TOO_MANY: &str = "Tempo has too many requests or this one asks for too much; try again \
                        later, or with a shorter range.";
const FAILED: &str = "Tempo failed to answer. Its reason is not shown, as it may reveal other \
                      tenants' data; it is in the log of Tempo.";

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

    #[test]
    fn ok_status_has_no_text() {
        assert_eq!(grpc_status(Code::Ok, "x"), Status::new(Code::Ok, ""));
    }
}
