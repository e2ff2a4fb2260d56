//! The status that ends a call: a code and a message, in trailers or in the only header block.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The status codes of
/// <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code of a `grpc-status`; `Unknown` if it is not a known number.
    pub fn from_header(value: &str) -> Self {
        let number = value.parse::<u8>().ok();
        Self::ALL
            .into_iter()
            .find(|code| Some(code.number()) == number)
            .unwrap_or(Self::Unknown)
    }

    /// The code for the HTTP status of an answer that is not gRPC
    /// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
    pub fn from_http(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// The value of `grpc-status`.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// A code and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: Code,
    /// Not percent-encoded.
    pub message: Cow<'static, str>,
}

impl Status {
    /// A status with a message that the client may see.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The trailers that end a call after its headers have been sent.
    pub fn trailers(&self) -> Vec<(&'static str, String)> {
        let mut trailers = vec![("grpc-status", self.code.number().to_string())];
        if !self.message.is_empty() {
            trailers.push(("grpc-message", percent_encode(&self.message)));
        }
        trailers
    }

    /// The headers of an answer that consists only of this status ("Trailers-Only"). Its HTTP
    /// status is 200 and it has no body.
    pub fn trailers_only(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("content-type", "application/grpc".to_owned())];
        if self.code == Code::Unimplemented {
            // The protocol requires it if a compression is not supported. Otherwise it is harmless.
            headers.push(("grpc-accept-encoding", "identity".to_owned()));
        }
        headers.extend(self.trailers());
        headers
    }
}

/// Encodes a `grpc-message`: `%` and all bytes that are not printable ASCII become `%XX`.
pub fn percent_encode(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for &byte in message.as_bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Decodes a `grpc-message`. As the protocol requires, invalid escapes are left as they are. Bytes
/// that are not UTF-8 are replaced.
pub fn percent_decode(value: &[u8]) -> String {
    percent_encoding::percent_decode(value)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encode("a b~"), "a b~");
        assert_eq!(percent_encode("100%"), "100%25");
        assert_eq!(percent_encode("é\n\u{7f}"), "%C3%A9%0A%7F");
        assert_eq!(percent_decode(b"%C3%A9 100% %zz"), "é 100% %zz");
    }

    #[test]
    fn refusal_is_one_header_block() {
        let status = Status::new(Code::Unauthenticated, "no token");
        assert_eq!(
            status.trailers_only(),
            [
                ("content-type", "application/grpc".to_owned()),
                ("grpc-status", "16".to_owned()),
                ("grpc-message", "no token".to_owned()),
            ]
        );
        assert_eq!(
            Status::new(Code::Ok, "").trailers(),
            [("grpc-status", "0".to_owned())]
        );
        let headers = Status::new(Code::Unimplemented, "").trailers_only();
        assert!(headers.contains(&("grpc-accept-encoding", "identity".to_owned())));
    }

    #[test]
    fn codes_survive_the_header() {
        for code in Code::ALL {
            assert_eq!(Code::from_header(&code.number().to_string()), code);
        }
        for odd in ["17", "-1", "", "256", "x"] {
            assert_eq!(Code::from_header(odd), Code::Unknown, "{odd}");
        }
        assert_eq!(Code::from_http(503), Code::Unavailable);
        assert_eq!(Code::from_http(200), Code::Unknown);
    }

    proptest! {
        #[test]
        fn any_message_survives_the_header(message in ".{0,60}") {
            let encoded = percent_encode(&message);
            prop_assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(percent_decode(encoded.as_bytes()), message);
        }
    }
}
