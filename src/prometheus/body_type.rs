//! Whether Go reads parameters from a request's body, by its `Content-Type` (`parsePostForm` and
//! `multipartReader` in net/http/request.go, `ParseMediaType` in mime/mediatype.go). A charset is
//! not looked at: what is read has to be UTF-8, whatever it is called.

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`, with its boundary.
    Multipart(String),
    /// Go reads no parameters from it.
    Other,
}

/// Parameters in a `Content-Type`; more are no type that is read.
const MAX_PARAMETERS: usize = 8;

impl BodyType {
    /// Of the first `Content-Type`, which is the one that Go reads.
    pub fn of(content_type: Option<&str>) -> Self {
        let (name, parameters) = content_type
            .unwrap_or_default()
            .split_once(';')
            .unwrap_or((content_type.unwrap_or_default(), ""));
        let name = name.trim();
        let parameters = read_parameters(parameters);
        if name.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            // Go reads it beside parameters that it cannot read, but not beside two of one name.
            return match parameters {
                Err(Unread::Contradiction) => Self::Other,
                _ => Self::Form,
            };
        }
        if !name.eq_ignore_ascii_case("multipart/form-data") {
            return Self::Other;
        }
        let parameters = parameters.unwrap_or_default();
        let boundary = parameters.into_iter().find(|(name, _)| name == "boundary");
        match boundary {
            Some((_, boundary)) if !boundary.is_empty() => Self::Multipart(boundary),
            _ => Self::Other,
        }
    }
}

impl BodyType {
    /// The name of a part of `multipart/form-data`, by its `Content-Disposition`; `None` where it is
    /// a file, or has no name.
    pub(super) fn name_of_field(disposition: &str) -> Option<String> {
        let (kind, parameters) = disposition.split_once(';')?;
        let mut parameters = read_parameters(parameters).ok()?;
        let is_file = |(name, value): &(String, String)| {
            (name == "filename" || name == "filename*") && !value.is_empty()
        };
        if !kind.trim().eq_ignore_ascii_case("form-data") || parameters.iter().any(is_file) {
            return None;
        }
        let at = parameters.iter().position(|(name, _)| name == "name")?;
        let (_, name) = parameters.swap_remove(at);
        (!name.is_empty()).then_some(name)
    }
}

/// Why the parameters of a type are not read.
enum Unread {
    Malformed,
    Contradiction,
}

/// Names in lower case, and values. A `;` may end them.
fn read_parameters(text: &str) -> Result<Vec<(String, String)>, Unread> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(Unread::Malformed)?;
        let name = name.trim().to_ascii_lowercase();
        let (value, after) = value(after)?;
        if !is_token(&name) || all.len() == MAX_PARAMETERS {
            return Err(Unread::Malformed);
        }
        match all.iter().find(|(known, _)| *known == name) {
            Some((_, known)) if *known != value => return Err(Unread::Contradiction),
            Some(_) => {}
            None => all.push((name, value)),
        }
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(next) => next.trim(),
            None if after.is_empty() => after,
            None => return Err(Unread::Malformed),
        };
    }
    Ok(all)
}

/// A token or a quoted string (RFC 9110 §5.6), and what stands behind it.
fn value(text: &str) -> Result<(String, &str), Unread> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return if is_token(value) {
            Ok((value.to_owned(), rest))
        } else {
            Err(Unread::Malformed)
        };
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(chars.next().ok_or(Unread::Malformed)?.1),
            other => value.push(other),
        }
    }
    Err(Unread::Malformed)
}

fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn forms_are_forms_whatever_their_charset_is_called() {
        for parameters in [
            "",
            ";",
            "; ",
            ";;",
            "; charset=utf-8",
            ";charset=utf8",
            "; charset=\"UTF-8\"",
            "; charset=ISO-8859-1;",
            "; charset=utf-16",
            "; charset=utf-8; charset=utf-8",
            "; charset",
            "; =",
            "; boundary=x",
        ] {
            let content_type = format!("{FORM}{parameters}");
            assert_eq!(
                BodyType::of(Some(&content_type)),
                BodyType::Form,
                "{content_type}"
            );
        }
        assert_eq!(
            BodyType::of(Some(" Application/X-WWW-Form-Urlencoded ")),
            BodyType::Form
        );
    }

    #[test]
    fn other_types_are_not_read() {
        for content_type in [
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded-x",
            "application/x-www-form-urlencoded, text/plain",
            "application/x-www-form-urlencoded; charset=utf-8; charset=latin1",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"",
            "multipart/mixed; boundary=x",
            "",
        ] {
            assert_eq!(
                BodyType::of(Some(content_type)),
                BodyType::Other,
                "{content_type}"
            );
        }
        assert_eq!(BodyType::of(None), BodyType::Other);
    }

    #[test]
    fn multipart_has_its_boundary() {
        for (content_type, boundary) in [
            ("multipart/form-data; boundary=----x1", "----x1"),
            ("Multipart/Form-Data;Boundary=\"a b\"; charset=utf-8", "a b"),
            ("multipart/form-data; boundary=\"a\\\"b\"", "a\"b"),
        ] {
            let expected = BodyType::Multipart(boundary.to_owned());
            assert_eq!(BodyType::of(Some(content_type)), expected, "{content_type}");
        }
    }
}
