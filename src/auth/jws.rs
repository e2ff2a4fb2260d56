//! Strict parsing of a token's text: a JSON Web Signature in compact form (RFC 7515 §7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::AuthError;
use crate::config::settings::Algorithm;
use crate::strict_json;

/// A well-formed token. Nothing in it is to be trusted before its signature is verified.
#[derive(Debug)]
pub(super) struct Jws<'a> {
    /// Header and claims as they were signed: `base64url.base64url`.
    pub(super) signed: &'a str,
    /// The signature, in base64url.
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// Parses a token. Keys that it contains or points to (`jwk`, `jku`, `x5c`, `x5u`) are ignored.
pub(super) fn parse(token: &str) -> Result<Jws<'_>, AuthError> {
    let three_parts = AuthError::Malformed("not three parts separated by dots");
    let Some((signed, signature)) = token.rsplit_once('.') else {
        return Err(three_parts);
    };
    let Some((header, claims)) = signed.split_once('.') else {
        return Err(three_parts);
    };
    if claims.contains('.') {
        return Err(match token.matches('.').count() {
            4 => AuthError::Malformed("it is encrypted (JWE); only signed tokens are accepted"),
            _ => three_parts,
        });
    }
    if decode(signature)?.is_empty() {
        return Err(AuthError::Malformed("it is not signed"));
    }
    let header = strict_json::object(&decode(header)?).ok_or(AuthError::Malformed(
        "its header is not a JSON object, or a key occurs twice in it",
    ))?;
    let (algorithm, kid) = read_header(&header)?;
    let claims = strict_json::object(&decode(claims)?).ok_or(AuthError::Malformed(
        "its claims are not a JSON object, are nested too deeply, or a key occurs twice in them",
    ))?;
    Ok(Jws {
        signed,
        signature,
        algorithm,
        kid,
        claims,
    })
}

/// Decodes base64url without padding, spaces, line ends or stray bits in the last letter.
fn decode(part: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AuthError::Malformed("a part is not in canonical base64url"))
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), AuthError> {
    // Both change what the rest means: RFC 7515 §4.1.11, RFC 7797 §3.
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(AuthError::Malformed(
            "its header requires extensions (crit, b64) that are not supported",
        ));
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if is_jwt(typ) => {}
        Some(_) => return Err(AuthError::Malformed("its type (typ) is not JWT or at+jwt")),
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => algorithm_named(name).ok_or(AuthError::Algorithm)?,
        _ => return Err(AuthError::Malformed("its header names no algorithm (alg)")),
    };
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err(AuthError::Malformed("its key id (kid) is not a string")),
    };
    Ok((algorithm, kid))
}

/// RFC 7519 §5.1 and RFC 9068 §2.1; `application/` may be left out (RFC 7515 §4.1.9).
fn is_jwt(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(
        typ.strip_prefix("application/").unwrap_or(&typ),
        "jwt" | "at+jwt"
    )
}

/// The algorithm of this name, which is case-sensitive (RFC 7515 §4.1.1).
pub(super) fn algorithm_named(name: &str) -> Option<Algorithm> {
    let mut all = Algorithm::ALL.iter();
    all.find(|(known, _)| *known == name)
        .map(|(_, algorithm)| *algorithm)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Parsing is unambiguous: encoding the parsed token gives the same text.
        #[test]
        fn arbitrary_text_is_parsed_unambiguously_or_refused(
            parts in prop::collection::vec(prop_oneof!["[A-Za-z0-9_-]{0,12}", "\\PC{0,6}"], 0..5),
            header in "[{}\\[\\]\":,a-e0-9 \\\\]{0,40}",
        ) {
            let _ = parse(&parts.join("."));
            let token = token(&header, &header);
            if let Ok(jws) = parse(&token) {
                prop_assert_eq!(format!("{}.{}", jws.signed, jws.signature), token);
            }
        }

        /// Any changed byte makes it another token or an invalid one.
        #[test]
        fn changed_token_is_another_or_invalid(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let good = token(r#"{"alg":"RS256","kid":"k"}"#, r#"{"iss":"i","tenant_id":"acme"}"#);
            let mut bytes = good.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
            if let Ok(jws) = parse(&changed) {
                let was = parse(&good).unwrap();
                prop_assert!(jws.signed != was.signed || jws.signature != was.signature);
                let as_bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
                let differs = jws.signed != was.signed
                    || as_bytes(jws.signature) != as_bytes(was.signature);
                prop_assert!(differs, "{changed}");
            }
        }
    }

    fn token(header: &str, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(header), encode(claims))
    }

    fn reason(token: &str) -> &'static str {
        parse(token).unwrap_err().reason().label()
    }

    #[test]
    fn token_is_parsed_and_its_signed_part_is_its_own_text() {
        let token = token(r#"{"alg":"RS256","typ":"JWT","kid":"k"}"#, r#"{"iss":"i"}"#);
        let jws = parse(&token).unwrap();
        assert_eq!(format!("{}.{}", jws.signed, jws.signature), token);
        assert_eq!(jws.algorithm, Algorithm::RS256);
        assert_eq!(jws.kid.as_deref(), Some("k"));
        assert_eq!(jws.claims["iss"], "i");
    }

    /// The names of RFC 7518 §3.1 and RFC 8037 §3.1, without `none`.
    #[test]
    fn algorithm_is_that_of_its_registered_name() {
        for name in [
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
            "ES256", "ES384", "EdDSA",
        ] {
            let token = token(&format!(r#"{{"alg":"{name}"}}"#), "{}");
            assert_eq!(format!("{:?}", parse(&token).unwrap().algorithm), name);
        }
        for name in ["none", "None", "hs256", "HS256 ", "ES512", "ES256K", ""] {
            let token = token(&format!(r#"{{"alg":"{name}"}}"#), "{}");
            assert_eq!(reason(&token), "algorithm", "{name}");
        }
    }

    #[test]
    fn token_without_exactly_three_parts_is_refused() {
        let good = token(r#"{"alg":"RS256"}"#, "{}");
        assert!(parse(&good).is_ok());
        let (head, rest) = good.split_once('.').unwrap();
        for bad in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "a.b".to_owned(),
            format!("{head}.{rest}."),
            format!(".{good}"),
            format!("{head}.{rest}.x"),
            format!("{head}.{rest}.x.y"),
            format!("{head}..c2ln"),
            format!("{head}.e30."),
            format!("{good}="),
            format!("{good} "),
            format!("{good}\n"),
            format!("{head}.e30=.c2ln"),
            format!("{head}.e31.c2ln"),
            format!("{head}.e3 0.c2ln"),
            format!("{head}.e30.c2l/"),
            r#"{"payload":"e30","signatures":[]}"#.to_owned(),
        ] {
            assert_eq!(reason(&bad), "malformed", "{bad}");
        }
        let jwe = parse("a.b.c.d.e").unwrap_err().to_string();
        assert!(jwe.contains("encrypted"), "{jwe}");
    }

    #[test]
    fn unsupported_header_is_refused() {
        for header in [
            r"{}",
            r#"{"alg":null}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"RS256","crit":["exp"]}"#,
            r#"{"alg":"RS256","crit":[]}"#,
            r#"{"alg":"RS256","b64":false}"#,
            r#"{"alg":"RS256","b64":true}"#,
            r#"{"alg":"RS256","typ":"dpop+jwt"}"#,
            r#"{"alg":"RS256","typ":"JOSE"}"#,
            r#"{"alg":"RS256","typ":1}"#,
            r#"{"alg":"RS256","typ":null}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","kid":null}"#,
            r#"["RS256"]"#,
            r#"{"alg":"RS256""#,
        ] {
            assert_eq!(reason(&token(header, "{}")), "malformed", "{header}");
        }
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
            let header = format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#);
            assert!(parse(&token(&header, "{}")).is_ok(), "{typ}");
        }
    }

    #[test]
    fn unknown_algorithm_is_refused() {
        for name in [
            "none", "None", "nOnE", "NONE", "", "rs256", "RS256 ", "HS1", "ES256K", "ES512",
        ] {
            let header = format!(r#"{{"alg":"{name}"}}"#);
            assert_eq!(reason(&token(&header, "{}")), "algorithm", "{name}");
        }
    }

    #[test]
    fn claims_are_an_object_without_duplicates() {
        for claims in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            "[]",
            "\"x\"",
            "",
            "{} {}",
        ] {
            let token = token(r#"{"alg":"RS256"}"#, claims);
            assert_eq!(reason(&token), "malformed", "{claims}");
        }
    }
}
