//! Whether an answer says all that was asked for.

use super::json::Envelope;

/// Whether it is one whole JSON answer that succeeded, without warnings or infos: Thanos answers
/// what some stores did not give with a warning (`partial_response`).
pub fn is_complete(answer: &[u8]) -> bool {
    Envelope::read(answer).is_ok_and(|envelope| {
        envelope.data.is_some() && envelope.warnings.is_empty() && envelope.infos.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_whole_and_succeeded_is_complete() {
        for answer in [
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
            r#" {"data":["a"],"warnings":[],"infos":null,"status":"success"} "#,
        ] {
            assert!(is_complete(answer.as_bytes()), "{answer}");
        }
    }

    #[test]
    fn what_failed_was_cut_off_or_warns_is_not() {
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
