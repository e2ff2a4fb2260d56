//! Which parameters of a call are forwarded, and how they are confined.
//!
//! Each endpoint has a list of the parameters that either product reads there. A parameter that is
//! not on it is dropped: neither product reads it, so the response is the same without it, and an
//! upstream that would read it never gets it.

mod everything;
pub mod table;

use std::borrow::Cow;
use std::num::{IntErrorKind, NonZeroUsize, ParseIntError};

use thiserror::Error;

pub use self::everything::Unselective;
use self::everything::{Everything, has_no_matcher};
use self::table::{LocalParameter, Policy, Table};
use super::endpoints::Endpoint;
use super::form::{Encoded, Form, Value};
use crate::tenancy::Matchers;

/// The longest value, in bytes, of a parameter that is forwarded unparsed. Times, durations and
/// rule files are shorter.
pub const MAX_VALUE_BYTES: usize = 4096;

/// The most bytes of all confined queries and selectors of one request. Confining repeats the
/// tenants in each selector; a thousand selectors with a thousand tenants would not fit.
pub const MAX_CONFINED_BYTES: usize = 8 << 20;

/// How queries are confined; implemented by the caller.
pub trait Confine {
    type Refusal;

    /// A complete query, with every selector confined.
    fn query(&mut self, query: &str) -> Result<Encoded, Self::Refusal>;

    /// A `match[]`: exactly one series selector, confined.
    fn selector(&mut self, selector: &str) -> Result<ConfinedSelector, Self::Refusal>;

    /// A `match[]` that is forwarded unmodified, because the response is filtered: it must be
    /// exactly one series selector.
    fn check_selector(&mut self, selector: &str) -> Result<(), Self::Refusal>;
}

/// A confined `match[]`.
#[derive(Clone, Debug)]
pub struct ConfinedSelector {
    pub text: Encoded,
    /// Whether the empty value fulfils all matchers of the original, which Prometheus refuses.
    pub was_unselective: bool,
}

/// The parameters of a request that may be forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed<'a> {
    /// What is forwarded, all of it in one place: URL or body.
    pub sent: Form<'a>,
    /// What is applied to the response here.
    pub local: Local,
    /// Forwarded only if the store accepts such selectors.
    pub unselective: Option<Unselective>,
}

/// Parameters that are not forwarded, because they are correct only after filtering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// `exclude_alerts` of `/rules`.
    pub exclude_alerts: bool,
    /// `group_limit` of `/rules`, with `group_next_token`.
    pub page: Option<GroupPage>,
    pub metadata: MetadataLimits,
    /// `include_metadata` of `/search/metric_names`.
    pub include_metadata: bool,
}

/// Which groups of rules are returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPage {
    /// The most groups.
    pub limit: NonZeroUsize,
    /// The token of the first one.
    pub first: Option<String>,
}

/// What `/metadata` returns at most; everything if `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataLimits {
    /// `limit`: metrics. May be zero.
    pub metrics: Option<usize>,
    /// `limit_per_metric`: entries of a metric. Zero is no limit, as in Prometheus.
    pub per_metric: Option<NonZeroUsize>,
}

/// Why a request's parameters are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParamError<R> {
    /// Not permitted; the response is a 403.
    #[error("parameter `{name}` is not allowed here: {reason}")]
    Forbidden {
        name: &'static str,
        reason: &'static str,
    },
    /// A query was given twice, and differently.
    #[error("parameter `{0}` is given more than once, with different values; give it once")]
    Ambiguous(&'static str),
    /// Longer than [`MAX_VALUE_BYTES`].
    #[error("parameter `{0}` is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong(&'static str),
    /// More than [`MAX_CONFINED_BYTES`].
    #[error("the request's selectors are too many for this many tenants")]
    TooMuch,
    /// A value that Prometheus refuses; the text is its own.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// The query or a selector was refused.
    #[error("{0}")]
    Refused(R),
}

/// Decides on every parameter of a request to this endpoint.
///
/// An empty or missing `query` is forwarded as an empty one: it contains no selector, and the
/// upstream's own error is the right response. A call without `match[]` selects all series, so a
/// selector of all the tenant's series is added; for `/federate` it selects none, so one that
/// selects none is. A selector without a matcher that rules out the empty value is an error in
/// Prometheus, except in `/federate` (`parseMatchersParam` in `web/api/v1/api.go`): with our matcher
/// it no longer would be, so the store is to be asked ([`Unselective`]).
pub fn allow<'a, C: Confine>(
    endpoint: &Endpoint,
    form: Form<'a>,
    matchers: &Matchers,
    confine: &mut C,
) -> Result<Allowed<'a>, ParamError<C::Refusal>> {
    let mut decision = Decision::default();
    for given in read(table::of(endpoint), form)? {
        decision.take(given, endpoint, matchers, confine)?;
    }
    decision.complete(endpoint, matchers)
}

/// A parameter of the endpoint's list, with its original value.
struct Given<'a> {
    name: &'static str,
    policy: Policy,
    value: Cow<'a, str>,
}

/// Keeps what is on the list, and of what counts once the first, as Go does. Other readers take the
/// last: so a second query is an error, unless it is the same or empty.
fn read<'a, R>(table: Table, form: Form<'a>) -> Result<Vec<Given<'a>>, ParamError<R>> {
    let mut all: Vec<Given<'a>> = Vec::new();
    for (name, value) in form {
        let Some((name, policy)) = table.find(&name) else {
            continue;
        };
        let earlier = all
            .iter()
            .find(|given| policy.is_used_once() && given.name == *name);
        match earlier {
            None => all.push(Given {
                name,
                policy: *policy,
                value,
            }),
            Some(first) if policy.is_query() && !value.is_empty() && first.value != value => {
                return Err(ParamError::Ambiguous(name));
            }
            Some(_) => {}
        }
    }
    Ok(all)
}

#[derive(Default)]
struct Decision<'a> {
    allowed: Allowed<'a>,
    selectors: usize,
    everything: Option<Everything>,
    group_limit: Option<NonZeroUsize>,
    next_group: Option<String>,
    confined_bytes: usize,
}

impl<'a> Decision<'a> {
    fn take<C: Confine>(
        &mut self,
        given: Given<'a>,
        endpoint: &Endpoint,
        matchers: &Matchers,
        confine: &mut C,
    ) -> Result<(), ParamError<C::Refusal>> {
        let Given {
            name,
            policy,
            value,
        } = given;
        match policy {
            Policy::Query if value.is_empty() => self.allowed.sent.push(name, value),
            Policy::Query => {
                let confined = confine.query(&value).map_err(ParamError::Refused)?;
                self.send_confined(name, confined)?;
            }
            // Without a matcher, a store's querier selects nothing; with ours it would select all.
            Policy::Selectors if *endpoint == Endpoint::Federate && has_no_matcher(&value) => {
                self.selectors += 1;
                self.send_confined(name, nothing_of(matchers))?;
            }
            Policy::Selector if value.is_empty() => {}
            Policy::Selectors | Policy::Selector => {
                let confined = confine.selector(&value).map_err(ParamError::Refused)?;
                self.selectors += 1;
                // Of `match_target`, which is no list, Prometheus accepts these.
                if policy == Policy::Selectors && confined.was_unselective {
                    let kind = Everything::of(&value, endpoint);
                    self.everything = self.everything.max(Some(kind));
                }
                self.send_confined(name, confined.text)?;
            }
            Policy::CheckedSelectors => {
                confine
                    .check_selector(&value)
                    .map_err(ParamError::Refused)?;
                self.allowed.sent.push(name, value);
            }
            Policy::PrintedQuery => self.allowed.sent.push(name, value),
            Policy::Labels if matchers.of_label(&value).is_some() => {
                let reason = "the tenant label cannot be taken off the series";
                return Err(ParamError::Forbidden { name, reason });
            }
            Policy::OneOf(known) if !known.contains(&&*value) => {}
            Policy::Pass | Policy::OneOf(_) | Policy::PassList | Policy::Labels => {
                if value.len() > MAX_VALUE_BYTES {
                    return Err(ParamError::TooLong(name));
                }
                self.allowed.sent.push(name, value);
            }
            Policy::Forbid(reason) => return Err(ParamError::Forbidden { name, reason }),
            Policy::ForbidIfOn(reason) => {
                if !value.is_empty() && go_bool(&value) != Some(false) {
                    return Err(ParamError::Forbidden { name, reason });
                }
            }
            Policy::Local(parameter) => self
                .keep_local(parameter, &value)
                .map_err(ParamError::Invalid)?,
        }
        Ok(())
    }

    fn send_confined<R>(
        &mut self,
        name: &'static str,
        text: impl Into<Value<'a>>,
    ) -> Result<(), ParamError<R>> {
        let text = text.into();
        self.confined_bytes += text.text().len();
        if self.confined_bytes > MAX_CONFINED_BYTES {
            return Err(ParamError::TooMuch);
        }
        self.allowed.sent.push(name, text);
        Ok(())
    }

    fn keep_local(
        &mut self,
        parameter: LocalParameter,
        value: &str,
    ) -> Result<(), Cow<'static, str>> {
        if value.is_empty() {
            return Ok(());
        }
        let local = &mut self.allowed.local;
        match parameter {
            LocalParameter::IncludeMetadata => {
                local.include_metadata = go_bool(value).ok_or_else(|| {
                    format!("invalid include_metadata {value:?}: must be boolean")
                })?;
            }
            LocalParameter::ExcludeAlerts => {
                // Prometheus ignores case here, Go's `ParseBool` mostly does not.
                local.exclude_alerts = go_bool(&value.to_ascii_lowercase())
                    .ok_or("invalid parameter \"exclude_alerts\": it is not a boolean")?;
            }
            // They are quoted in errors.
            LocalParameter::GroupLimit | LocalParameter::GroupNextToken
                if value.len() > MAX_VALUE_BYTES =>
            {
                return Err("a parameter of the page of rule groups is too long".into());
            }
            LocalParameter::GroupLimit => self.group_limit = Some(group_limit(value)?),
            LocalParameter::GroupNextToken => self.next_group = Some(value.to_owned()),
            LocalParameter::MetadataLimit => {
                let limit: i64 = value.parse().map_err(|_| "limit must be a number")?;
                local.metadata.metrics = usize::try_from(limit).ok();
            }
            LocalParameter::MetadataLimitPerMetric => {
                let limit: i64 = value
                    .parse()
                    .map_err(|_| "limit_per_metric must be a number")?;
                let limit = usize::try_from(limit).ok();
                local.metadata.per_metric = limit.and_then(NonZeroUsize::new);
            }
        }
        Ok(())
    }

    fn complete<R>(
        mut self,
        endpoint: &Endpoint,
        matchers: &Matchers,
    ) -> Result<Allowed<'a>, ParamError<R>> {
        // Last, as in Prometheus, which parses all before.
        if let Some(everything) = self.everything
            && *endpoint != Endpoint::Federate
        {
            let error = everything::error_of(endpoint);
            let Some(like) = everything.example() else {
                return Err(ParamError::Invalid(error.into()));
            };
            self.allowed.unselective = Some(Unselective { error, like });
        }
        self.allowed.local.page = match (self.group_limit, self.next_group.take()) {
            (Some(limit), first) => Some(GroupPage { limit, first }),
            (None, None) => None,
            (None, Some(_)) => {
                let text = "invalid parameter \"group_next_token\": group_limit needs to be present \
                            in order to paginate over the groups";
                return Err(ParamError::Invalid(text.into()));
            }
        };
        if self.selectors == 0 {
            match endpoint {
                Endpoint::Series => {
                    return Err(ParamError::Invalid("no match[] parameter provided".into()));
                }
                Endpoint::Labels
                | Endpoint::LabelValues(_)
                | Endpoint::SearchMetricNames
                | Endpoint::SearchLabelNames
                | Endpoint::SearchLabelValues => {
                    self.send_confined("match[]", format!("{{{}}}", matchers.promql()))?;
                }
                Endpoint::TargetsMetadata => {
                    self.send_confined("match_target", format!("{{{}}}", matchers.promql()))?;
                }
                Endpoint::Federate => {
                    self.send_confined("match[]", nothing_of(matchers))?;
                }
                _ => {}
            }
        }
        Ok(self.allowed)
    }
}

/// Parses a `group_limit`, which is a 32-bit number to Prometheus; the errors are its own.
fn group_limit(value: &str) -> Result<NonZeroUsize, String> {
    const NAME: &str = "invalid parameter \"group_limit\": group_limit needs to be";
    let limit: i32 = value.parse().map_err(|error: ParseIntError| {
        let cause = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("{NAME} a valid number: strconv.ParseInt: parsing {value:?}: {cause}")
    })?;
    usize::try_from(limit)
        .ok()
        .and_then(NonZeroUsize::new)
        .ok_or_else(|| format!("{NAME} greater than 0"))
}

/// A selector that selects nothing: every series has a name.
fn nothing_of(matchers: &Matchers) -> String {
    format!("{{{},__name__=\"\"}}", matchers.promql())
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
