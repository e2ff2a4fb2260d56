//! Whether a response is complete.

use super::json::Envelope;

/// Whether it is one complete JSON response that succeeded, without warnings or infos: Thanos
/// reports stores that failed in a warning (`partial_response`).
pub fn is_complete(answer: &[u8]) -> bool {
    Envelope::read(answer).is_ok_and(|envelope| {
        envelope.data.is_some() && envelope.warnings.is_empty() && envelope.infos.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_success_is_complete() {
        for answer in [
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
            r#" {"data":["a"],"warnings":[],"infos":null,"status":"success"} "#,
        ] {
            assert!(is_complete(answer.as_bytes()), "{answer}");
        }
    }

    #[test]
    fn error_truncation_or_warning_is_incomplete() {
        for answer in [
            "",
            "{}",
            r#"{"status":"success"}"#,
            r#"{"status":"success","data":[]"#,
            r#"{"status":"success","data":[]}{"#,
            r#"{"status":"error","data":[]}"#,
            r#"{"status":"error","status":"success","data":[]}"#,
            r#"{"status":"success","data":[],"warnings":["a store did not answer"]}"#,
            r#"{"status":"success","data":[],"infos":["not a counter"]}"#,
            r#"{"status":"success","data":[],"warnings":"a store did not answer"}"#,
            r#"["success"]"#,
        ] {
            assert!(!is_complete(answer.as_bytes()), "{answer}");
        }
    }
}
