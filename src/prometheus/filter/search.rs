//! `/api/v1/search/…` (`web/api/v1/search.go`): lines of JSON, each a batch of results, and at the end
//! one that says how it went.
//!
//! The names are those of the tenant's series, since the request was confined. Warnings and errors
//! are scrubbed as elsewhere. The upstream's metadata are those of any target, and are never asked
//! for: what a result says of its metric comes from the tenant's own targets.

use super::super::answer::write_scrubbed_texts;
use super::super::errors;
use super::super::json::{self, Object, ObjectWriter, Raw, Unreadable};
use super::targets_metadata::OwnMetadata;

/// Rewrites every line. With `own`, results have the metadata of their metric.
pub fn search(answer: &[u8], own: Option<&OwnMetadata<'_>>) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::with_capacity(answer.len());
    for line in answer.split(|byte| *byte == b'\n') {
        if !line.is_empty() {
            write_line(&mut out, line, own)?;
            out.push(b'\n');
        }
    }
    if out.is_empty() {
        return Err(Unreadable("it has no line"));
    }
    Ok(out)
}

fn write_line(
    out: &mut Vec<u8>,
    line: &[u8],
    own: Option<&OwnMetadata<'_>>,
) -> Result<(), Unreadable> {
    let object: Object<'_> = json::read(line, "a line of it is no JSON object")?;
    if let Some(results) = object.get("results") {
        let results: Option<Vec<Object<'_>>> = json::read_raw(results, "its results are no list")?;
        let results = results.unwrap_or_default();
        let mut items = Vec::with_capacity(results.len());
        for result in &results {
            items.push(SearchResult::read(result)?);
        }
        let mut writer = ObjectWriter::new(out);
        json::write_array(writer.key("results"), &items, |out, item| {
            item.write(out, own);
        });
        write_warnings(&mut writer, &object)?;
        writer.end();
        return Ok(());
    }
    if object.text("status", "a line of it has neither results nor a status")? != "success" {
        out.extend(errors::error_answer(500, line, &|_| None));
        return Ok(());
    }
    let mut writer = ObjectWriter::new(out);
    json::write_string(writer.key("status"), "success");
    if let Some(more) = object.get("has_more") {
        if !matches!(more.get(), "true" | "false") {
            return Err(Unreadable("`has_more` is no boolean"));
        }
        writer.raw("has_more", more);
    }
    write_warnings(&mut writer, &object)?;
    writer.end();
    Ok(())
}

fn write_warnings(writer: &mut ObjectWriter<'_>, object: &Object<'_>) -> Result<(), Unreadable> {
    write_scrubbed_texts(writer, "warnings", &object.texts("warnings")?, &|_| None);
    Ok(())
}

/// `searchMetricNameResult`, `searchLabelNameResult` or `searchLabelValueResult`.
struct SearchResult<'a> {
    /// `name` or `value`.
    key: &'static str,
    text: std::borrow::Cow<'a, str>,
    score: Option<Raw<'a>>,
}

impl<'a> SearchResult<'a> {
    fn read(result: &Object<'a>) -> Result<Self, Unreadable> {
        let key = ["name", "value"]
            .into_iter()
            .find(|key| result.get(key).is_some());
        let key = key.ok_or(Unreadable("a result of it has no name"))?;
        let score = result.get("score");
        let is_number = |score: &Raw<'_>| {
            let digits = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
            score.get().bytes().all(digits)
        };
        if score.as_ref().is_some_and(|score| !is_number(score)) {
            return Err(Unreadable("a score of it is no number"));
        }
        Ok(Self {
            key,
            text: result.text(key, "a name of it is no text")?,
            score,
        })
    }

    fn write(&self, out: &mut Vec<u8>, own: Option<&OwnMetadata<'_>>) {
        let mut writer = ObjectWriter::new(out);
        json::write_string(writer.key(self.key), &self.text);
        if let Some(score) = self.score {
            writer.raw("score", score);
        }
        if let Some(entry) = own.and_then(|own| own.first(&self.text)) {
            for (key, text) in [
                ("type", &entry.kind),
                ("help", &entry.help),
                ("unit", &entry.unit),
            ] {
                if !text.is_empty() {
                    json::write_string(writer.key(key), text);
                }
            }
        }
        writer.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{acme, text};
    use super::*;

    fn searched(answer: &str, own: Option<&OwnMetadata<'_>>) -> String {
        text(search(answer.as_bytes(), own).unwrap())
    }

    #[test]
    fn answer_without_texts_of_the_store_is_unmodified() {
        for answer in [
            "{\"results\":[]}\n{\"status\":\"success\",\"has_more\":false}\n",
            "{\"results\":[{\"name\":\"a\"},{\"name\":\"b\",\"score\":0.5}]}\n{\"results\":[{\"name\":\"c\",\"score\":1}]}\n{\"status\":\"success\",\"has_more\":true}\n",
            "{\"results\":[{\"value\":\"a \\\"b\\\"\",\"score\":1e-7}]}\n{\"status\":\"success\",\"has_more\":true}\n",
        ] {
            assert_eq!(searched(answer, None), answer);
        }
    }

    #[test]
    fn warnings_and_errors_do_not_name_other_tenants() {
        let answer = "{\"results\":[{\"name\":\"a\"}],\"warnings\":[\"store globex failed\"]}\n{\"status\":\"success\",\"has_more\":false,\"warnings\":[\"globex\",\"store globex failed\"]}\n{\"status\":\"error\",\"errorType\":\"internal\",\"error\":\"block of globex\"}\n";
        let out = searched(answer, None);
        assert!(!out.contains("globex"), "{out}");
        let lines: Vec<serde_json::Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["warnings"].as_array().unwrap().len(), 1, "{out}");
        assert_eq!(lines[1]["status"], "success", "{out}");
        assert_eq!(lines[2]["status"], "error", "{out}");
        assert_eq!(lines[2]["errorType"], "internal", "{out}");
    }

    #[test]
    fn metadata_of_results_is_that_of_own_targets() {
        let targets = br#"{"status":"success","data":[{"target":{"tenant_id":"globex"},"metric":"a","type":"gauge","help":"globex","unit":""},{"target":{"tenant_id":"acme"},"metric":"b","type":"counter","help":"of acme","unit":""}]}"#;
        let own = OwnMetadata::from_targets(targets, &acme(), None).unwrap();
        let answer = "{\"results\":[{\"name\":\"a\",\"type\":\"gauge\",\"help\":\"globex\"},{\"name\":\"b\",\"score\":1}]}\n";
        assert_eq!(
            searched(answer, Some(&own)),
            "{\"results\":[{\"name\":\"a\"},{\"name\":\"b\",\"score\":1,\"type\":\"counter\",\"help\":\"of acme\"}]}\n"
        );
    }

    #[test]
    fn unknown_format_is_refused() {
        for answer in [
            "",
            "\n",
            "[]",
            "{}",
            r#"{"results":{}}"#,
            r#"{"results":[{"help":"globex"}]}"#,
            r#"{"results":[{"name":1}]}"#,
            r#"{"results":[{"name":"a","score":"globex"}]}"#,
            r#"{"status":"success","has_more":"globex"}"#,
            r#"{"results":[],"results":[]}"#,
            "{\"results\":[]}\n{\"status\"",
        ] {
            assert!(search(answer.as_bytes(), None).is_err(), "{answer}");
        }
    }
}
