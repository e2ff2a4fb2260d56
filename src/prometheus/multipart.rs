//! `multipart/form-data` (RFC 7578) as Go reads it (`ReadForm` in mime/multipart/formdata.go): the
//! values of its fields, not its files. What Go would have to decode first is refused, since nothing
//! that sends parameters encodes them.

use memchr::memmem;
use thiserror::Error;

use super::body_type::BodyType;
use super::form::{Form, FormError, MAX_PARAMETERS};

/// The longest head of a part, in bytes.
const MAX_HEAD_BYTES: usize = 4096;

/// Why a body of parts is not read. All are the client's mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MultipartError {
    /// A boundary, a part's head or the end is missing.
    #[error("the body is not multipart/form-data with the boundary of its Content-Type")]
    Malformed,
    /// A part has a `Content-Transfer-Encoding` that has to be undone.
    #[error("a part of the body has a Content-Transfer-Encoding; send it as it is")]
    Encoded,
    /// A name or value is no text.
    #[error(transparent)]
    Form(#[from] FormError),
}

/// Reads the fields of a body.
pub fn fields<'a>(body: &'a [u8], boundary: &str) -> Result<Form<'a>, MultipartError> {
    let delimiter = format!("\r\n--{boundary}");
    let delimiter = delimiter.as_bytes();
    // The first delimiter may stand at the very beginning, without its line end.
    let first = delimiter.get(2..).unwrap_or_default();
    let mut rest = match body.strip_prefix(first) {
        Some(rest) => rest,
        None => after(body, delimiter).ok_or(MultipartError::Malformed)?.1,
    };
    let mut form = Form::default();
    let mut count = 0;
    loop {
        if rest.starts_with(b"--") {
            return Ok(form);
        }
        count += 1;
        if count > MAX_PARAMETERS {
            return Err(FormError::TooMany.into());
        }
        // Blanks may stand behind a boundary (RFC 2046 §5.1.1).
        let (padding, part) = after(rest, b"\r\n").ok_or(MultipartError::Malformed)?;
        if !padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(MultipartError::Malformed);
        }
        let (part, next) = after(part, delimiter).ok_or(MultipartError::Malformed)?;
        if let Some((name, value)) = field(part)? {
            form.push(name, value);
        }
        rest = next;
    }
}

/// What stands before such bytes, and what behind them.
fn after<'a>(text: &'a [u8], found: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memmem::find(text, found)?;
    Some((text.get(..at)?, text.get(at + found.len()..)?))
}

/// The name and value of a part; `None` where it is a file, or has no name, as Go leaves it out.
fn field(part: &[u8]) -> Result<Option<(String, &str)>, MultipartError> {
    let (head, value) = match part.strip_prefix(b"\r\n") {
        Some(value) => (&[][..], value),
        None => after(part, b"\r\n\r\n").ok_or(MultipartError::Malformed)?,
    };
    if head.len() > MAX_HEAD_BYTES {
        return Err(MultipartError::Malformed);
    }
    let head = std::str::from_utf8(head).map_err(|_| FormError::NotUtf8)?;
    let mut disposition = None;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(MultipartError::Malformed)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["", "7bit", "8bit", "binary"].contains(&&*value.to_ascii_lowercase())
        {
            return Err(MultipartError::Encoded);
        }
        if name.eq_ignore_ascii_case("content-disposition") {
            disposition.get_or_insert(value);
        }
    }
    let Some(name) = disposition.and_then(BodyType::name_of_field) else {
        return Ok(None);
    };
    let value = std::str::from_utf8(value).map_err(|_| FormError::NotUtf8)?;
    if name.contains('\0') || value.contains('\0') {
        return Err(FormError::Nul.into());
    }
    Ok(Some((name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<String, MultipartError> {
        fields(body.as_bytes(), "x").map(|form| form.encode())
    }

    fn part(head: &str, value: &str) -> String {
        format!("--x\r\n{head}\r\n\r\n{value}\r\n")
    }

    #[test]
    fn fields_are_read_as_curl_sends_them() {
        let query = part(
            "Content-Disposition: form-data; name=\"query\"",
            "sum(up) by (job)",
        );
        let time = part("content-disposition: form-data; name=time", "5");
        let list = part(
            "Content-Disposition: form-data; name=\"match[]\"\r\nContent-Type: text/plain",
            "",
        );
        let body = format!("{query}{time}{list}--x--\r\n");
        let expected = "query=sum%28up%29+by+%28job%29&time=5&match%5B%5D=";
        assert_eq!(read(&body).as_deref(), Ok(expected));
        assert_eq!(
            read(&format!("a preamble\r\n{body}an epilogue")).as_deref(),
            Ok(expected)
        );
        assert_eq!(read("--x--"), Ok(String::new()));
    }

    #[test]
    fn files_and_parts_without_a_name_are_left_out() {
        let file = part(
            "Content-Disposition: form-data; name=\"query\"; filename=\"a\"",
            "up",
        );
        let nameless = part("Content-Disposition: form-data", "up");
        let bare = "--x\r\n\r\nup\r\n";
        assert_eq!(
            read(&format!("{file}{nameless}{bare}--x--")),
            Ok(String::new())
        );
    }

    #[test]
    fn broken_bodies_are_refused() {
        let query = part("Content-Disposition: form-data; name=\"query\"", "up");
        for body in [
            "",
            "query=up",
            &query,
            &format!("{query}--y--"),
            "--xy\r\n\r\nup\r\n--x--",
            "--x\r\nno head",
            "--x\r\nno colon\r\n\r\nup\r\n--x--",
        ] {
            assert_eq!(read(body), Err(MultipartError::Malformed), "{body:?}");
        }
        let head =
            "Content-Disposition: form-data; name=\"query\"\r\nContent-Transfer-Encoding: base64";
        let encoded = format!("{}--x--", part(head, "dXA="));
        assert_eq!(read(&encoded), Err(MultipartError::Encoded));
        let nul = format!(
            "{}--x--",
            part("Content-Disposition: form-data; name=\"q\"", "\0")
        );
        assert_eq!(read(&nul), Err(FormError::Nul.into()));
        let many = format!("{}--x--", query.repeat(MAX_PARAMETERS + 1));
        assert_eq!(read(&many), Err(FormError::TooMany.into()));
    }
}
