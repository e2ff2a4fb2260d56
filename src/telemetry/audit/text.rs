//! Makes texts from outside fit for a log line: without tokens, and of bounded length.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::config::settings::AuditQueries;

/// The most bytes of a query.
const MAX_QUERY_BYTES: usize = 4096;

/// The most bytes of other texts: subjects, errors.
const MAX_TEXT_BYTES: usize = 512;

/// How queries are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redaction(AuditQueries);

impl Redaction {
    pub(super) fn new(queries: AuditQueries) -> Self {
        Self(queries)
    }

    pub fn nothing() -> Self {
        Self(AuditQueries::None)
    }

    /// Whether queries are not recorded, so that they need not be stored.
    pub fn is_none(self) -> bool {
        self.0 == AuditQueries::None
    }

    /// Whether queries are recorded in full.
    pub fn is_full(self) -> bool {
        self.0 == AuditQueries::Full
    }

    /// The query as it may be recorded.
    pub fn query(self, query: &str) -> Option<Box<str>> {
        match self.0 {
            AuditQueries::None => None,
            AuditQueries::Hash => Some(hash(query).into()),
            AuditQueries::Full => Some(safe(query, MAX_QUERY_BYTES).into()),
        }
    }
}

fn hash(query: &str) -> String {
    let mut text = String::from("sha256:");
    for byte in digest(&SHA256, query.as_bytes()).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A subject or an error as it may be written to the audit trail or the log.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    safe(text, MAX_TEXT_BYTES)
}

/// Masks what may be a token, makes hidden characters visible, and cuts the text at `max` bytes with
/// a mark.
fn safe(text: &str, max: usize) -> Cow<'_, str> {
    let masked = reveal(mask_tokens(text));
    if masked.len() <= max {
        return masked;
    }
    let end = masked.floor_char_boundary(max);
    let (start, _) = masked.split_at_checked(end).unwrap_or_default();
    format!("{start}… (cut, {} bytes)", text.len()).into()
}

/// Writes as `\u{9b}` the characters that JSON does not escape but a terminal acts on (DEL and the C1
/// controls) or shows differently (line separators, and marks that change the text's direction).
fn reveal(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_hidden = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_hidden) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// The start of every JSON Web Token: `{"` in base64url.
const TOKEN_START: &str = "eyJ";

/// Shorter texts are ordinary words.
const MIN_TOKEN_BYTES: usize = 16;

/// Replaces everything that may be a token by `***`: people paste tokens anywhere.
fn mask_tokens(text: &str) -> Cow<'_, str> {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut masked = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest
        .find(TOKEN_START)
        .and_then(|start| rest.split_at_checked(start))
    {
        let end = from.find(|c| !is_of_token(c)).unwrap_or(from.len());
        let Some((word, after)) = from.split_at_checked(end) else {
            break;
        };
        masked.push_str(before);
        masked.push_str(if word.len() < MIN_TOKEN_BYTES {
            word
        } else {
            "***"
        });
        rest = after;
    }
    if masked.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    masked.push_str(rest);
    masked.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_made_visible() {
        for (text, expected) in [
            ("a\u{9b}31m", r"a\u{9b}31m"),
            ("\u{7f}\u{85}", r"\u{7f}\u{85}"),
            ("acme\u{202e}ahpla", r"acme\u{202e}ahpla"),
            ("a\u{2028}b", r"a\u{2028}b"),
            ("caf\u{e9} \u{430}", "caf\u{e9} \u{430}"),
            // What JSON and the log escape themselves.
            ("a\nb\u{1b}", "a\nb\u{1b}"),
        ] {
            assert_eq!(safe(text, 100), expected);
        }
    }

    #[test]
    fn possible_tokens_are_masked() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_x";
        for (text, expected) in [
            ("up", "up".to_owned()),
            ("eyJ", "eyJ".to_owned()),
            ("sum(eyJolly)", "sum(eyJolly)".to_owned()),
            (token, "***".to_owned()),
            (
                &format!("up{{a=\"Bearer {token}\"}} or b{token}"),
                "up{a=\"Bearer ***\"} or b***".to_owned(),
            ),
            ("", String::new()),
        ] {
            assert_eq!(mask_tokens(text), expected);
        }
    }

    #[test]
    fn long_text_is_cut_at_a_character_with_a_mark() {
        let long = "é".repeat(3000);
        let cut = Redaction(AuditQueries::Full).query(&long).unwrap();
        assert!(cut.starts_with("éé") && cut.ends_with("… (cut, 6000 bytes)"));
        assert!(cut.len() < MAX_QUERY_BYTES + 40);
        // A token that the cut would have split is gone before.
        let token = format!("{}eyJ{}", "x".repeat(MAX_QUERY_BYTES - 20), "a".repeat(60));
        let cut = Redaction(AuditQueries::Full).query(&token).unwrap();
        assert!(cut.ends_with("***"), "{cut}");
    }

    #[test]
    fn query_is_recorded_as_the_config_says() {
        assert_eq!(Redaction(AuditQueries::None).query("up"), None);
        let hashed = Redaction(AuditQueries::Hash).query("up").unwrap();
        // printf up | sha256sum
        assert_eq!(
            &*hashed,
            "sha256:75a288c0d6898c5f7b054590845978a82a3ad79fcce3d43ff68a7501e5a91ee9"
        );
    }
}
