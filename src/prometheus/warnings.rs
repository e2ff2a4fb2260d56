//! Which of an upstream's warnings a tenant may see.
//!
//! Thanos' own warnings contain store addresses and the label sets of every store, including other
//! tenants' (`pkg/store/proxy_merge.go`, `pkg/query/remote_engine.go`). So only texts of the PromQL
//! engine, which are about the series that the confined query selected, and a few without any names
//! are shown; all others are replaced.

use std::borrow::Cow;

use super::json::{self, Text};
use super::position::{Position, Remap};

/// Replaces every warning that is not shown.
pub const REPLACED: &str =
    "some stores gave no data or had something to report; the answer may be partial";

/// The text as a tenant may see it.
pub fn scrub_warning<'t>(text: &'t str, remap: Remap<'_>) -> Cow<'t, str> {
    if text.starts_with("PromQL warning: ") || text.starts_with("PromQL info: ") {
        return with_own_position(text, remap);
    }
    if is_harmless(text) {
        return Cow::Borrowed(text);
    }
    Cow::Borrowed(REPLACED)
}

/// Texts of `web/api/v1/api.go`, `util/annotations` and `pkg/store/proxy.go` that contain no names,
/// or only what the caller sent.
fn is_harmless(text: &str) -> bool {
    const EXACT: [&str; 3] = [
        "results truncated due to limit",
        "No StoreAPIs matched for this query",
        "No StoreAPIs available",
    ];
    let omitted = |tail: &str| {
        let count = text.strip_suffix(tail).unwrap_or_default();
        !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())
    };
    EXACT.contains(&text)
        || omitted(" more warning annotations omitted")
        || omitted(" more info annotations omitted")
        || (text.starts_with("value \"")
            && text.contains("\" for parameter \"stats\" is deprecated and will be rejected"))
}

/// An annotation ends in ` (line:column)`.
fn with_own_position<'t>(text: &'t str, remap: Remap<'_>) -> Cow<'t, str> {
    let found = text.rsplit_once(" (").and_then(|(before, place)| {
        let (position, rest) = Position::read(place)?;
        (rest == ")").then_some((before, position))
    });
    match found {
        None => Cow::Borrowed(text),
        Some((before, position)) => Cow::Owned(match remap(position) {
            Some(own) => format!("{before} ({own})"),
            None => before.to_owned(),
        }),
    }
}

/// Writes a list of warnings as a JSON array, scrubbed, without duplicates.
pub(super) fn write_scrubbed(out: &mut Vec<u8>, warnings: &[Text<'_>], remap: Remap<'_>) {
    let mut shown: Vec<Cow<'_, str>> = Vec::new();
    for warning in warnings {
        let text = scrub_warning(&warning.0, remap);
        if !shown.contains(&text) {
            shown.push(text);
        }
        if shown.len() == MAX_SHOWN {
            break;
        }
    }
    json::write_array(out, &shown, |out, text| json::write_string(out, text));
}

/// Prometheus shows 10 of each kind; Thanos all. The bound keeps the search for duplicates cheap.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(text: &str) -> String {
        let remap = |p: Position| {
            (p.column > 20).then(|| Position {
                column: p.column - 20,
                ..p
            })
        };
        scrub_warning(text, &remap).into_owned()
    }

    #[test]
    fn warnings_that_name_stores_or_tenants_are_replaced() {
        for text in [
            "receive series from Addr: 10.0.0.7:10901 LabelSets: {tenant_id=\"globex\"} MinTime: 0: rpc error: code = Unavailable",
            "fetch series for {tenant_id=\"globex\"} Addr: 10.0.0.7:10901: context deadline exceeded",
            "failed to receive any data in 1s from Addr: x",
            "remote query warning (10.0.0.7:10901): PromQL info: x",
            "fetch label names from store Addr: x",
            "fetching rules from rules client x",
            "7 more things at globex omitted",
            " more info annotations omitted",
            "",
        ] {
            assert_eq!(scrub(text), REPLACED, "{text}");
        }
    }

    #[test]
    fn engine_warnings_are_shown_with_original_positions() {
        assert_eq!(
            scrub(
                r#"PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "up" (1:26)"#
            ),
            r#"PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "up" (1:6)"#
        );
        // The position is not in the original query: no position is better than a wrong one.
        assert_eq!(
            scrub(
                "PromQL warning: encountered a mix of histograms and floats for aggregation (1:3)"
            ),
            "PromQL warning: encountered a mix of histograms and floats for aggregation"
        );
        // Thanos writes no positions.
        let bare = "PromQL warning: quantile value should be between 0 and 1, got 2";
        assert_eq!(scrub(bare), bare);
    }

    #[test]
    fn harmless_texts_are_unmodified() {
        for text in [
            "results truncated due to limit",
            "12 more warning annotations omitted",
            "3 more info annotations omitted",
            r#"value "1" for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all""#,
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn duplicate_texts_are_removed() {
        let warnings = [
            "receive series from a",
            "receive series from b",
            "results truncated due to limit",
        ];
        let warnings: Vec<Text> = warnings.iter().map(|w| Text(Cow::Borrowed(*w))).collect();
        let mut out = Vec::new();
        write_scrubbed(&mut out, &warnings, &Some);
        let shown: Vec<String> = serde_json::from_slice(&out).unwrap();
        assert_eq!(shown, [REPLACED, "results truncated due to limit"]);
    }
}
