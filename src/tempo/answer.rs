//! What Tempo's answers have in common: the error for unreadable ones, the choice of format, and
//! the `metrics` block.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::endpoints::{Endpoint, Version};
use crate::wire::{self, Malformed};

/// An answer (or a client's message) that cannot be parsed and so is not forwarded. The text quotes
/// nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message could not be read: {0}")]
pub struct Unreadable(pub(super) &'static str);

impl From<Malformed> for Unreadable {
    fn from(malformed: Malformed) -> Self {
        Self(malformed.what)
    }
}

/// The format of an answer. The proxy sends exactly one of these as `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    Json,
    /// `application/protobuf`
    Protobuf,
}

/// The client asks for Tempo's format for language models, which cannot be filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "answers in application/vnd.grafana.llm are not offered here; ask for application/json or \
     application/protobuf"
)]
pub struct NotAcceptable;

impl Format {
    /// Chooses as Tempo does: the first of protobuf, JSON and LLM whose name occurs in the `Accept`
    /// header, whatever the order and quality values there, or else JSON
    /// (`MarshalingFormatFromAcceptHeader` in `pkg/api/http.go`). Endpoints without a protobuf or
    /// an LLM form answer in JSON.
    pub fn choose(endpoint: &Endpoint, accept: Option<&str>) -> Result<Self, NotAcceptable> {
        let accept = accept.unwrap_or_default();
        if accept.contains("application/protobuf") {
            return Ok(match endpoint {
                Endpoint::MetricsQueryRange | Endpoint::MetricsQuery => Self::Json,
                _ => Self::Protobuf,
            });
        }
        let has_llm_form = matches!(
            endpoint,
            Endpoint::TagValuesV2(_)
                | Endpoint::TraceById {
                    version: Version::V2,
                    ..
                }
        );
        if has_llm_form
            && !accept.contains("application/json")
            && accept.contains("application/vnd.grafana.llm")
        {
            return Err(NotAcceptable);
        }
        Ok(Self::Json)
    }

    /// As written in `Accept` and `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/protobuf",
        }
    }
}

/// The part of a `metrics` block that is forwarded: the progress of the query. The rest measures
/// how much was read, of every tenant's data.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Jobs {
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_jobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_jobs: Option<u32>,
}

/// The field numbers of the job counts in the two messages that carry metrics.
#[derive(Clone, Copy)]
pub(super) struct JobFields {
    completed: u32,
    total: u32,
}

impl JobFields {
    /// `tempopb.SearchMetrics`
    pub(super) const SEARCH: Self = Self {
        completed: 4,
        total: 5,
    };
    /// `tempopb.MetadataMetrics`
    pub(super) const METADATA: Self = Self {
        completed: 3,
        total: 2,
    };
}

impl Jobs {
    pub(super) fn read(message: &[u8], numbers: JobFields) -> Result<Self, Unreadable> {
        let mut jobs = Self::default();
        for field in wire::fields(message) {
            let field = field?;
            if field.number == numbers.completed {
                jobs.completed_jobs = Some(field.uint32()?);
            } else if field.number == numbers.total {
                jobs.total_jobs = Some(field.uint32()?);
            }
        }
        Ok(jobs)
    }

    /// The counts of two queries together.
    pub(super) fn sum(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let sum = |one: Option<u32>, other: Option<u32>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        match (one, other) {
            (Some(one), Some(other)) => Some(Self {
                completed_jobs: sum(one.completed_jobs, other.completed_jobs),
                total_jobs: sum(one.total_jobs, other.total_jobs),
            }),
            (one, other) => one.or(other),
        }
    }

    /// Whether all jobs are completed.
    pub(super) fn are_complete(self) -> bool {
        self.completed_jobs.unwrap_or(0) >= self.total_jobs.unwrap_or(0)
    }

    /// Appends the block as field `number` of an answer.
    pub(super) fn put(self, out: &mut Vec<u8>, number: u32, numbers: JobFields) {
        let mut block = Vec::with_capacity(12);
        let (completed, total) = (self.completed_jobs, self.total_jobs);
        wire::put_uint(&mut block, numbers.completed, completed.unwrap_or(0).into());
        wire::put_uint(&mut block, numbers.total, total.unwrap_or(0).into());
        wire::put_bytes(out, number, &block);
    }
}

pub(super) fn read_json<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(answer).map_err(|_| Unreadable("it is not the JSON it should be"))
}

pub(super) fn write_json(answer: &impl Serialize) -> Result<Vec<u8>, Unreadable> {
    serde_json::to_vec(answer).map_err(|_| NOT_WRITTEN)
}

pub(super) const NOT_WRITTEN: Unreadable = Unreadable("it could not be written again");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_chosen_as_in_tempo() {
        let search = |accept| Format::choose(&Endpoint::Search, accept);
        assert_eq!(search(None), Ok(Format::Json));
        assert_eq!(search(Some("*/*")), Ok(Format::Json));
        let both = "application/json, application/protobuf;q=0";
        assert_eq!(search(Some(both)), Ok(Format::Protobuf));
        assert_eq!(
            search(Some("application/vnd.grafana.llm")),
            Ok(Format::Json)
        );
        assert_eq!(search(Some("text/html")), Ok(Format::Json));
        let range = Format::choose(&Endpoint::MetricsQueryRange, Some(both));
        assert_eq!(range, Ok(Format::Json));
    }

    #[test]
    fn llm_format_is_refused_by_endpoints_that_have_it() {
        let trace = |version| Endpoint::TraceById {
            version,
            id: "1".into(),
        };
        let llm = Some("application/vnd.grafana.llm");
        assert_eq!(Format::choose(&trace(Version::V2), llm), Err(NotAcceptable));
        assert_eq!(Format::choose(&trace(Version::V1), llm), Ok(Format::Json));
        let mixed = Some("application/vnd.grafana.llm, application/json");
        assert_eq!(Format::choose(&trace(Version::V2), mixed), Ok(Format::Json));
    }
}
