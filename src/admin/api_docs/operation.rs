//! The description of an endpoint.

use serde_json::Value;

use crate::proxy::error::{Dialect, ErrorKind};
use crate::telemetry::metrics::Decision;

/// One endpoint, with all its methods.
pub(super) struct Operation {
    pub(super) tag: Tag,
    /// With `{name}` for the variable part.
    pub(super) path: &'static str,
    pub(super) methods: &'static [&'static str],
    /// The route's name in metrics and audit; a similar one for the admin address.
    pub(super) name: &'static str,
    pub(super) about: About,
    pub(super) parameters: Vec<Parameter>,
    pub(super) refused: Vec<Refused>,
    /// The body of a POST or PUT.
    pub(super) body: Body,
    pub(super) answers: Vec<Answer>,
    /// Errors of Partywall itself.
    pub(super) problems: Vec<ErrorKind>,
    pub(super) dialect: Dialect,
}

/// The prose about an endpoint.
pub(super) struct About {
    pub(super) summary: &'static str,
    /// The decision of enforcement for a caller with some tenants; none on the admin address.
    pub(super) decision: Option<Decision>,
    /// How the decision applies here.
    pub(super) rule: &'static str,
    /// A link to the API's own documentation.
    pub(super) docs: &'static str,
}

/// The API of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Metrics,
    Traces,
    Alerts,
    Admin,
}

impl Tag {
    pub(super) const ALL: [Self; 4] = [Self::Metrics, Self::Traces, Self::Alerts, Self::Admin];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Metrics => "Metrics",
            Self::Traces => "Traces",
            Self::Alerts => "Alerts",
            Self::Admin => "Admin",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Metrics => {
                "The API of Prometheus and Thanos. Parameters go by an allow-list: those that \
                 neither reads are dropped. Of one that counts once the first is taken, of a form \
                 before that of the URL; two different queries are refused. Errors are Prometheus' JSON. Where the config \
                 names clusters, `GET /clusters` lists those that the token may use, each has all \
                 of this below `/clusters/{name}`, and `query` and `query_range` at the root take \
                 `cluster`, up to 32 times: each answers for itself."
            }
            Self::Traces => {
                "The API of Grafana Tempo. Parameters go by an allow-list: those that Tempo would \
                 ignore are dropped; of several of one name the first counts. `HEAD` and `POST` are \
                 taken for `GET`, without reading a body, as in Tempo. Errors are plain text. Streaming by gRPC is served on the same port; see `x-grpc`."
            }
            Self::Alerts => {
                "The API of Alertmanager, version 2, of upstreams with `api: alertmanager`. Parameters go \
                 by an allow-list: those that Alertmanager does not read are dropped. Bodies are JSON in \
                 which no key is repeated or unknown. Errors are JSON strings, as Alertmanager's."
            }
            Self::Admin => {
                "The admin address, for operators alone: no token is required, and no tenant may \
                 reach it. `HEAD` is answered wherever `GET` is."
            }
        }
    }
}

/// A supported parameter.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) is_in_path: bool,
    /// Whether all values of a repeated parameter are used.
    pub(super) is_list: bool,
    pub(super) is_required: bool,
    pub(super) treatment: Treatment,
    pub(super) text: &'static str,
}

/// How enforcement treats a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    Confined,
    Checked,
    Passed,
    Local,
}

impl Treatment {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Confined => "confined",
            Self::Checked => "checked",
            Self::Passed => "passed",
            Self::Local => "local",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Confined => "Is forwarded with the caller's tenants written into it.",
            Self::Checked => "Is forwarded if it is well formed and does not undo confinement.",
            Self::Passed => "Is forwarded unmodified.",
            Self::Local => "Is applied to the filtered response; not forwarded.",
        }
    }
}

pub(super) struct Refused {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
}

/// The body of a request.
pub(super) enum Body {
    None,
    /// The parameters, instead of or in addition to those in the URL.
    Form,
    Of {
        media_type: &'static str,
        schema: Value,
        text: &'static str,
    },
}

/// A successful response.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) media_types: Vec<&'static str>,
    /// The name of a schema of `openapi`; none for bytes or text.
    pub(super) schema: Option<&'static str>,
    pub(super) text: &'static str,
}

impl Operation {
    /// The decision on a caller with some tenants.
    pub(super) fn decision(&self, method: &str) -> Option<Decision> {
        if self.writes(method) {
            return Some(Decision::Confined);
        }
        self.about.decision
    }

    /// Whether this method has the parameters that are not in the path.
    pub(super) fn has_query(&self, method: &str) -> bool {
        !self.writes(method)
    }

    /// Of the alerts API, other methods than GET write.
    fn writes(&self, method: &str) -> bool {
        self.tag == Tag::Alerts && method != "GET"
    }

    /// The id of a method's operation: the first method's is the endpoint's own.
    pub(super) fn id(&self, method: &str) -> String {
        if self.methods.first() == Some(&method) {
            self.name.to_owned()
        } else {
            format!("{}_{}", self.name, method.to_lowercase())
        }
    }
}
