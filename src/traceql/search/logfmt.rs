//! The `tags` parameter: `key=value key="a value" key`.
//!
//! Source: `decode.go` of go-logfmt/logfmt 0.6.

/// The pairs, in order. Line breaks are white space. Names must be unique.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut tags: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_blank);
        if rest.is_empty() {
            return Ok(tags);
        }
        let (key, after) = split_where(rest, |c| c == '=' || c == '"' || is_blank(c));
        if key.is_empty() || after.starts_with('"') {
            let at = text.len() - after.len();
            return Err(format!("unexpected character after {at} bytes"));
        }
        let (value, after) = match after.strip_prefix('=') {
            None => (String::new(), after),
            Some(after) => value(after)
                .ok_or_else(|| format!("the value of {key} is not one word and not well quoted"))?,
        };
        if tags.iter().any(|(name, _)| name == key) {
            return Err(format!("tag {key} has been set twice"));
        }
        tags.push((key.to_owned(), value));
        rest = after;
    }
}

fn value(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_value(quoted);
    }
    let (value, after) = split_where(text, |c| c == '=' || c == '"' || is_blank(c));
    let is_whole = after.chars().next().is_none_or(is_blank);
    is_whole.then(|| (value.to_owned(), after))
}

/// The value and the rest, from after the opening quote. Escapes are those of JSON and `\'`.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                c @ ('"' | '\\' | '/' | '\'') => c,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits = chars.as_str().get(..4)?;
                    chars = chars.as_str().get(4..)?.chars();
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                _ => return None,
            }),
            '\n' => return None,
            c => value.push(c),
        }
    }
}

fn is_blank(c: char) -> bool {
    c <= ' '
}

fn split_where(text: &str, at: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}
