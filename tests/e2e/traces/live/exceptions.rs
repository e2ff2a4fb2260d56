//! Where the proxy's answer may differ from the private store's, each with its reason. The suite
//! fails when an exception is not needed any more.

use serde_json::{Value, json};

use super::ask::{Outcome, Question, Subject};
use crate::kit::tempo_data::{ATTRIBUTE, TWO_OWN_ROOTS, Traces, Window};

/// What the proxy shows of a trace whose root it must not.
const NO_ROOT: &str = "<root span not yet received>";
/// gRPC's `UNKNOWN`, as [`Outcome`] has it.
const UNKNOWN: u16 = 602;

pub struct Exception {
    pub name: &'static str,
    pub reason: &'static str,
    pub rule: Rule,
}

pub enum Rule {
    /// Makes of the private store's answer what the proxy is to answer, to the letter; nothing
    /// where it does not apply.
    Expect(fn(&Question, &Traces, &Value) -> Option<Value>),
    /// For these questions the answer may be that of the private store to the same question with
    /// the tenant's stage in front, to the letter: what differs is Tempo's reading of the two.
    AsConfined(fn(&Question) -> bool),
    /// Whether a difference is this exception; asked last.
    Allow(fn(&Question, &Traces, Answers<'_>) -> bool),
}

/// In their canonical shape.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    pub expected: (&'a Outcome, &'a Value),
    pub got: (&'a Outcome, &'a Value),
}

pub const COMPARED_TRACES: Exception = Exception {
    name: "compare() by root",
    reason: "compare() counts spans by root name, root service and number of children, which \
             are whole traces' and other tenants' as well; these series are left out",
    rule: Rule::Expect(|question, _, expected| {
        let keys = ["rootName", "rootServiceName", "span:childCount"];
        without_series(question, expected, &keys)
    }),
};

pub const COMPARED_TENANT: Exception = Exception {
    name: "compare() by tenant",
    reason: "compare() counts spans by every attribute that is fetched, and the tenant's is \
             fetched once more for the stage that confines the query: its series count double",
    rule: Rule::AsConfined(|question| question.param("q").contains("compare(")),
};

pub const LACKING: Exception = Exception {
    name: "attributes that some spans lack",
    reason: "where a query asks for nothing else, Tempo does not look at spans that lack its \
             attribute; behind the stage that confines the query it does, so `!`, `-` and \
             `|| true` meet spans without a value, and by() has a group for them",
    rule: Rule::AsConfined(|question| {
        let query = question.param("q");
        let words = ["{ !", "{ -", "|| true", "true ||"];
        query.starts_with("by(") || words.iter().any(|word| query.contains(word))
    }),
};

pub const LISTED_TENANT: Exception = Exception {
    name: "lists as tenants",
    reason: "where a query compares the tenant attribute with several values, joined by `||` or, with \
             `!=`, by `&&`, Tempo 3.0 makes one operation of them, which fails on resources that \
             have a list there",
    rule: Rule::Allow(|question, _, answers| {
        let count = |word: &str| question.param("q").matches(word).count();
        answers.got.0.status == 500
            && (count("resource.tenant_id = ") > 1 || count("resource.tenant_id != ") > 1)
    }),
};

pub const NIL: Exception = Exception {
    name: "attributes that are nil",
    reason: "Tempo 3.0 finds `attribute = nil` by the rows around it, of any tenant: it \
             misses some spans, in a private store others than in a shared one",
    rule: Rule::Allow(|question, data, answers| {
        let query = question.param("q").replace("!= nil", "");
        let own = |id: &String| {
            let mut traces = data.traces.iter();
            traces.any(|trace| trace.short_id() == id && trace.has_spans_of("acme"))
        };
        query.contains("= nil")
            && answers.got.0.status == 200
            && answers
                .got
                .1
                .as_object()
                .is_some_and(|page| page.keys().all(own))
    }),
};

pub const NAMED_TENANT: Exception = Exception {
    name: "tenant attribute named",
    reason: "Tempo adds to each span the attributes that the query names, and the tenant's is \
             always one of them; it is taken out again unless the caller's own query names it",
    rule: Rule::AsConfined(|question| {
        question.subject == Subject::Search && question.param("q").contains(ATTRIBUTE)
    }),
};

pub const FILTERED_VALUES: Exception = Exception {
    name: "values with a filter",
    reason: "Tempo reads tag values in another way when there is a filter, as there always is \
             here: statuses, kinds and durations are then words, ids are not given, and of a \
             list's values only the last",
    rule: Rule::AsConfined(|question| matches!(question.subject, Subject::Values(..))),
};

pub const ROOT_VALUES: Exception = Exception {
    name: "values of roots",
    reason: "values of a trace's root are those of the tenant's own root spans, whatever the query: \
             those of doubtful resources too, and without the empty one of traces that have no \
             root",
    rule: Rule::Allow(|question, _, answers| {
        let Subject::Values(_, tag) = &question.subject else {
            return false;
        };
        let named = |list: &Value| -> Vec<Value> {
            let values = list.as_array().into_iter().flatten().cloned();
            let is_named = |value: &Value| {
                let is_empty = *value == json!({ "type": "string" }) || *value == json!("");
                !is_doubtful(value) && !is_empty
            };
            values.filter(is_named).collect()
        };
        let (expected, got) = (named(answers.expected.1), named(answers.got.1));
        let is_of_roots = ["rootName", "rootService", "root.name", "root.service"];
        is_of_roots.iter().any(|word| tag.contains(word))
            && answers.got.0.status == 200
            && expected.iter().all(|value| got.contains(value))
            && (!matches!(question.param("q"), "" | "{}") || expected.len() == got.len())
    }),
};

pub const TENANT_VALUES: Exception = Exception {
    name: "values of the tenant attribute",
    reason: "they are never others than the caller's tenants, and Tempo reads them from the \
             filter without looking for spans",
    rule: Rule::Allow(|question, _, answers| {
        let own = json!([{ "type": "string", "value": "acme" }]);
        matches!(&question.subject, Subject::Values(_, tag) if tag.ends_with(ATTRIBUTE))
            && answers.got.0.status == 200
            && (*answers.got.1 == own || *answers.got.1 == json!(["acme"]))
    }),
};

pub const GRPC_CODES: Exception = Exception {
    name: "gRPC codes of bad metrics queries",
    reason: "Tempo answers a query it cannot read with the code UNKNOWN; the proxy, which reads \
             it first, with INVALID_ARGUMENT",
    rule: Rule::Allow(|_, _, answers| {
        answers.expected.0.status == UNKNOWN && answers.got.0.status == 400
    }),
};

pub const WHOLE_TRACES: Exception = Exception {
    name: "refused: intrinsics of whole traces",
    reason: "durations of traces and counts of children are those of the whole trace, whoever its \
             spans belong to; conditions on root names and root services are answered in filters \
             alone, and those that hold without a root not in metrics and with groups",
    rule: Rule::Allow(|question, _, answers| {
        let words = [
            "by(rootName)",
            "by(rootServiceName",
            "rootName = name",
            "{ rootServiceName != \"web\" } |",
            "{ rootServiceName = \"web\" } | compare(",
            "traceDuration",
            "trace:duration",
            "span:childCount",
        ];
        let query = question.param("q");
        let tag = match &question.subject {
            Subject::Values(_, tag) => tag,
            _ => "",
        };
        answers.got.0.status == 403
            && words
                .iter()
                .any(|word| query.contains(word) || tag.contains(word))
    }),
};

pub const SEVERAL_ROOTS: Exception = Exception {
    name: "several roots",
    reason: "of several roots of a trace Tempo takes one, the last in the order in which it has \
             stored them, and the proxy each: no query can tell their order",
    rule: Rule::Allow(|question, data, answers| {
        let without = |page: &Value| {
            let mut page = page.clone();
            if let Some(traces) = page.as_object_mut() {
                traces.retain(|id, _| id != data.rooted(TWO_OWN_ROOTS));
            }
            page
        };
        question.window == Window::Roots
            && question.param("q").contains("root")
            && answers.got.0.status == 200
            && (question.subject != Subject::Search
                || without(answers.expected.1) == without(answers.got.1))
    }),
};

pub const STRUCTURE: Exception = Exception {
    name: "structure through foreign spans",
    reason: "in a trace with foreign spans, Tempo sees parents, ancestors and siblings across \
             them, where the private store has a gap; nothing of the foreign spans is shown",
    rule: Rule::Allow(|question, data, answers| {
        const WORDS: [&str; 11] = [
            ">>",
            "<<",
            "} >",
            "} <",
            "~",
            "} !",
            "&>",
            "&<",
            "nestedSet",
            "childCount",
            ") >",
        ];
        let query = question.param("q");
        let is_structural = WORDS.iter().any(|word| query.contains(word));
        if !matches!(question.window, Window::Mixed | Window::Roots)
            || !is_structural
            || answers.got.0.status != 200
        {
            return false;
        }
        if question.subject != Subject::Search {
            return true;
        }
        // Whatever else is in the answer is as it should be, and no trace is there that is
        // not relevant.
        let rest = |page: &Value| {
            let mut page = page.clone();
            if let Some(traces) = page.as_object_mut() {
                let shared = |id: &str| {
                    let mut all = data.traces.iter();
                    all.any(|t| t.short_id() == id && t.is_shared_by("acme"))
                };
                traces.retain(|id, _| !shared(id));
            }
            page
        };
        rest(answers.expected.1) == rest(answers.got.1)
    }),
};

pub const TIMES: Exception = Exception {
    name: "times of shared traces",
    reason: "Tempo looks for traces by the time of the whole trace, so one with foreign spans is \
             also found in a range that only those are in",
    rule: Rule::Allow(|question, data, answers| {
        let (Some(expected), Some(got)) =
            (answers.expected.1.as_object(), answers.got.1.as_object())
        else {
            return false;
        };
        let shared = |id: &String| {
            let mut traces = data.traces.iter();
            traces.any(|trace| trace.short_id() == id && trace.is_shared_by("acme"))
        };
        question.subject == Subject::Search
            && question.range == Some(data.late())
            && got.iter().all(|(id, trace)| match expected.get(id) {
                Some(wanted) => wanted == trace,
                None => shared(id),
            })
            && expected.keys().all(|id| got.contains_key(id))
    }),
};

pub const DOUBTFUL: Exception = Exception {
    name: "resources of doubtful tenants",
    reason: "a resource that names the tenant among others, in a list or by naming it twice, is \
             found by the tenant's searches, as by the other's: no query can tell",
    rule: Rule::Allow(|question, _, answers| {
        let is_of_tags = matches!(question.subject, Subject::Tags(_) | Subject::Values(..));
        let without = |json: &Value| -> Value {
            match json {
                Value::Array(items) => items.iter().filter(|i| !is_doubtful(i)).cloned().collect(),
                Value::Object(scopes) => {
                    let scopes = scopes.iter().map(|(name, tags)| {
                        let tags = tags.as_array().into_iter().flatten();
                        let tags: Vec<&Value> = tags.filter(|tag| !is_doubtful(tag)).collect();
                        (name.clone(), json!(tags))
                    });
                    scopes.collect::<serde_json::Map<_, _>>().into()
                }
                other => other.clone(),
            }
        };
        is_of_tags
            && answers.got.0.status == 200
            && without(answers.expected.1) == without(answers.got.1)
    }),
};

pub const EXCEPTIONS: &[Exception] = &[
    COMPARED_TRACES,
    COMPARED_TENANT,
    LACKING,
    LISTED_TENANT,
    NIL,
    NAMED_TENANT,
    FILTERED_VALUES,
    ROOT_VALUES,
    TENANT_VALUES,
    GRPC_CODES,
    WHOLE_TRACES,
    SEVERAL_ROOTS,
    STRUCTURE,
    TIMES,
    DOUBTFUL,
];

fn is_doubtful(item: &Value) -> bool {
    item.to_string().contains("doubtful")
}

fn without_series(question: &Question, answer: &Value, keys: &[&str]) -> Option<Value> {
    if !question.param("q").contains("compare(") {
        return None;
    }
    let mut answer = answer.clone();
    let series = answer.as_object_mut()?;
    let before = series.len();
    let named = |labels: &String| {
        keys.iter()
            .any(|key| labels.contains(&format!("\"key\":\"{key}\"")))
    };
    series.retain(|labels, _| !named(labels));
    (series.len() < before).then_some(answer)
}

/// What the proxy makes of a trace that holds foreign spans, where it masks that.
pub fn mask(trace: &mut Value) {
    let sets = trace["spanSets"].as_array().cloned().unwrap_or_default();
    if sets.is_empty() {
        // A search in its older form: the same traces, and nothing about the trace as a whole
        // but the times of its own spans.
        trace["rootServiceName"] = json!(NO_ROOT);
        for key in ["rootTraceName", "serviceStats"] {
            trace.as_object_mut().map(|trace| trace.shift_remove(key));
        }
        return;
    }
    let number = |json: &Value| -> u64 {
        json.as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    };
    let spans = sets
        .iter()
        .flat_map(|set| set["spans"].as_array().into_iter().flatten());
    let times: Vec<(u64, u64)> = spans
        .map(|span| {
            let start = number(&span["startTimeUnixNano"]);
            (start, start + number(&span["durationNanos"]))
        })
        .collect();
    let start = times
        .iter()
        .map(|(start, _)| *start)
        .min()
        .unwrap_or_default();
    let end = times.iter().map(|(_, end)| *end).max().unwrap_or_default();
    let mut masked = json!({
        "rootServiceName": NO_ROOT,
        "startTimeUnixNano": start.to_string(),
        "spanSets": sets,
    });
    let milliseconds = (end - start) / 1_000_000;
    if milliseconds != 0 {
        masked["durationMs"] = json!(milliseconds);
    }
    *trace = masked;
}
