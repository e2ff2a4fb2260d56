//! Which of an upstream's error texts a tenant may see, and errors in Prometheus' own format.
//!
//! Texts of the engine and of the parameter parsers are about the request and the series that it
//! selected, all of them the caller's: they are shown. Texts from storage may name other tenants'
//! stores, addresses and label sets: they are replaced. The list is one of texts that are shown,
//! taken from `promql/engine.go`, `promql/functions.go`, `promql/info.go`, `promql/durations.go`,
//! `promql/parser` and both products' `v1` handlers.
//!
//! A parse error may quote our own matcher, because it quotes the query that was forwarded; that
//! matcher names the caller's tenants only.

use std::borrow::Cow;

use super::json::{self, Object, ObjectWriter};
use super::position::{Position, Remap};

/// Replaces every error text that is not shown.
pub const REPLACED: &str =
    "the upstream could not answer; its reason is withheld because it may name other tenants' data";

/// What a tenant reads where the upstream has no such path: it says nothing of what is stored.
pub const NO_ENDPOINT: &str = "the upstream has no such endpoint; if it should have, check its \
                               version and the path in its `url`";

/// `{"status":"error","errorType":…,"error":…}`, as Prometheus writes it.
pub fn error_json(error_type: &str, message: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut object = ObjectWriter::new(&mut out);
    json::write_string(object.key("status"), "error");
    json::write_string(object.key("errorType"), error_type);
    json::write_string(object.key("error"), message);
    object.end();
    out
}

/// The body that a tenant gets for an upstream's error: always JSON in Prometheus' format, whatever
/// `body` is. `status` determines the type of an error without one.
pub fn error_answer(status: u16, body: &[u8], remap: Remap<'_>) -> Vec<u8> {
    let said = json::read::<Object<'_>>(body, "an error").and_then(|object| {
        let error_type = object.text("errorType", "an error's type")?;
        Ok((error_type, object.text("error", "an error's text")?))
    });
    let (error_type, text) = match &said {
        Ok((said, text)) => (known_type(said), &**text),
        // Go's router, and what stands before it, answer text.
        Err(_) if status == 404 => return error_json("not_found", NO_ENDPOINT),
        Err(_) => (
            None,
            std::str::from_utf8(body).unwrap_or_default().trim_end(),
        ),
    };
    let error_type = error_type.unwrap_or_else(|| type_of_status(status));
    error_json(error_type, &scrub_error(error_type, text, remap))
}

/// An error's text as a tenant may see it; positions refer to the original query. `/federate`
/// responds with plain text: pass the type of its status.
pub fn scrub_error<'t>(error_type: &str, text: &'t str, remap: Remap<'_>) -> Cow<'t, str> {
    let shown = match error_type {
        "bad_data" => bad_data(text, remap),
        "execution" => execution(text),
        "timeout" => starts_with_any(text, &["query timed out in "]),
        "canceled" => starts_with_any(text, &["query was canceled in "]),
        "unavailable" => starts_with_any(
            text,
            &[
                "TSDB not ready",
                "Service Unavailable",
                "search API disabled",
            ],
        ),
        "not_acceptable" => starts_with_any(text, &["cannot encode response as "]),
        _ => None,
    };
    shown
        .filter(|text| !names_a_store(text))
        .unwrap_or(Cow::Borrowed(REPLACED))
}

/// A rule's `lastError` as its owner may see it. Rules are evaluated over all tenants' series, so a
/// text that quotes series is not shown.
pub(super) fn scrub_rule_error(text: &str) -> &str {
    const SHOWN: [&str; 8] = [
        "vector contains metrics with the same labelset after applying",
        "vector cannot contain metrics with the same labelset",
        "multiple matches for labels: ",
        "exceeded limit of ",
        "query timed out in ",
        "query processing would load too many samples into memory in ",
        "Scalar value ",
        "rule result is not a vector or scalar",
    ];
    if starts_with_any(text, &SHOWN).is_some() && !names_a_store(text) {
        text
    } else {
        "the rule failed; the reason is withheld because it may name other tenants' series"
    }
}

/// The types of `web/api/v1/api.go` and `pkg/api/api.go`.
fn known_type(said: &str) -> Option<&'static str> {
    const TYPES: [&str; 8] = [
        "timeout",
        "canceled",
        "execution",
        "bad_data",
        "internal",
        "unavailable",
        "not_found",
        "not_acceptable",
    ];
    TYPES.into_iter().find(|known| *known == said)
}

fn type_of_status(status: u16) -> &'static str {
    match status {
        400 => "bad_data",
        404 => "not_found",
        406 => "not_acceptable",
        422 => "execution",
        503 => "unavailable",
        _ => "internal",
    }
}

/// Errors in the request itself, reported before anything was selected.
fn bad_data<'t>(text: &'t str, remap: Remap<'_>) -> Option<Cow<'t, str>> {
    const SHOWN: [&str; 36] = [
        "end timestamp must not be before ",
        "zero or negative query resolution step widths are not accepted",
        "exceeded maximum resolution of ",
        "error parsing lookback delta duration: ",
        "error parsing form values: ",
        "no match[] parameter provided",
        "match[] must contain at least one non-empty matcher",
        "invalid label name: ",
        "limit must be ",
        "limit_per_metric must be a number",
        "cannot parse \"",
        "invalid time value for '",
        "Invalid time value for '",
        "invalid expression type \"",
        "negative 'max_source_resolution' is not accepted",
        "'dedup' parameter: ",
        "'partial_response' parameter: ",
        "'max_source_resolution' parameter: ",
        "'lookback_delta' parameter: ",
        "invalid targets parameter state='",
        "invalid rules parameter type='",
        "@ modifier is disabled",
        "negative offset is disabled",
        "unexpected error",
        // `web/api/v1/search.go`
        "too many search[] terms: ",
        "invalid fuzz_threshold \"",
        "unsupported fuzz_alg \"",
        "invalid case_sensitive \"",
        "invalid include_score \"",
        "sort_dir is ",
        "invalid sort_dir \"",
        "invalid sort_by \"",
        "sort_by=score requires search[] to be set",
        "invalid limit \"",
        "invalid batch_size \"",
        "missing required parameter \"label\"",
    ];
    if let Some(shown) = with_own_position(text, remap) {
        return Some(shown);
    }
    if let Some((parameter, inner)) = text
        .strip_prefix("invalid parameter \"")
        .and_then(|rest| rest.split_once("\": "))
    {
        return Some(match with_own_position(inner, remap) {
            Some(inner) => Cow::Owned(format!("invalid parameter \"{parameter}\": {inner}")),
            None => Cow::Borrowed(text),
        });
    }
    starts_with_any(text, &SHOWN).or_else(|| {
        let is_over_limit = text.starts_with("limit ")
            && text.contains(" exceeds the configured maximum (")
            && text.ends_with(", see --web.search.max-limit)");
        if is_over_limit {
            return Some(Cow::Borrowed(text));
        }
        let bad_engine = text.starts_with('\'') && text.ends_with("' bad engine");
        bad_engine.then_some(Cow::Borrowed(text))
    })
}

/// Errors of the engine while it evaluates the selected series.
fn execution(text: &str) -> Option<Cow<'_, str>> {
    const SHOWN: [&str; 20] = [
        "vector cannot contain metrics with the same labelset",
        "found duplicate series for the match group ",
        "multiple matches for labels: ",
        "query processing would load too many samples into memory in ",
        "Parameter value is NaN",
        "Scalar value ",
        "Ratio value is NaN",
        "invalid label name ",
        "anchored modifier ",
        "smoothed modifier ",
        "invalid smoothing factor. ",
        "invalid trend factor. ",
        "invalid regular expression in label_replace(): ",
        "invalid destination label name in label_",
        "invalid source label name in label_",
        "this should be an info metric, with float samples: ",
        "info sample should be float",
        "found duplicate series for info metric: ",
        "conflicting label: ",
        "unavailable with Prometheus Agent",
    ];
    starts_with_any(text, &SHOWN).or_else(|| without_offsets(text).map(Cow::Borrowed))
}

/// `line:column: parse error: …` with its position in the original query.
fn with_own_position<'t>(text: &'t str, remap: Remap<'_>) -> Option<Cow<'t, str>> {
    const PARSE: &str = ": parse error: ";
    const NOWHERE: [&str; 2] = ["unknown position", "invalid position"];
    for nowhere in NOWHERE {
        if text
            .strip_prefix(nowhere)
            .is_some_and(|rest| rest.starts_with(PARSE))
        {
            return Some(Cow::Borrowed(text));
        }
    }
    if let Some((position, rest)) = Position::read(text)
        && rest.starts_with(PARSE)
    {
        return Some(Cow::Owned(match remap(position) {
            Some(own) => format!("{own}{rest}"),
            None => format!("{}{rest}", NOWHERE[0]),
        }));
    }
    without_offsets(text).map(Cow::Borrowed)
}

/// Duration expressions contain byte offsets (`promql/durations.go`), which look like a position
/// but are none: they are removed.
fn without_offsets(text: &str) -> Option<&str> {
    let (_, rest) = Position::read(text)?;
    let rest = rest.strip_prefix(": ")?;
    let duration = ["duration ", "division by zero", "modulo by zero"];
    duration.iter().any(|d| rest.starts_with(d)).then_some(rest)
}

fn starts_with_any<'t>(text: &'t str, shown: &[&str]) -> Option<Cow<'t, str>> {
    let known = shown.iter().any(|start| text.starts_with(start));
    known.then_some(Cow::Borrowed(text))
}

/// A second check, for texts that start harmlessly and then quote storage.
fn names_a_store(text: &str) -> bool {
    const MARKS: [&str; 8] = [
        "rpc error: ",
        "Addr: ",
        "LabelSets: ",
        "receive series from ",
        "fetch series for ",
        "expanding series: ",
        "dial tcp",
        "remote query ",
    ];
    MARKS.iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if seven bytes had been inserted before column 10.
    fn remap(position: Position) -> Option<Position> {
        let column = position.column.checked_sub(7).filter(|c| *c > 0)?;
        Some(Position { column, ..position })
    }

    fn answer(status: u16, body: &str) -> String {
        String::from_utf8(error_answer(status, body.as_bytes(), &remap)).unwrap()
    }

    fn replaced(error_type: &str) -> String {
        String::from_utf8(error_json(error_type, REPLACED)).unwrap()
    }

    #[test]
    fn error_is_valid_json_whatever_its_text() {
        assert_eq!(
            error_json("bad_data", "a \"b\"\n\u{1}"),
            br#"{"status":"error","errorType":"bad_data","error":"a \"b\"\n\u0001"}"#
        );
    }

    /// Recorded from Prometheus 2.42.
    #[test]
    fn request_errors_are_shown_with_original_positions() {
        assert_eq!(
            answer(
                400,
                r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:12: parse error: unclosed left parenthesis"}"#
            ),
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}"#
        );
        assert_eq!(
            answer(
                400,
                r#"{"status":"error","errorType":"bad_data","error":"1:2: parse error: unexpected \u003cop:or\u003e"}"#
            ),
            r#"{"status":"error","errorType":"bad_data","error":"unknown position: parse error: unexpected <op:or>"}"#
        );
        for text in [
            r#"invalid parameter \"time\": Invalid time value for 'time': cannot parse \"x\" to a valid timestamp"#,
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
            r#"invalid label name: \"a b\""#,
            "unknown position: parse error: no expression found in input",
            "no match[] parameter provided",
        ] {
            let body = format!(r#"{{"status":"error","errorType":"bad_data","error":"{text}"}}"#);
            assert_eq!(answer(400, &body), body);
        }
    }

    #[test]
    fn engine_errors_are_shown() {
        for text in [
            r#"found duplicate series for the match group {} on the right hand-side of the operation: [{__name__=\"up\"}];many-to-many matching not allowed"#,
            "Scalar value 1e+30 overflows int64",
            "invalid destination label name in label_replace(): a b",
        ] {
            let body = format!(r#"{{"status":"error","errorType":"execution","error":"{text}"}}"#);
            assert_eq!(answer(422, &body), body);
        }
        let offsets =
            r#"{"status":"error","errorType":"execution","error":"4:19: division by zero"}"#;
        assert_eq!(
            answer(422, offsets),
            r#"{"status":"error","errorType":"execution","error":"division by zero"}"#
        );
    }

    #[test]
    fn storage_errors_are_replaced() {
        for (status, error_type, text) in [
            (
                422,
                "execution",
                "expanding series: proxy Series(): rpc error: code = Aborted desc = fetch series for {tenant_id=globex} Addr: 10.0.0.7:10901",
            ),
            (
                422,
                "execution",
                "receive series from Addr: x LabelSets: {tenant_id=globex}",
            ),
            (422, "execution", "invalid label name rpc error: code"),
            (500, "internal", "error retrieving rules: rpc error"),
            (500, "internal", "open /data/globex: permission denied"),
            (400, "bad_data", "globex is over its limit"),
            (503, "timeout", "globex"),
        ] {
            let body =
                format!(r#"{{"status":"error","errorType":"{error_type}","error":"{text}"}}"#);
            assert_eq!(answer(status, &body), replaced(error_type), "{text}");
        }
    }

    #[test]
    fn other_error_bodies_become_api_errors() {
        assert_eq!(
            answer(502, "<html>upstream globex-7 down</html>"),
            replaced("internal")
        );
        assert_eq!(answer(500, r#"{"status":"error"}"#), replaced("internal"));
        assert_eq!(
            answer(
                404,
                r#"{"status":"error","errorType":"not_found","error":"globex"}"#
            ),
            replaced("not_found")
        );
        assert_eq!(
            answer(
                500,
                r#"{"errorType":"globex","error":"no match[] parameter provided"}"#
            ),
            replaced("internal")
        );
        assert_eq!(
            answer(503, "Service Unavailable"),
            r#"{"status":"error","errorType":"unavailable","error":"Service Unavailable"}"#
        );
        assert_eq!(
            answer(
                400,
                "1:11: parse error: unexpected end of input inside braces\n"
            ),
            r#"{"status":"error","errorType":"bad_data","error":"1:4: parse error: unexpected end of input inside braces"}"#
        );
        assert_eq!(answer(500, "\u{0}\u{fffd}"), replaced("internal"));
    }

    #[test]
    fn endpoint_that_the_upstream_lacks_is_said_to_be_missing() {
        let missing = String::from_utf8(error_json("not_found", NO_ENDPOINT)).unwrap();
        for body in ["404 page not found\n", "", "<html>globex</html>"] {
            assert_eq!(answer(404, body), missing);
        }
    }

    #[test]
    fn rule_error_that_quotes_series_is_replaced() {
        let plain = "vector contains metrics with the same labelset after applying alert labels";
        assert_eq!(scrub_rule_error(plain), plain);
        let quoting = r#"found duplicate series for the match group {} on the right hand-side of the operation: [{tenant_id="globex"}]"#;
        assert!(!scrub_rule_error(quoting).contains("globex"));
    }
}
