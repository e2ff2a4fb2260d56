//! `/api/v1/status/flags`.

use super::super::json::{Envelope, Object, ObjectWriter, Unreadable};
use super::write_answer;

/// The flags that are shown: they say how far back there is data, how queries are read and bounded,
/// and which engine answers. Their values are durations, numbers and words, of the process and of
/// no tenant. Source: the flags that the clients named here read, and those beside them that bound a
/// query (`cmd/prometheus/main.go`, `cmd/thanos/query.go`). All others stay closed: they hold paths,
/// addresses of other services and names of labels.
const SHOWN: [&str; 15] = [
    // Thanos' web interface (`pkg/ui/react-app/src/pages/graph/PanelList.tsx`).
    "query.default-step",
    "query.mode",
    "query.partial-response",
    "query.promql-engine",
    // Prometheus linters and rightsizing tools: whether an offset or range reaches past the data.
    "storage.tsdb.retention",
    "storage.tsdb.retention.time",
    // What bounds and shapes a query.
    "query.auto-downsampling",
    "query.default-evaluation-interval",
    "query.dynamic-lookback-delta",
    "query.lookback-delta",
    "query.max-concurrency",
    "query.max-concurrent",
    "query.max-samples",
    "query.metadata.default-time-range",
    "query.timeout",
];

/// Longer than any duration, number or word.
const MAX_VALUE_BYTES: usize = 40;

/// Keeps the flags of [`SHOWN`] whose values are what they are known to be.
///
/// The values are the upstream's own, not constants: a client that is told a retention or an engine
/// that the upstream does not have would ask for the wrong thing.
pub fn flags(answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let envelope = Envelope::read(answer)?;
    let data: Object<'_> = envelope.data("its flags are not an object")?;
    write_answer(&envelope, answer.len(), |out| {
        let mut writer = ObjectWriter::new(out);
        for (key, value) in data.iter() {
            if SHOWN.contains(&key) && is_plain(value.get()) {
                writer.raw(key, value);
            }
        }
        writer.end();
        Ok(())
    })
}

/// A JSON string without escapes that is a duration, a number or a word.
fn is_plain(json: &str) -> bool {
    let text = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    text.is_some_and(|text| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        text.len() <= MAX_VALUE_BYTES && text.bytes().all(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::text;
    use super::*;

    #[test]
    fn flags_that_shape_queries_are_kept_and_no_others() {
        let answer = br#"{"status":"success","data":{"alertmanager.url":"http://globex:9093","query.lookback-delta":"5m","query.replica-label":"[replica]","query.promql-engine":"thanos","endpoint":"globex:10901","storage.tsdb.path":"/data/globex","storage.tsdb.retention.time":"15d","query.max-samples":"50000000","web.external-url":"https://x"}}"#;
        assert_eq!(
            text(flags(answer).unwrap()),
            r#"{"status":"success","data":{"query.lookback-delta":"5m","query.promql-engine":"thanos","storage.tsdb.retention.time":"15d","query.max-samples":"50000000"}}"#
        );
    }

    #[test]
    fn value_that_is_no_plain_word_is_left_out() {
        for value in [
            r#""{tenant_id=\"globex\"}""#,
            r#""a b""#,
            r#""http://globex""#,
            r#"["globex"]"#,
            r#"{"a":"globex"}"#,
            r#""globex-globex-globex-globex-globex-globex-globex""#,
        ] {
            let answer = format!(r#"{{"status":"success","data":{{"query.timeout":{value}}}}}"#);
            assert_eq!(
                text(flags(answer.as_bytes()).unwrap()),
                r#"{"status":"success","data":{}}"#,
                "{value}"
            );
        }
    }

    #[test]
    fn answer_of_another_shape_is_unreadable() {
        for answer in [
            "404 page not found",
            r#"{"status":"success","data":[]}"#,
            r#"{"status":"success"}"#,
        ] {
            assert!(flags(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
