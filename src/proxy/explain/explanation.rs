//! The answer, for people and machines. Nothing in it is a token or a secret.

use serde::Serialize;

/// What would become of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Method and target.
    pub request: String,
    /// Who asks; `None` where that was not found out, or is not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerView>,
    /// Which tenants, and why: one entry a dimension of `tenancy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<Dimension>,
    /// Where it goes; `None` where it got no further than its head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteView>,
    /// What becomes of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Who asks.
#[derive(Clone, Debug, Serialize)]
pub struct CallerView {
    /// Whether a token was verified; if not, the claims are taken as given.
    pub verified: bool,
    /// `iss`
    pub issuer: String,
    /// `sub`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What the token was verified with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyView>,
    /// `exp`, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// What a token was verified with.
#[derive(Clone, Debug, Serialize)]
pub struct KeyView {
    /// `alg`
    pub algorithm: String,
    /// `kid`, if the token names its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The config key that says where the issuer's keys are.
    pub source: &'static str,
}

/// One dimension of `tenancy`.
#[derive(Clone, Debug, Serialize)]
pub struct Dimension {
    /// Its label in the metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its attribute in the traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Whether it is about named clusters: what is said of tenants is said of those.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub of_clusters: bool,
    /// Whether there is no restriction.
    pub all_tenants: bool,
    /// The tenants; empty for all, and where there is none.
    pub tenants: Vec<String>,
    /// Which rule decided, from 1; none where none applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Of how many; the short form `claim` is the last.
    pub rules: usize,
    /// What the rule grants, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// What was found in the rule's claim.
    pub values: Vec<String>,
    /// How the claim was read to have these values; none where it is a plain value or list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_as: Option<String>,
    /// The conditions of the rules before it, which do not hold.
    pub passed_over: Vec<String>,
}

/// Where a request goes.
#[derive(Clone, Debug, Serialize)]
pub struct RouteView {
    /// The rule, as the metrics' label `route` names it.
    pub name: &'static str,
    /// The upstream's name; `None` where Partywall answers itself, or clusters are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The clusters that are named; each is sent the same, below its own base path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// Where the upstream's shadow mode is in force for such requests, until when: they go up as
    /// they came, and the outcome is what would become of them without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_until: Option<String>,
}

/// What becomes of a request.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It would go up.
    Sent(Box<Sent>),
    /// It would not.
    Refused(Refused),
    /// Partywall answers it alone.
    Answered {
        /// The answer.
        answer: String,
    },
    /// Only the upstream can tell.
    Undecided {
        /// Why.
        why: String,
    },
}

/// What would go up.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The path, the upstream's base path included.
    pub path: String,
    /// In the URL or as a form, and what they were.
    pub parameters: Vec<Parameter>,
    /// Names of parameters that do not go up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// `X-Scope-OrgID`, where Tempo itself keeps tenants apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    /// What happens to the answer.
    pub answer: &'static str,
}

/// A parameter that would go up.
#[derive(Clone, Debug, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// As it came; `None` for one that is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// As it goes up.
    pub sent: String,
    /// What in `sent` is ours: ranges of bytes, from and to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inserted: Vec<(usize, usize)>,
}

impl Parameter {
    /// Whether it goes up as it came.
    pub fn is_as_it_came(&self) -> bool {
        self.original.as_deref() == Some(&self.sent)
    }
}

/// Why a request does not go up.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The status the client gets.
    pub status: u16,
    /// The metrics' label `reason`.
    pub reason: String,
    /// What the client is told.
    pub text: String,
    /// What would allow it.
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

    /// A request whose head the HTTP library does not take.
    pub(super) fn unread(request: String, answered: Result<&u16, &String>) -> Self {
        let text = match answered {
            Ok(_) => "the request's head is not valid HTTP, or too long".to_owned(),
            Err(error) => format!("the request's head is not valid HTTP, or too long: {error}"),
        };
        Self {
            outcome: Outcome::Refused(Refused {
                status: answered.map_or(400, |status| *status),
                reason: "head".to_owned(),
                text,
                to_allow: Some("limits.header_bytes bounds a request's head".to_owned()),
            }),
            ..Self::of(request)
        }
    }
}
