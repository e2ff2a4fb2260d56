//! Maps a path to an endpoint of the metrics API. The table is closed: what is not listed here is
//! not forwarded.

use std::borrow::Cow;

use crate::closed_group::ClosedGroup;

/// An endpoint that can be confined to tenants, or that has no tenant data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/api/v1/query`
    Query,
    /// `/api/v1/query_range`
    QueryRange,
    /// `/api/v1/query_exemplars`
    QueryExemplars,
    /// `/api/v1/series`
    Series,
    /// `/api/v1/labels`
    Labels,
    /// `/api/v1/label/{name}/values`, with the name from the decoded path: `U__` escapes are left
    /// to the upstream.
    LabelValues(Box<str>),
    /// `/federate`
    Federate,
    /// `/api/v1/rules`
    Rules,
    /// `/api/v1/alerts`
    Alerts,
    /// `/api/v1/targets`
    Targets,
    /// `/api/v1/targets/metadata`
    TargetsMetadata,
    /// `/api/v1/metadata`
    Metadata,
    /// `/api/v1/search/metric_names`
    SearchMetricNames,
    /// `/api/v1/search/label_names`
    SearchLabelNames,
    /// `/api/v1/search/label_values`
    SearchLabelValues,
    /// `/api/v1/read`
    RemoteRead,
    /// `/api/v1/status/buildinfo`
    BuildInfo,
    /// `/api/v1/parse_query`
    ParseQuery,
    /// `/api/v1/format_query`
    FormatQuery,
    /// `/api/v1/status/flags`
    StatusFlags,
    /// `/api/v1/stores`, of Thanos
    Stores,
    /// `/api/v1/notifications`
    Notifications,
    /// `/api/v1/notifications/live`
    NotificationsLive,
    /// `/api/v1/scrape_pools`; asked for as [`Self::Targets`]
    ScrapePools,
    /// `/api/v1/alertmanagers`
    Alertmanagers,
    /// `/api/v1/features`
    Features,
    /// `/api/v1/openapi.yaml`
    OpenApi,
}

/// What a tenant gets of an endpoint whose answer is about the upstream itself. Web interfaces and
/// client libraries ask for it before anything else, and do not work without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicPart {
    /// The flags that shape what is asked of the upstream and how it answers; no others.
    Flags,
    /// An empty list or object, in this JSON.
    Empty(&'static str),
    /// 204: there is no stream of events, so the client polls instead.
    NoEvents,
}

/// The result of classifying a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// An endpoint with its own enforcement.
    Known(Endpoint),
    /// Refused unless the config opens its group, and then only for callers with all tenants.
    Closed(ClosedGroup),
    /// No tenant data behind it: forwarded unmodified.
    PassThrough,
}

/// The endpoints without a name in their path. Paths that are neither in this table nor a label's
/// values are not served.
static FIXED: [Endpoint; 26] = [
    Endpoint::Query,
    Endpoint::QueryRange,
    Endpoint::QueryExemplars,
    Endpoint::Series,
    Endpoint::Labels,
    Endpoint::Federate,
    Endpoint::Rules,
    Endpoint::Alerts,
    Endpoint::Targets,
    Endpoint::TargetsMetadata,
    Endpoint::Metadata,
    Endpoint::SearchMetricNames,
    Endpoint::SearchLabelNames,
    Endpoint::SearchLabelValues,
    Endpoint::RemoteRead,
    Endpoint::BuildInfo,
    Endpoint::ParseQuery,
    Endpoint::FormatQuery,
    Endpoint::StatusFlags,
    Endpoint::Stores,
    Endpoint::Notifications,
    Endpoint::NotificationsLive,
    Endpoint::ScrapePools,
    Endpoint::Alertmanagers,
    Endpoint::Features,
    Endpoint::OpenApi,
];

/// Classifies a decoded, canonical path (one leading slash, no dot segments, no empty segments but
/// a trailing one). A data endpoint with a trailing slash is another, unknown path: the slash has to
/// be removed before, as the upstream's router does.
pub fn classify(path: &str) -> Class {
    if let Some(known) = FIXED.iter().find(|known| known.template() == path) {
        return Class::Known(known.clone());
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match first {
        "api" => classify_api(path),
        "classic" if is_shell(rest) => Class::PassThrough,
        "metrics" | "debug" | "consoles" | "classic" => Class::Closed(ClosedGroup::Internals),
        "-" => match rest {
            "healthy" | "ready" => Class::PassThrough,
            _ => Class::Closed(ClosedGroup::Internals),
        },
        // `/API/v1/query` has no route in Go's router, but may have one in a server before it.
        other if other.eq_ignore_ascii_case("api") || other.eq_ignore_ascii_case("federate") => {
            Class::Closed(ClosedGroup::Unknown)
        }
        _ => Class::PassThrough,
    }
}

/// What of the older web interface (`/classic/…`, Debian's only one) holds no data: the page that
/// queries by the API, and its scripts. All other pages are made by the server, of all tenants' data.
fn is_shell(rest: &str) -> bool {
    rest == "graph" || rest.starts_with("static/")
}

/// `path` begins with `api`, without its leading slash, and is not in the table.
fn classify_api(path: &str) -> Class {
    let Some(call) = path.strip_prefix("api/v1/") else {
        return Class::Closed(ClosedGroup::Unknown);
    };
    match label_of(call) {
        Some(name) => Class::Known(Endpoint::LabelValues(name.into())),
        None => Class::Closed(closed_group(call)),
    }
}

/// The name in `label/{name}/values`. Dot segments cannot be escaped in a path, so they are no
/// label names.
fn label_of(call: &str) -> Option<&str> {
    let name = call.strip_prefix("label/")?.strip_suffix("/values")?;
    (!name.is_empty() && name != "." && name != ".." && !name.contains('/')).then_some(name)
}

fn closed_group(call: &str) -> ClosedGroup {
    let first = call.split('/').next().unwrap_or(call);
    match first {
        "status" => ClosedGroup::Status,
        "stores" => ClosedGroup::Stores,
        "admin" => ClosedGroup::TsdbAdmin,
        // Thanos Receive accepts remote write at `receive`.
        "write" | "otlp" | "receive" => ClosedGroup::Write,
        _ => ClosedGroup::Unknown,
    }
}

impl Endpoint {
    /// The methods that the upstream supports, in the order of `Allow`.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Query
            | Self::QueryRange
            | Self::QueryExemplars
            | Self::Series
            | Self::Labels
            | Self::SearchMetricNames
            | Self::SearchLabelNames
            | Self::SearchLabelValues
            | Self::ParseQuery
            | Self::FormatQuery => &["GET", "POST"],
            Self::LabelValues(_)
            | Self::Federate
            | Self::Rules
            | Self::Alerts
            | Self::Targets
            | Self::TargetsMetadata
            | Self::Metadata
            | Self::BuildInfo
            | Self::StatusFlags
            | Self::Stores
            | Self::Notifications
            | Self::NotificationsLive
            | Self::ScrapePools
            | Self::Alertmanagers
            | Self::Features
            | Self::OpenApi => &["GET"],
            Self::RemoteRead => &["POST"],
        }
    }

    /// Whether the upstream supports this method.
    pub fn allows(&self, method: &str) -> bool {
        self.methods().contains(&method)
    }

    /// Whether the upstream refuses a call of which one parameter cannot be read, and looks for none
    /// in `multipart/form-data`: its handler asks for `ParseForm`'s verdict, where the others take
    /// what `FormValue` finds.
    pub fn checks_its_form(&self) -> bool {
        self.is_search() || matches!(self, Self::Series | Self::Federate | Self::Rules)
    }

    /// Whether it is of the search API, whose answers are lines of JSON.
    pub fn is_search(&self) -> bool {
        matches!(
            self,
            Self::SearchMetricNames | Self::SearchLabelNames | Self::SearchLabelValues
        )
    }

    /// The parameter without which the call is refused.
    pub fn required(&self) -> Option<&'static str> {
        match self {
            Self::Query
            | Self::QueryRange
            | Self::QueryExemplars
            | Self::ParseQuery
            | Self::FormatQuery => Some("query"),
            Self::Series => Some("match[]"),
            Self::SearchLabelValues => Some("label"),
            _ => None,
        }
    }

    /// What a tenant gets of an endpoint that is about the upstream itself, and the group whose
    /// opening shows callers with all tenants the upstream's own answer.
    pub fn public_part(&self) -> Option<(PublicPart, ClosedGroup)> {
        Some(match self {
            Self::StatusFlags => (PublicPart::Flags, ClosedGroup::Status),
            Self::Stores => (PublicPart::Empty("{}"), ClosedGroup::Stores),
            Self::Alertmanagers => (
                PublicPart::Empty(r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#),
                ClosedGroup::Unknown,
            ),
            Self::Notifications => (PublicPart::Empty("[]"), ClosedGroup::Unknown),
            Self::NotificationsLive => (PublicPart::NoEvents, ClosedGroup::Unknown),
            _ => return None,
        })
    }

    /// Every endpoint; label values with some name.
    pub fn all() -> impl Iterator<Item = Self> {
        let named = Self::LabelValues("name".into());
        FIXED.iter().cloned().chain([named])
    }

    /// The path that is forwarded, relative to the upstream's base path; a label's name is
    /// percent-encoded.
    pub fn path(&self) -> Cow<'static, str> {
        match self {
            Self::LabelValues(name) => {
                let name = percent_encoding::utf8_percent_encode(name, SEGMENT);
                Cow::Owned(format!("/api/v1/label/{name}/values"))
            }
            fixed => Cow::Borrowed(fixed.template()),
        }
    }

    /// Its path, with `{name}` for a label's name.
    pub fn template(&self) -> &'static str {
        match self {
            Self::Query => "/api/v1/query",
            Self::QueryRange => "/api/v1/query_range",
            Self::QueryExemplars => "/api/v1/query_exemplars",
            Self::Series => "/api/v1/series",
            Self::Labels => "/api/v1/labels",
            Self::LabelValues(_) => "/api/v1/label/{name}/values",
            Self::Federate => "/federate",
            Self::Rules => "/api/v1/rules",
            Self::Alerts => "/api/v1/alerts",
            Self::Targets => "/api/v1/targets",
            Self::TargetsMetadata => "/api/v1/targets/metadata",
            Self::Metadata => "/api/v1/metadata",
            Self::SearchMetricNames => "/api/v1/search/metric_names",
            Self::SearchLabelNames => "/api/v1/search/label_names",
            Self::SearchLabelValues => "/api/v1/search/label_values",
            Self::RemoteRead => "/api/v1/read",
            Self::BuildInfo => "/api/v1/status/buildinfo",
            Self::ParseQuery => "/api/v1/parse_query",
            Self::FormatQuery => "/api/v1/format_query",
            Self::StatusFlags => "/api/v1/status/flags",
            Self::Stores => "/api/v1/stores",
            Self::Notifications => "/api/v1/notifications",
            Self::NotificationsLive => "/api/v1/notifications/live",
            Self::ScrapePools => "/api/v1/scrape_pools",
            Self::Alertmanagers => "/api/v1/alertmanagers",
            Self::Features => "/api/v1/features",
            Self::OpenApi => "/api/v1/openapi.yaml",
        }
    }

    /// A short name for logs and metrics; never contains anything from the request.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::QueryRange => "query_range",
            Self::QueryExemplars => "query_exemplars",
            Self::Series => "series",
            Self::Labels => "labels",
            Self::LabelValues(_) => "label_values",
            Self::Federate => "federate",
            Self::Rules => "rules",
            Self::Alerts => "alerts",
            Self::Targets => "targets",
            Self::TargetsMetadata => "targets_metadata",
            Self::Metadata => "metadata",
            Self::SearchMetricNames => "search_metric_names",
            Self::SearchLabelNames => "search_label_names",
            Self::SearchLabelValues => "search_label_values",
            Self::RemoteRead => "read",
            Self::BuildInfo => "buildinfo",
            Self::ParseQuery => "parse_query",
            Self::FormatQuery => "format_query",
            Self::StatusFlags => "status_flags",
            Self::Stores => "thanos_stores",
            Self::Notifications => "notifications",
            Self::NotificationsLive => "notifications_live",
            Self::ScrapePools => "scrape_pools",
            Self::Alertmanagers => "alertmanagers",
            Self::Features => "features",
            Self::OpenApi => "openapi",
        }
    }
}

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(path: &str) -> Option<ClosedGroup> {
        match classify(path) {
            Class::Closed(group) => Some(group),
            _ => None,
        }
    }

    #[test]
    fn every_endpoint_is_classified_by_its_path() {
        for endpoint in Endpoint::all() {
            let path = endpoint.path();
            assert_eq!(classify(&path), Class::Known(endpoint.clone()));
            let slashed = format!("{path}/");
            assert!(closed(&slashed).is_some(), "{slashed}");
        }
    }

    #[test]
    fn every_other_endpoint_of_both_products_is_closed() {
        use ClosedGroup::{Internals, Status, Stores, TsdbAdmin, Unknown, Write};
        for (path, group) in [
            ("/api/v1/status/config", Status),
            ("/api/v1/status/runtimeinfo", Status),
            ("/api/v1/status/tsdb", Status),
            ("/api/v1/status/tsdb/blocks", Status),
            ("/api/v1/status/self_metrics", Status),
            ("/api/v1/status/walreplay", Status),
            ("/api/v1/status/flags/x", Status),
            ("/api/v1/stores/x", Stores),
            ("/api/v1/scrape_pools/config", Unknown),
            ("/api/v1/notifications/x", Unknown),
            ("/api/v1/status", Status),
            ("/api/v1/admin/tsdb/delete_series", TsdbAdmin),
            ("/api/v1/admin/tsdb/snapshot", TsdbAdmin),
            ("/api/v1/write", Write),
            ("/api/v1/otlp/v1/metrics", Write),
            ("/api/v1/receive", Write),
            ("/metrics", Internals),
            ("/metrics/", Internals),
            ("/debug/pprof/heap", Internals),
            ("/-/reload", Internals),
            ("/-/quit", Internals),
            ("/-/healthy/", Internals),
            ("/-", Internals),
            ("/consoles/index.html", Internals),
            ("/classic/alerts", Internals),
            ("/classic/targets", Internals),
            ("/classic/graph/", Internals),
            ("/classic/static", Internals),
            ("/classic", Internals),
            ("/api/v1/search/metric_names/x", Unknown),
            ("/api/v1/search", Unknown),
            ("/api/v1/targets/metadata/x", Unknown),
            ("/api/v1/targets/relabel_steps", Unknown),
            ("/api/v1/alertmanagers/x", Unknown),
            ("/api/v1/admin/tsdb/clean_tombstones", TsdbAdmin),
            ("/api/v1/query_explain", Unknown),
            ("/api/v1/query_range_explain", Unknown),
            ("/api/v1/blocks", Unknown),
            ("/api/v1/", Unknown),
            ("/api/v1", Unknown),
            ("/api", Unknown),
            ("/api/v2/query", Unknown),
            ("/federate/", Unknown),
            ("/API/v1/query", Unknown),
            ("/Federate", Unknown),
            ("/api/v1/Query", Unknown),
            ("/api/v1/label//values", Unknown),
            ("/api/v1/label/../values", Unknown),
            ("/api/v1/label/a/b/values", Unknown),
            ("/api/v1/label/values", Unknown),
            ("/api/v1/label/a", Unknown),
        ] {
            assert_eq!(closed(path), Some(group), "{path}");
        }
    }

    #[test]
    fn user_interface_and_health_checks_pass() {
        for path in [
            "/",
            "",
            "/graph",
            "/static/js/main.js",
            "/classic/graph",
            "/classic/static/js/graph/index.js",
            "/-/healthy",
            "/-/ready",
            "/apidocs",
            "/metricsexplorer",
            "/version",
        ] {
            assert_eq!(classify(path), Class::PassThrough, "{path}");
        }
    }

    #[test]
    fn label_name_cannot_leave_its_segment() {
        let Class::Known(endpoint) = classify("/api/v1/label/a%2f..?x#é b/values") else {
            panic!("a label name");
        };
        assert_eq!(
            endpoint.path(),
            "/api/v1/label/a%252f..%3Fx%23%C3%A9%20b/values"
        );
        let escaped = Endpoint::LabelValues("U__http_2e_method".into());
        assert_eq!(escaped.path(), "/api/v1/label/U__http_2e_method/values");
    }

    #[test]
    fn methods_are_those_of_the_upstream() {
        assert!(Endpoint::Query.allows("POST") && Endpoint::Query.allows("GET"));
        assert!(!Endpoint::Query.allows("HEAD"));
        assert!(!Endpoint::Rules.allows("POST"));
        assert!(!Endpoint::LabelValues("a".into()).allows("POST"));
        assert!(!Endpoint::Federate.allows("POST"));
        assert!(!Endpoint::RemoteRead.allows("GET"));
    }
}
