//! Translates the older parameters of a search into `TraceQL`.
//!
//! Tempo matches them against the whole trace (`pkg/api/http.go`, and
//! `makePipelineWithRowGroups` in `tempodb/encoding/vparquet4/block_search.go`). Every tag must
//! match somewhere in the trace, on a span or a resource: tags with a column of their own match
//! substrings of the value, others the exact value. The trace's duration must be within the
//! bounds. Here only the tenants' spans count, and the duration is that of their longest span,
//! unless [`TraceIntrinsics::Trust`]. Tempo requires all tags without columns on spans of one
//! resource, which `TraceQL` cannot express; here they may be spread over the trace.

pub use self::duration::go_duration;
use std::fmt::Write as _;

use super::TraceIntrinsics;
use super::confine::confine_search;
use super::predicate::{TenantPredicate, attribute_name, string};
use super::refusal::Refusal;

mod duration;
mod logfmt;

/// The resource attributes that have columns of their own in vParquet3 and vParquet4.
const RESOURCE_COLUMNS: [&str; 9] = [
    "service.name",
    "cluster",
    "namespace",
    "pod",
    "container",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
];

/// A search by tags and durations, from before TraceQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagBasedSearch {
    /// Names and values. Over HTTP they come from `tags` or from parameters that are tags
    /// themselves. Names are unique.
    pub tags: Vec<(String, String)>,
    /// The minimum duration in milliseconds; 0 for any.
    pub min_duration_ms: u32,
    /// The maximum duration in milliseconds; 0 for any.
    pub max_duration_ms: u32,
}

impl TagBasedSearch {
    /// Parses the HTTP parameters `tags` (logfmt), `minDuration` and `maxDuration` (Go
    /// durations). Empty means not given.
    pub fn from_parameters(
        tags: &str,
        min_duration: &str,
        max_duration: &str,
    ) -> Result<Self, Refusal> {
        let tags = logfmt::parse(tags).map_err(|message| Refusal::Parameter {
            parameter: "tags",
            message,
        })?;
        let min_duration_ms = milliseconds("minDuration", min_duration)?;
        let max_duration_ms = milliseconds("maxDuration", max_duration)?;
        if !max_duration.is_empty() && min_duration_ms > max_duration_ms {
            let message = "must be greater than minDuration".to_owned();
            return Err(Refusal::Parameter {
                parameter: "maxDuration",
                message,
            });
        }
        Ok(Self {
            tags,
            min_duration_ms,
            max_duration_ms,
        })
    }

    /// The search as one confined query.
    pub fn confine(
        &self,
        predicate: &TenantPredicate,
        policy: TraceIntrinsics,
        max_bytes: usize,
    ) -> Result<String, Refusal> {
        confine_search(&self.traceql(policy), predicate, policy, max_bytes)
    }

    fn traceql(&self, policy: TraceIntrinsics) -> String {
        let mut query = String::new();
        for (op, milliseconds) in [(">=", self.min_duration_ms), ("<=", self.max_duration_ms)] {
            if milliseconds > 0 {
                // Writing to a String cannot fail.
                let _ = match policy {
                    TraceIntrinsics::Trust => {
                        write!(query, "{{ traceDuration {op} {milliseconds}ms }} | ")
                    }
                    TraceIntrinsics::Refuse => {
                        write!(query, "max(duration) {op} {milliseconds}ms | ")
                    }
                };
            }
        }
        let tags: Vec<String> = self
            .tags
            .iter()
            .map(|(name, value)| tag(name, value))
            .collect();
        query.push_str(&tags.join(" && "));
        query.trim_end_matches(" | ").to_owned()
    }
}

fn milliseconds(parameter: &'static str, text: &str) -> Result<u32, Refusal> {
    if text.is_empty() {
        return Ok(0);
    }
    duration::milliseconds(text).ok_or_else(|| {
        let message = "not a duration such as 1.5s or 100ms, or too long".to_owned();
        Refusal::Parameter { parameter, message }
    })
}

fn tag(name: &str, value: &str) -> String {
    match name {
        "name" => contains("name", value),
        "root.service.name" => contains("rootServiceName", value),
        "root.name" => contains("rootName", value),
        "http.method" | "http.url" => contains(&format!("span.{name}"), value),
        _ if RESOURCE_COLUMNS.contains(&name) => contains(&format!("resource.{name}"), value),
        "status.code" => match value {
            "ok" | "error" => format!("{{ status = {value} }}"),
            _ => "{ status = unset }".to_owned(),
        },
        _ => match value.parse::<u32>() {
            Ok(code) if name == "http.status_code" => format!("{{ span.{name} = {code} }}"),
            _ => {
                let (name, value) = (attribute_name(name), string(value));
                format!("{{ span.{name} = {value} || resource.{name} = {value} }}")
            }
        },
    }
}

fn contains(field: &str, value: &str) -> String {
    let pattern = format!(".*{}.*", regex_syntax::escape(value));
    format!("{{ {field} =~ {} }}", string(&pattern))
}

#[cfg(test)]
mod tests;
