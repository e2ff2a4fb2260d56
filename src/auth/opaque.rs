//! Recognizes opaque tokens: those that no parser could take for a JSON Web Token.
//!
//! Google, Okta, Zitadel and others hand out access tokens that only they can read. Grafana sends
//! such a token in `Authorization` beside the user's ID token in `X-Id-Token`. It proves nothing
//! here, so it is treated as if it were not sent, and the next header of `tokens.sources` is tried.
//!
//! Is that safe? Skipping a token gives its sender nothing that omitting it would not: a client that
//! can send both headers can send only the second one. But a proxy in front of Partywall must not
//! see another caller than Partywall: it could have verified the first token while Partywall uses
//! the second. So a text is skipped only if it cannot be anything but "not a JWT":
//!
//! - A text that starts like a JOSE header, in any kind of base64, is not opaque, however broken the
//!   rest is. Another parser may be more tolerant (padding, the other alphabet, trailing bits,
//!   extensions) or have the key of an encrypted token (JWE). It is refused, never skipped.
//! - A text with characters that RFC 6750 §2.1 does not permit in a token is not opaque either: it
//!   may be a list, or JSON. It is refused.
//!
//! What remains is a proxy in front that looks an opaque token up at its issuer and lets clients
//! send further headers. Then `tokens.sources` has to list only the header that this proxy sets
//! (docs/security.md).

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Accepts what the most tolerant parser would accept.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The start of nearly every JWT: `{"` in base64url.
const USUAL_BEGINNING: &str = "eyJ";

/// Whether no parser could take the text for a JSON Web Token, signed or encrypted.
pub(super) fn is_opaque(token: &str) -> bool {
    !token.starts_with(USUAL_BEGINNING) && token.bytes().all(is_permitted) && !has_header(token)
}

/// `b64token` (RFC 6750 §2.1).
fn is_permitted(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// Whether the text up to the first dot could be a JOSE header (RFC 7515 §4, RFC 7516 §4): JSON of
/// an object, in base64url.
fn has_header(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let in_alphabet = |byte| match byte {
        b'+' => Some(b'-'),
        b'/' => Some(b'_'),
        // Some parsers skip characters that are not in the alphabet.
        b'=' | b'~' => None,
        letter => Some(letter),
    };
    let mut header: Vec<u8> = header.bytes().filter_map(in_alphabet).collect();
    // One letter alone is less than a byte.
    if header.len() % 4 == 1 {
        header.pop();
    }
    let Ok(json) = TOLERANT.decode(header) else {
        return false;
    };
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&json);
    json.trim_ascii_start().starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn opaque_tokens_of_providers_are_opaque() {
        for token in [
            // Google.
            "ya29.a0AfH6SMBx-Lk3v_9wQ",
            "ya29.1.AADtN_UtlxH8cruGAxrN2XQnZTVRvDyVWnYq4I6dws",
            // Zitadel, Auth0 without an audience, GitHub, GitLab.
            "VjM6dGVzdA-kQHqTGJzYV9X0rrQNqfQ4Rp3UHQ0bA",
            "jZ2pXvIwhG0mjk1nS1u3Ue3dR5mLb2hQ",
            "gho_16C7e42F292c6912E7710c838347Ae178B4a",
            "glpat-20charsofanything",
            "a",
            "x.y.z",
            ".",
            "1234",
        ] {
            assert!(is_opaque(token), "{token}");
        }
    }

    #[test]
    fn text_that_some_reader_may_take_for_a_jwt_is_not_opaque() {
        let header = r#"{"alg":"RS256"}"#;
        let spaced = format!(" \n\t{header}");
        let marked = format!("\u{feff}{header}");
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for token in [
            format!("{}.e30.c2ln", encode(header)),
            // Without a signature, with too many parts, encrypted, and the header alone.
            format!("{}.e30.", encode(header)),
            format!("{}.e30.c2ln.x", encode(header)),
            format!("{}..a.b.c", encode(r#"{"alg":"dir","enc":"A256GCM"}"#)),
            encode(header),
            // Accepted by tolerant parsers.
            format!(
                "{}.e30.c2ln",
                STANDARD.encode(r#"{"alg":"RS256","kid":"?>?>"}"#)
            ),
            format!("{}=.e30.c2ln", encode(header)),
            format!("{}A.e30.c2ln", encode(header)),
            format!("{}A.e30.c2ln", encode("{}    ")),
            format!("{}.e30.c2ln", encode(&spaced)),
            format!("{}.e30.c2ln", encode(&marked)),
            format!("{}.e30.c2ln", encode("{}")),
            format!("{}.e30.c2ln", encode("{broken")),
            format!("{}.e30.c2ln", encode(&spaced).replace('I', "I=~")),
            // `{` and stray bits.
            "ex.e30.c2ln".to_owned(),
            // Not a token at all.
            "eyJ*".to_owned(),
            r#"{"payload":"e30"}"#.to_owned(),
            "a;b".to_owned(),
            "a:b".to_owned(),
        ] {
            assert!(!is_opaque(&token), "{token}");
        }
    }
}
