//! The value of a string literal, as computed by Prometheus' `util/strutil/quote.go`.

use std::borrow::Cow;

/// The bytes that a quoted string denotes (`"\xff"` is not UTF-8); `None` if Prometheus would reject
/// it.
pub(crate) fn unquote(quoted: &str) -> Option<Cow<'_, [u8]>> {
    let (&quote, rest) = quoted.as_bytes().split_first()?;
    let (&end, body) = rest.split_last()?;
    if end != quote || !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    if quote == b'`' || !body.contains(&b'\\') {
        return Some(Cow::Borrowed(body));
    }
    let mut value = Vec::with_capacity(body.len());
    let mut bytes = body.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            unescape(&mut bytes, quote, &mut value)?;
        } else {
            value.push(byte);
        }
    }
    Some(Cow::Owned(value))
}

/// Appends what an escape denotes; its backslash has been read.
fn unescape(bytes: &mut impl Iterator<Item = u8>, quote: u8, value: &mut Vec<u8>) -> Option<()> {
    let escaped = match bytes.next()? {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' => b'\\',
        byte if byte == quote => byte,
        b'x' => u8::try_from(digits(bytes, 0, 2, 16)?).ok()?,
        first @ b'0'..=b'7' => u8::try_from(digits(bytes, u32::from(first - b'0'), 2, 8)?).ok()?,
        kind @ (b'u' | b'U') => {
            let code = digits(bytes, 0, if kind == b'u' { 4 } else { 8 }, 16)?;
            let c = char::from_u32(code)?;
            value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    value.push(escaped);
    Some(())
}

fn digits(bytes: &mut impl Iterator<Item = u8>, high: u32, count: u8, radix: u32) -> Option<u32> {
    (0..count).try_fold(high, |number, _| {
        let digit = char::from(bytes.next()?).to_digit(radix)?;
        number.checked_mul(radix)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_unquoted_as_in_prometheus() {
        let cases: [(&str, Option<&[u8]>); 16] = [
            (r#""a""#, Some(b"a")),
            (r"'a'", Some(b"a")),
            (r"`a\n`", Some(br"a\n")),
            (r#""\x61\142\u0063\U00000064""#, Some(b"abcd")),
            (r#""\"\\\n\t""#, Some(b"\"\\\n\t")),
            (r"'\''", Some(b"'")),
            (r#""\xff""#, Some(b"\xff")),
            (r#""\377""#, Some(b"\xff")),
            (r#""\u00ff""#, Some("\u{ff}".as_bytes())),
            (r#""\'""#, None),
            (r#""\400""#, None),
            (r#""\x6""#, None),
            (r#""\uD800""#, None),
            (r#""\UFFFFFFFF""#, None),
            (r#""\q""#, None),
            (r#""é""#, Some("é".as_bytes())),
        ];
        for (quoted, value) in cases {
            assert_eq!(unquote(quoted).as_deref(), value, "{quoted}");
        }
    }
}
