//! The request that would be forwarded, compared with the original.

use bytes::Bytes;
use hyper::Request;
use hyper::header::CONTENT_TYPE;

use super::explanation::{Parameter, Sent};
use super::request::JSON;
use crate::auth::Caller;
use crate::body::RequestBody;
use crate::config::settings::{Api, ForeignMatchers, ForeignSpans};
use crate::prometheus::form::Form;
use crate::promql::{self, Agreements, Confined};
use crate::proxy::enforce::{
    AlertmanagerAnswer, Enforced, Filter, Parts, ResponsePlan, TracesAnswer, shown,
};
use crate::proxy::rules::Rules;
use crate::tenancy::{Matchers, TenantScope};
use crate::traceql;

/// A byte range: start and end.
type ByteRange = (usize, usize);

/// What a JSON body is called among the parameters.
const BODY: &str = "body";

/// The original parameters.
pub(super) struct OriginalParameters(Vec<(String, String)>);

impl OriginalParameters {
    /// Of body and URL, in the order in which they are read; a body of JSON as one.
    pub(super) fn of<B>(request: &Request<B>, body: &Bytes) -> Self {
        let mut all = shown(request, body);
        all.extend(json_body(request, body));
        Self(all)
    }
}

/// Shows what enforcement made, and drops it.
pub(super) fn show(
    rules: &Rules,
    caller: Option<&Caller>,
    asked: &OriginalParameters,
    enforced: Enforced,
) -> Sent {
    let Parts {
        upstream,
        request,
        plan,
        ..
    } = enforced.into_parts();
    let mut original = asked.0.clone();
    let mut take = |name: &str| {
        let place = original.iter().position(|(known, _)| known == name)?;
        Some(original.remove(place).1)
    };
    let marks = Marks {
        matchers: caller.and_then(matchers),
        foreign: rules.settings().promql.foreign_matchers,
        max_selectors: rules.settings().limits.query_selectors,
        api: upstream.api(),
    };
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let body = match request.body() {
        RequestBody::Whole(Some(body)) => body.clone(),
        _ => Bytes::new(),
    };
    let mut sent = pairs(query);
    if is_form(&request) {
        sent.extend(pairs(&body));
    }
    sent.extend(json_body(&request, &body));
    let mut parameters = Vec::new();
    for (name, sent) in sent {
        let original = take(&name);
        let inserted = marks.of(&name, original.as_deref(), &sent);
        parameters.push(Parameter {
            name,
            original,
            sent,
            inserted,
        });
    }
    Sent {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        parameters,
        dropped: original.into_iter().map(|(name, _)| name).collect(),
        org_id: request
            .headers()
            .get("x-scope-orgid")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        answer: answer(&plan),
    }
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    let form = Form::parse(text).unwrap_or_default();
    form.iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn is_form<B>(request: &Request<B>) -> bool {
    content_type(request) == "application/x-www-form-urlencoded"
}

/// A body of JSON, as a parameter.
fn json_body<B>(request: &Request<B>, body: &Bytes) -> Option<(String, String)> {
    let is_json = content_type(request).starts_with(JSON);
    let text = std::str::from_utf8(body).ok().filter(|_| is_json)?;
    Some((BODY.to_owned(), text.to_owned()))
}

fn content_type<B>(request: &Request<B>) -> &str {
    let value = request.headers().get(CONTENT_TYPE);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn matchers(caller: &Caller) -> Option<&Matchers> {
    match caller.scope() {
        Ok(TenantScope::Tenants(tenants)) => tenants.metrics().ok(),
        _ => None,
    }
}

/// Finds what Partywall inserted into a parameter. The text that is shown is the one that would be
/// sent; where the ranges are uncertain, too much of it is marked, never too little.
struct Marks<'a> {
    matchers: Option<&'a Matchers>,
    foreign: ForeignMatchers,
    max_selectors: usize,
    api: Api,
}

impl Marks<'_> {
    fn of(&self, name: &str, original: Option<&str>, sent: &str) -> Vec<ByteRange> {
        let Some(original) = original else {
            return vec![(0, sent.len())];
        };
        if original == sent {
            return Vec::new();
        }
        let exact = match self.api {
            Api::Prometheus => self.in_promql(name, original, sent),
            Api::Tempo => in_traceql(original, sent),
            Api::Alertmanager => None,
        };
        exact.unwrap_or_else(|| vec![difference(original, sent)])
    }

    fn in_promql(&self, name: &str, original: &str, sent: &str) -> Option<Vec<ByteRange>> {
        let confine = if name == "query" {
            promql::confine
        } else {
            promql::confine_selector
        };
        let none = Agreements::new(0);
        confine(
            original,
            self.matchers?,
            self.foreign,
            self.max_selectors,
            &none,
        )
        .ok()
        .filter(|confined| confined.text() == sent)
        .map(|confined| insertions(&confined))
    }
}

/// The same stage is inserted before each leaf pipeline.
fn in_traceql(original: &str, sent: &str) -> Option<Vec<ByteRange>> {
    let leaves = traceql::leaf_pipelines(original);
    let added = sent.len().checked_sub(original.len())?;
    let each = added.checked_div(leaves.len())?;
    let first = *leaves.first()?;
    let stage = sent.get(first..first + each)?;
    let mut spliced = String::with_capacity(sent.len());
    let mut places = Vec::new();
    let mut copied = 0;
    for leaf in leaves {
        spliced.push_str(original.get(copied..leaf)?);
        places.push((spliced.len(), spliced.len() + each));
        spliced.push_str(stage);
        copied = leaf;
    }
    spliced.push_str(original.get(copied..)?);
    (spliced == sent).then_some(places)
}

fn insertions(confined: &Confined) -> Vec<ByteRange> {
    let mut before = 0;
    confined
        .insertions()
        .iter()
        .map(|insertion| {
            let start = insertion.at + before;
            before += insertion.len;
            (start, start + insertion.len)
        })
        .collect()
}

/// Everything between the common prefix and the common suffix.
fn difference(original: &str, sent: &str) -> ByteRange {
    let same = |pair: &(char, char)| pair.0 == pair.1;
    let start: usize = original
        .chars()
        .zip(sent.chars())
        .take_while(same)
        .map(|(c, _)| c.len_utf8())
        .sum();
    let rest = |text: &str| text.get(start..).unwrap_or_default().to_owned();
    let (original, after) = (rest(original), rest(sent));
    let end: usize = original
        .chars()
        .rev()
        .zip(after.chars().rev())
        .take_while(same)
        .map(|(c, _)| c.len_utf8())
        .sum();
    (start, sent.len() - end)
}

/// What is done to the response, in words.
fn answer(plan: &ResponsePlan) -> &'static str {
    match plan {
        ResponsePlan::PassThrough => "unmodified: this is not a data API",
        ResponsePlan::AllTenants => "unmodified: the caller has all tenants",
        ResponsePlan::Stream => "streamed: it has only the caller's data",
        ResponsePlan::Scrub(_) => {
            "streamed; texts of warnings and errors that could name other tenants are replaced"
        }
        ResponsePlan::Filter(Filter::Rules { .. }) => {
            "buffered; rules, groups and alerts of other tenants are left out, and texts of shared \
             rules that could hold other tenants' data are empty"
        }
        ResponsePlan::Filter(Filter::Alerts(_)) => {
            "buffered; the alerts of these rules are the response, without those of other tenants and \
             texts that could hold other tenants' data"
        }
        ResponsePlan::Filter(Filter::Targets(_)) => {
            "buffered; targets of other tenants are left out"
        }
        ResponsePlan::Filter(Filter::ScrapePools(_)) => {
            "buffered; the scrape pools of the tenants' targets are the answer"
        }
        ResponsePlan::Filter(Filter::Flags) => {
            "buffered; only flags that shape queries stay, which know no tenant"
        }
        ResponsePlan::Filter(Filter::TargetsMetadata(_)) => {
            "buffered; metadata of other tenants' targets is left out"
        }
        ResponsePlan::Filter(Filter::Search(None)) => {
            "buffered; texts of warnings and errors that could name other tenants are replaced"
        }
        ResponsePlan::Filter(Filter::Search(Some(_))) => {
            "buffered; metadata are those of the tenants' own targets, which a second request looks \
             up; texts of warnings and errors that could name other tenants are replaced"
        }
        ResponsePlan::Filter(Filter::Metadata(_)) => {
            "buffered; only metrics that the tenants have stay, with the texts of the tenants' own \
             targets; two more requests look them up"
        }
        ResponsePlan::Traces(TracesAnswer::Public) => "unmodified: it has no tenant data",
        ResponsePlan::Traces(TracesAnswer::Whole(whole, _)) if whole.has_names() => {
            "buffered, and merged with those of further requests if there are several scopes or \
             alternatives; of the names that Tempo lists to every caller only those stay of which the \
             tenants have a value, which further requests find out"
        }
        ResponsePlan::Traces(TracesAnswer::Whole(whole, _)) if whole.is_merged() => {
            "buffered, and merged with those of further requests, one for each alternative of the \
             caller's selector and of the query"
        }
        ResponsePlan::Traces(TracesAnswer::Whole(..)) => {
            "buffered; what describes other tenants' spans is masked or left out"
        }
        ResponsePlan::Traces(TracesAnswer::Trace { foreign, .. }) => match foreign {
            ForeignSpans::Redact => {
                "redacted while it is streamed: spans of other tenants are left out \
                 (traces.foreign_spans: redact)"
            }
            ForeignSpans::Outline(_) => {
                "redacted while it is streamed: of other tenants' spans an outline is left \
                 (traces.foreign_spans: outline)"
            }
            ForeignSpans::Deny => {
                "buffered; a trace with spans of other tenants does not exist \
                 (traces.foreign_spans: deny)"
            }
        },
        ResponsePlan::Alertmanager(answer) => alertmanager(answer),
        ResponsePlan::Grpc(_) => "a gRPC stream; its messages are filtered",
    }
}

fn alertmanager(answer: &AlertmanagerAnswer) -> &'static str {
    match answer {
        AlertmanagerAnswer::Unmodified => "unmodified: the caller has all tenants",
        AlertmanagerAnswer::Alerts(_) => {
            "buffered; alerts of other tenants are left out, and ids of silences and alerts that are \
             not the caller's, which further requests look up"
        }
        AlertmanagerAnswer::Receivers(_) => {
            "buffered; the receivers of these alerts are the response"
        }
        AlertmanagerAnswer::Silences(_) => {
            "buffered; silences that can match other tenants' alerts are left out"
        }
        AlertmanagerAnswer::Silence(_) => {
            "buffered; a silence that can match other tenants' alerts does not exist"
        }
        AlertmanagerAnswer::Status => "buffered; the configuration and the cluster are withheld",
        AlertmanagerAnswer::Written => "streamed: it is about what was posted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_marked() {
        assert_eq!(difference("{ a }", "{ b && a }"), (2, 7));
        assert_eq!(difference("", "abc"), (0, 3));
        assert_eq!(difference("é", "éé"), (2, 4));
        assert_eq!(difference("aba", "ababa"), (3, 5));
    }

    #[test]
    fn inserted_stage_is_marked_before_each_leaf() {
        let original = "({ .a } | by(name)) && ({ .b } | by(name))";
        let sent = "({ .t = 1 } | { .a } | by(name)) && ({ .t = 1 } | { .b } | by(name))";
        let places = in_traceql(original, sent).unwrap();
        let marked: Vec<_> = places
            .iter()
            .map(|&(from, to)| sent.get(from..to))
            .collect();
        assert_eq!(marked, [Some("{ .t = 1 } | "), Some("{ .t = 1 } | ")]);
    }
}
