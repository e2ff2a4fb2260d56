//! Selectors that every series fulfils, such as `{}` and `{job=~".*"}`.

use super::super::endpoints::Endpoint;

/// A `match[]` whose matchers are all fulfilled by the empty value. It is an error in Prometheus.
/// Thanos leaves it to its stores, of which a sidecar asks a Prometheus and the others answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unselective {
    /// Prometheus' error.
    pub error: &'static str,
    /// A selector of the same kind, to ask the store about.
    pub like: &'static str,
}

/// A selector of everything, by who accepts it. The last kind decides on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Everything {
    /// `{}`: to Thanos as if no selector was given.
    WithoutMatchers,
    /// With matchers that the empty value fulfils: to Thanos' stores, a selector.
    WithMatchers,
    /// Also an error in Thanos, or of an endpoint that Thanos does not have.
    Refused,
}

impl Everything {
    pub(super) fn of(selector: &str, endpoint: &Endpoint) -> Self {
        match (has_no_matcher(selector), endpoint) {
            // `Series` of Thanos' `pkg/store/proxy.go`; its calls for labels have no such check.
            (true, Endpoint::Series) => Self::Refused,
            _ if endpoint.is_search() => Self::Refused,
            (true, _) => Self::WithoutMatchers,
            (false, _) => Self::WithMatchers,
        }
    }

    /// A selector of this kind, if any store accepts it.
    pub(super) fn example(self) -> Option<&'static str> {
        match self {
            Self::WithoutMatchers => Some("{}"),
            Self::WithMatchers => Some(r#"{__name__=~".*"}"#),
            Self::Refused => None,
        }
    }
}

/// The error for a selector without a matcher that rules out the empty value: Prometheus' own text.
pub(super) fn error_of(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Series => {
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"
        }
        _ => "match[] must contain at least one non-empty matcher",
    }
}

/// Whether a selector is `{}`.
pub(super) fn has_no_matcher(selector: &str) -> bool {
    selector
        .split_ascii_whitespace()
        .flat_map(str::chars)
        .eq("{}".chars())
}
