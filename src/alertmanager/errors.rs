//! Which of Alertmanager's error texts a tenant may see.
//!
//! A GET reports what is wrong with the caller's own parameters before anything is read. Of a post,
//! only texts that are known to be about the posted body are shown: others may count what all tenants
//! have (`exceeded maximum number of silences`). What goes wrong later may name others' silences.

use std::borrow::Cow;

use crate::prometheus::json::{self, Object, ObjectWriter, Text};

/// The beginnings of texts about a posted body (`api/v2/api.go`, `silence/silence.go`,
/// `alert/validate.go`).
const ABOUT_THE_BODY: [&str; 11] = [
    "silence invalid: ",
    "invalid silence: ",
    "failed to create silence: ",
    "Failed to create silence: ",
    "failed to convert API silence to internal silence: ",
    "silence not found",
    "invalid label set: ",
    "invalid annotations: ",
    "start time ",
    "end time ",
    "at least one label pair required",
];

/// Replaces every other text.
pub const REPLACED: &str =
    "the upstream could not answer; its reason is withheld because it may name other tenants' data";

/// What a request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    Read,
    Write,
}

/// The body for an error of the upstream: a JSON string, as Alertmanager's handlers answer, or an
/// object with `code` and `message`, as what checks its requests does.
pub fn error_answer(status: u16, body: &[u8], did: Did) -> Vec<u8> {
    if let Ok(object) = json::read::<Object<'_>>(body, "an error")
        && let Ok(message) = object.text("message", "an error's text")
    {
        let mut out = Vec::new();
        let mut writer = ObjectWriter::new(&mut out);
        let code = object.get("code").map_or("0", |code| code.get());
        let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
        let code = if is_number { code } else { "0" };
        writer.key("code").extend_from_slice(code.as_bytes());
        // What checks requests has seen nothing but the request.
        let shown = if (400..500).contains(&status) {
            &*message
        } else {
            REPLACED
        };
        json::write_string(writer.key("message"), shown);
        writer.end();
        return out;
    }
    if body.is_empty() && status == 404 {
        return Vec::new();
    }
    let text = json::read::<Text<'_>>(body, "an error").map_or(Cow::Borrowed(""), |text| text.0);
    let is_about_the_request = match did {
        Did::Read => status == 400,
        Did::Write => {
            (400..500).contains(&status)
                && ABOUT_THE_BODY.iter().any(|start| text.starts_with(start))
        }
    };
    let shown = if is_about_the_request && !text.is_empty() {
        &*text
    } else {
        REPLACED
    };
    error_json(shown)
}

/// An error as Alertmanager's handlers write it.
pub fn error_json(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::write_string(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str, did: Did) -> String {
        String::from_utf8(error_answer(status, body.as_bytes(), did)).unwrap()
    }

    #[test]
    fn errors_about_the_request_are_shown() {
        for (status, body, did) in [
            (400, r#""bad matcher format: foo""#, Did::Read),
            (
                400,
                r#""silence invalid: at least one matcher must not match the empty string""#,
                Did::Write,
            ),
            (404, r#""silence not found""#, Did::Write),
            (
                422,
                r#"{"code":602,"message":"comment in body is required"}"#,
                Did::Write,
            ),
            (404, "", Did::Read),
        ] {
            assert_eq!(answered(status, body, did), body);
        }
    }

    #[test]
    fn other_errors_are_replaced() {
        let replaced = format!("{REPLACED:?}");
        for (status, body, did) in [
            (
                400,
                r#""exceeded maximum number of silences: 5 (limit: 5)""#,
                Did::Write,
            ),
            (500, r#""silence 'x' has multiple matcher sets""#, Did::Read),
            (500, r#""invalid silence: globex""#, Did::Write),
            (502, "<html>globex</html>", Did::Read),
            (404, "globex", Did::Read),
            (400, "[]", Did::Read),
        ] {
            assert_eq!(answered(status, body, did), replaced, "{body}");
        }
        let object = answered(500, r#"{"code":"x","message":"globex"}"#, Did::Read);
        assert!(!object.contains("globex"), "{object}");
    }
}
