//! The explanation, for people and machines. It never contains a token or a secret.

use serde::Serialize;

/// What would happen to a request.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Method and target.
    pub request: String,
    /// The caller; `None` if it is unknown, or the route requires no token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerView>,
    /// Which tenants the caller has, and why: one entry per dimension of `tenancy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<Dimension>,
    /// The route; `None` if the request is refused before there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteView>,
    /// What would happen to it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Clone, Debug, Serialize)]
pub struct CallerView {
    /// Whether a token was verified; otherwise the claims are taken as given.
    pub verified: bool,
    /// `iss`
    pub issuer: String,
    /// `sub`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The key that the token was verified with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyView>,
    /// `exp`, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// The key that a token was verified with.
#[derive(Clone, Debug, Serialize)]
pub struct KeyView {
    /// `alg`
    pub algorithm: String,
    /// `kid`, if the token names its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The config key that configures the issuer's keys.
    pub source: &'static str,
}

/// One dimension of `tenancy`.
#[derive(Clone, Debug, Serialize)]
pub struct Dimension {
    /// Its label in metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its attribute in traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Whether it is about named clusters; then the tenants below are clusters.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub of_clusters: bool,
    /// Whether there is no restriction.
    pub all_tenants: bool,
    /// The tenants; empty if it has all or none.
    pub tenants: Vec<String>,
    /// The selectors of those tenants that have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<SelectorView>,
    /// The conditions of those tenants that have conditions on several labels or attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionsView>,
    /// The number of the rule that decided, from 1; none if no rule matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// The number of rules; the short form `claim` is the last.
    pub rules: usize,
    /// What the rule grants, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The values found in the rule's claim.
    pub values: Vec<String>,
    /// How the claim was parsed into these values; none for a plain value or list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_as: Option<String>,
    /// The conditions of the rules before it, which did not match.
    pub passed_over: Vec<String>,
}

/// Which values of the label or attribute a tenant has, if it is not the tenant's name.
#[derive(Clone, Debug, Serialize)]
pub struct SelectorView {
    pub tenant: String,
    /// `=~`, `!~` or `!=`.
    #[serde(rename = "match")]
    pub op: &'static str,
    pub value: String,
}

/// Which metrics or which traces a tenant has, if conditions on several labels or attributes say so.
#[derive(Clone, Debug, Serialize)]
pub struct ConditionsView {
    pub tenant: String,
    /// As PromQL or `TraceQL` writes them.
    pub text: String,
}

/// The route of a request.
#[derive(Clone, Debug, Serialize)]
pub struct RouteView {
    /// The endpoint, as in the metrics' label `route`.
    pub name: &'static str,
    /// The upstream's name; `None` where Partywall answers itself, or clusters are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The clusters that are named; each gets the same request, below its own base path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// Until when the upstream's shadow mode is in force for such requests: they are forwarded
    /// unmodified, and the outcome is what would happen without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_until: Option<String>,
}

/// What would happen to a request.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It would be forwarded.
    Sent(Box<Sent>),
    /// It would be refused.
    Refused(Refused),
    /// Partywall answers it itself.
    Answered {
        /// The response.
        answer: String,
    },
    /// Only the upstream's data can decide.
    Undecided {
        /// Why.
        why: String,
    },
}

/// The request that would be forwarded.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    pub method: String,
    /// The path, including the upstream's base path.
    pub path: String,
    /// The parameters, in the URL or as a form, with their original values.
    pub parameters: Vec<Parameter>,
    /// Names of parameters that are not forwarded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// `X-Scope-OrgID`, if Tempo itself separates tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    /// What is done to the response.
    pub answer: &'static str,
}

/// A parameter that would be forwarded.
#[derive(Clone, Debug, Serialize)]
pub struct Parameter {
    pub name: String,
    /// As received; `None` for one that is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// As forwarded.
    pub sent: String,
    /// The parts of `sent` that Partywall inserted: byte ranges, start and end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inserted: Vec<(usize, usize)>,
}

impl Parameter {
    /// Whether it is forwarded unmodified.
    pub fn is_unmodified(&self) -> bool {
        self.original.as_deref() == Some(&self.sent)
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The status that the client gets.
    pub status: u16,
    /// The metrics' label `reason`.
    pub reason: String,
    /// The error text that the client gets.
    pub text: String,
    /// What would permit it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_allow: Option<String>,
}

impl Explanation {
    pub(super) fn of(request: String) -> Self {
        Self {
            request,
            caller: None,
            dimensions: Vec::new(),
            route: None,
            outcome: Outcome::Undecided { why: String::new() },
        }
    }

    /// A request whose headers the HTTP library refuses.
    pub(super) fn invalid_headers(request: String, answered: Result<&u16, &String>) -> Self {
        let text = match answered {
            Ok(_) => "the request's headers are not valid HTTP, or too long".to_owned(),
            Err(error) => format!("the request's headers are not valid HTTP, or too long: {error}"),
        };
        Self {
            outcome: Outcome::Refused(Refused {
                status: answered.map_or(400, |status| *status),
                reason: "head".to_owned(),
                text,
                to_allow: Some("limits.header_bytes bounds the request's headers".to_owned()),
            }),
            ..Self::of(request)
        }
    }
}
