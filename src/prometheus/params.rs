//! Which parameters of a call go up, and confined how.
//!
//! Each endpoint has a list of the parameters that either product reads there. A parameter that
//! is not on it is dropped: neither product reads it, so the answer is the same without it, and
//! what some other upstream may read into it never reaches one. The lists were read from every
//! `FormValue`, `Form[…]` and `URL.Query()` of the handlers named in the [module](super) docs.

use std::borrow::Cow;

use thiserror::Error;

use super::endpoints::Endpoint;
use super::form::Form;
use crate::tenancy::Matchers;

/// The longest value, in bytes, of a parameter that is passed on unread. Times, durations and
/// rule files are shorter.
pub const MAX_VALUE_BYTES: usize = 4096;

/// The most bytes all confined queries and selectors of one request may have. Confining repeats
/// the tenants in each selector; a thousand selectors with a thousand tenants would not fit.
pub const MAX_CONFINED_BYTES: usize = 8 << 20;

/// How queries are confined; the implementation is the caller's.
pub trait Confine {
    /// Why it was refused.
    type Refusal;

    /// A whole query, every selector in it confined.
    fn query(&mut self, query: &str) -> Result<String, Self::Refusal>;

    /// A `match[]`: exactly one series selector, confined.
    fn selector(&mut self, selector: &str) -> Result<String, Self::Refusal>;

    /// A `match[]` that goes up as it is, because the answer is filtered: it must be exactly one
    /// series selector.
    fn check_selector(&mut self, selector: &str) -> Result<(), Self::Refusal>;
}

/// The parameters of a request as they may go up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed<'a> {
    /// What is sent, all of it in one place: URL or body.
    pub sent: Form<'a>,
    /// What is done here with the answer.
    pub local: Local,
}

/// Parameters that are not sent, because only after filtering can they be done right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// `exclude_alerts` of `/rules`.
    pub exclude_alerts: bool,
    /// `limit` of `/metadata`: the most metrics; none if `None`.
    pub metadata_limit: Option<usize>,
}

/// Why a request's parameters do not go up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParamError<R> {
    /// It is not this proxy's to allow: to be answered with 403.
    #[error("parameter `{name}` is not allowed here: {reason}")]
    Forbidden {
        /// The parameter.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A parameter that counts once was given twice, and differently.
    #[error("parameter `{0}` is given more than once, with different values")]
    Ambiguous(&'static str),
    /// Longer than [`MAX_VALUE_BYTES`].
    #[error("parameter `{0}` is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong(&'static str),
    /// More than [`MAX_CONFINED_BYTES`].
    #[error("the request's selectors are too many for this many tenants")]
    TooMuch,
    /// What Prometheus says to a value it cannot use, in its own words.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// The query or a selector was refused.
    #[error("{0}")]
    Refused(R),
}

/// What happens to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// Counts once; confined as a query.
    Query,
    /// A list; each is confined as a selector.
    Selectors,
    /// A list; each must be a selector, and goes up as it is.
    CheckedSelectors,
    /// Counts once; goes up.
    Pass,
    /// Counts once; goes up, however long: a query no data is selected with.
    PassQuery,
    /// A list; goes up.
    PassList,
    /// A list of labels that are taken off the series; goes up unless a tenant label is in it.
    Labels,
    /// Refused if it is there at all.
    Forbid(&'static str),
    /// Refused if it switches something on, else dropped.
    ForbidIfOn(&'static str),
    /// Counts once; is done here.
    Local(LocalParameter),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LocalParameter {
    ExcludeAlerts,
    MetadataLimit,
    /// Merged metadata has one entry a metric, so any limit holds; only its form is checked.
    MetadataLimitPerMetric,
}

type Table = &'static [(&'static str, Policy)];

const STORE_MATCH: (&str, Policy) = (
    "storeMatch[]",
    Policy::Forbid("it selects stores, which are shared by all tenants"),
);
const PARTIAL_RESPONSE: (&str, Policy) = ("partial_response", Policy::Pass);
const REPLICA_LABELS: (&str, Policy) = ("replicaLabels[]", Policy::Labels);

const QUERY: Table = &[
    ("query", Policy::Query),
    ("time", Policy::Pass),
    ("timeout", Policy::Pass),
    ("limit", Policy::Pass),
    ("lookback_delta", Policy::Pass),
    ("stats", Policy::Pass),
    ("dedup", Policy::Pass),
    PARTIAL_RESPONSE,
    REPLICA_LABELS,
    ("max_source_resolution", Policy::Pass),
    ("engine", Policy::Pass),
    STORE_MATCH,
    SHARD_INFO,
    ANALYZE,
    EXPLAIN,
];
const SHARD_INFO: (&str, Policy) = (
    "shard_info",
    Policy::Forbid("it is for query frontends, which split queries themselves"),
);
const ANALYZE: (&str, Policy) = (
    "analyze",
    Policy::ForbidIfOn("its answer names the addresses of stores"),
);
/// Of Thanos before 0.36; now an endpoint.
const EXPLAIN: (&str, Policy) = (
    "explain",
    Policy::ForbidIfOn("its answer may name remote engines"),
);

const QUERY_RANGE: Table = &[
    ("query", Policy::Query),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("step", Policy::Pass),
    ("timeout", Policy::Pass),
    ("limit", Policy::Pass),
    ("lookback_delta", Policy::Pass),
    ("stats", Policy::Pass),
    ("dedup", Policy::Pass),
    PARTIAL_RESPONSE,
    REPLICA_LABELS,
    ("max_source_resolution", Policy::Pass),
    ("engine", Policy::Pass),
    STORE_MATCH,
    SHARD_INFO,
    ANALYZE,
    EXPLAIN,
];
const QUERY_EXEMPLARS: Table = &[
    ("query", Policy::Query),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
];
const SERIES: Table = &[
    ("match[]", Policy::Selectors),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("limit", Policy::Pass),
    ("dedup", Policy::Pass),
    PARTIAL_RESPONSE,
    REPLICA_LABELS,
    STORE_MATCH,
];
const LABELS: Table = &[
    ("match[]", Policy::Selectors),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("limit", Policy::Pass),
    PARTIAL_RESPONSE,
    STORE_MATCH,
];
const FEDERATE: Table = &[("match[]", Policy::Selectors)];
/// `group_limit` and `group_next_token` are dropped: pages cut before filtering would show how
/// many groups others have. The answer is whole.
const RULES: Table = &[
    ("type", Policy::Pass),
    ("rule_name[]", Policy::PassList),
    ("rule_group[]", Policy::PassList),
    ("file[]", Policy::PassList),
    ("match[]", Policy::CheckedSelectors),
    (
        "exclude_alerts",
        Policy::Local(LocalParameter::ExcludeAlerts),
    ),
];
const TARGETS: Table = &[("state", Policy::Pass), ("scrapePool", Policy::Pass)];
const METADATA: Table = &[
    ("metric", Policy::Pass),
    ("limit", Policy::Local(LocalParameter::MetadataLimit)),
    (
        "limit_per_metric",
        Policy::Local(LocalParameter::MetadataLimitPerMetric),
    ),
];
const PURE_QUERY: Table = &[("query", Policy::PassQuery)];

fn table(endpoint: &Endpoint) -> Table {
    match endpoint {
        Endpoint::Query => QUERY,
        Endpoint::QueryRange => QUERY_RANGE,
        Endpoint::QueryExemplars => QUERY_EXEMPLARS,
        Endpoint::Series => SERIES,
        Endpoint::Labels | Endpoint::LabelValues(_) => LABELS,
        Endpoint::Federate => FEDERATE,
        Endpoint::Rules => RULES,
        Endpoint::Targets => TARGETS,
        Endpoint::Metadata => METADATA,
        Endpoint::ParseQuery | Endpoint::FormatQuery => PURE_QUERY,
        Endpoint::Alerts | Endpoint::RemoteRead | Endpoint::BuildInfo => &[],
    }
}

/// Decides on every parameter of a request to this endpoint.
///
/// An empty or missing `query` goes up as an empty one: no selector is in it, and the upstream's
/// own complaint is the right answer. A call without `match[]` means all series, so one that
/// selects all the tenant's is added; for `/federate` it means none, so one that selects none is.
pub fn allow<'a, C: Confine>(
    endpoint: &Endpoint,
    form: Form<'a>,
    matchers: &Matchers,
    confine: &mut C,
) -> Result<Allowed<'a>, ParamError<C::Refusal>> {
    let table = table(endpoint);
    let mut decision = Decision {
        allowed: Allowed::default(),
        singles: Vec::new(),
        selectors: 0,
        confined_bytes: 0,
    };
    for (name, value) in form {
        if let Some((name, policy)) = table.iter().find(|(known, _)| *known == name) {
            decision.take(name, *policy, value, matchers, confine)?;
        }
    }
    decision.complete(endpoint, matchers)
}

struct Decision<'a> {
    allowed: Allowed<'a>,
    /// The parameters seen that count once, as they came.
    singles: Vec<(&'static str, Cow<'a, str>)>,
    selectors: usize,
    confined_bytes: usize,
}

impl<'a> Decision<'a> {
    fn take<C: Confine>(
        &mut self,
        name: &'static str,
        policy: Policy,
        value: Cow<'a, str>,
        matchers: &Matchers,
        confine: &mut C,
    ) -> Result<(), ParamError<C::Refusal>> {
        match policy {
            Policy::Query => {
                if self.is_new(name, &value)? {
                    let confined = if value.is_empty() {
                        String::new()
                    } else {
                        confine.query(&value).map_err(ParamError::Refused)?
                    };
                    self.send_confined(name, confined)?;
                }
            }
            Policy::Selectors => {
                let confined = confine.selector(&value).map_err(ParamError::Refused)?;
                self.selectors += 1;
                self.send_confined(name, confined)?;
            }
            Policy::CheckedSelectors => {
                confine
                    .check_selector(&value)
                    .map_err(ParamError::Refused)?;
                self.allowed.sent.push(name, value);
            }
            Policy::Pass => {
                if self.is_new(name, &value)? {
                    self.send_short(name, value)?;
                }
            }
            Policy::PassQuery => {
                if self.is_new(name, &value)? {
                    self.allowed.sent.push(name, value);
                }
            }
            Policy::PassList => self.send_short(name, value)?,
            Policy::Labels => {
                if matchers.of_label(&value).is_some() {
                    let reason = "the tenant label cannot be taken off the series";
                    return Err(ParamError::Forbidden { name, reason });
                }
                self.send_short(name, value)?;
            }
            Policy::Forbid(reason) => return Err(ParamError::Forbidden { name, reason }),
            Policy::ForbidIfOn(reason) => {
                if !value.is_empty() && go_bool(&value) != Some(false) {
                    return Err(ParamError::Forbidden { name, reason });
                }
            }
            Policy::Local(parameter) => {
                if self.is_new(name, &value)? {
                    self.keep_local(parameter, &value)
                        .map_err(|text| ParamError::Invalid(text.into()))?;
                }
            }
        }
        Ok(())
    }

    /// Whether a parameter that counts once is seen for the first time. Go takes the first; other
    /// readers the last; so the same again is as good as once, and another is an error.
    fn is_new<R>(
        &mut self,
        name: &'static str,
        value: &Cow<'a, str>,
    ) -> Result<bool, ParamError<R>> {
        match self.singles.iter().find(|(seen, _)| *seen == name) {
            None => {
                self.singles.push((name, value.clone()));
                Ok(true)
            }
            Some((_, same)) if same == value => Ok(false),
            Some(_) => Err(ParamError::Ambiguous(name)),
        }
    }

    fn send_confined<R>(&mut self, name: &'static str, text: String) -> Result<(), ParamError<R>> {
        self.confined_bytes += text.len();
        if self.confined_bytes > MAX_CONFINED_BYTES {
            return Err(ParamError::TooMuch);
        }
        self.allowed.sent.push(name, text);
        Ok(())
    }

    fn send_short<R>(
        &mut self,
        name: &'static str,
        value: Cow<'a, str>,
    ) -> Result<(), ParamError<R>> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(ParamError::TooLong(name));
        }
        self.allowed.sent.push(name, value);
        Ok(())
    }

    fn keep_local(&mut self, parameter: LocalParameter, value: &str) -> Result<(), &'static str> {
        if value.is_empty() {
            return Ok(());
        }
        let local = &mut self.allowed.local;
        match parameter {
            LocalParameter::ExcludeAlerts => {
                // Prometheus reads it without case, Go's `ParseBool` almost.
                local.exclude_alerts = go_bool(&value.to_ascii_lowercase())
                    .ok_or("invalid parameter \"exclude_alerts\": it is not a boolean")?;
            }
            LocalParameter::MetadataLimit => {
                let limit: i64 = value.parse().map_err(|_| "limit must be a number")?;
                local.metadata_limit = usize::try_from(limit).ok();
            }
            LocalParameter::MetadataLimitPerMetric => {
                let limit: Result<i64, _> = value.parse();
                limit.map_err(|_| "limit_per_metric must be a number")?;
            }
        }
        Ok(())
    }

    fn complete<R>(
        mut self,
        endpoint: &Endpoint,
        matchers: &Matchers,
    ) -> Result<Allowed<'a>, ParamError<R>> {
        if self.selectors == 0 {
            match endpoint {
                Endpoint::Series => {
                    return Err(ParamError::Invalid("no match[] parameter provided".into()));
                }
                Endpoint::Labels | Endpoint::LabelValues(_) => {
                    self.send_confined("match[]", format!("{{{}}}", matchers.promql()))?;
                }
                Endpoint::Federate => {
                    let none = format!("{{{},__name__=\"\"}}", matchers.promql());
                    self.send_confined("match[]", none)?;
                }
                _ => {}
            }
        }
        Ok(self.allowed)
    }
}

/// Go's `strconv.ParseBool`.
fn go_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
