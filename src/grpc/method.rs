//! The methods that a tenant may call. The list is closed: Tempo serves other methods on the same
//! port, some of which read, hand out or delete every tenant's data.

/// A supported method. All others get UNIMPLEMENTED without reaching the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `tempopb.StreamingQuerier/Search`
    Search,
    /// `tempopb.StreamingQuerier/SearchTags`
    SearchTags,
    /// `tempopb.StreamingQuerier/SearchTagsV2`
    SearchTagsV2,
    /// `tempopb.StreamingQuerier/SearchTagValues`
    SearchTagValues,
    /// `tempopb.StreamingQuerier/SearchTagValuesV2`
    SearchTagValuesV2,
    /// `tempopb.StreamingQuerier/MetricsQueryRange`
    MetricsQueryRange,
    /// `tempopb.StreamingQuerier/MetricsQueryInstant`
    MetricsQueryInstant,
    /// `grpc.health.v1.Health/Check`: contains no tenant's data.
    HealthCheck,
}

impl Method {
    /// All methods: the route table.
    pub const ALL: [Self; 8] = [
        Self::Search,
        Self::SearchTags,
        Self::SearchTagsV2,
        Self::SearchTagValues,
        Self::SearchTagValuesV2,
        Self::MetricsQueryRange,
        Self::MetricsQueryInstant,
        Self::HealthCheck,
    ];

    /// The method of a request's `:path`, compared byte for byte as servers do.
    pub fn from_path(path: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|method| method.client_path() == path)
    }

    /// A short name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "grpc_search",
            Self::SearchTags => "grpc_search_tags",
            Self::SearchTagsV2 => "grpc_search_tags_v2",
            Self::SearchTagValues => "grpc_tag_values",
            Self::SearchTagValuesV2 => "grpc_tag_values_v2",
            Self::MetricsQueryRange => "grpc_query_range",
            Self::MetricsQueryInstant => "grpc_query_instant",
            Self::HealthCheck => "grpc_health",
        }
    }

    /// The `:path` that clients use.
    pub fn client_path(self) -> &'static str {
        match self {
            Self::SearchTags => "/tempopb.StreamingQuerier/SearchTags",
            Self::SearchTagValues => "/tempopb.StreamingQuerier/SearchTagValues",
            other => other.upstream_path(),
        }
    }

    /// The `:path` that is forwarded. The first versions of the tag calls ignore the query, so the
    /// second ones are called instead.
    pub fn upstream_path(self) -> &'static str {
        match self {
            Self::Search => "/tempopb.StreamingQuerier/Search",
            Self::SearchTags | Self::SearchTagsV2 => "/tempopb.StreamingQuerier/SearchTagsV2",
            Self::SearchTagValues | Self::SearchTagValuesV2 => {
                "/tempopb.StreamingQuerier/SearchTagValuesV2"
            }
            Self::MetricsQueryRange => "/tempopb.StreamingQuerier/MetricsQueryRange",
            Self::MetricsQueryInstant => "/tempopb.StreamingQuerier/MetricsQueryInstant",
            Self::HealthCheck => "/grpc.health.v1.Health/Check",
        }
    }
}

/// Whether a `content-type` is `application/grpc`, alone or followed by `+proto` or a parameter.
/// False for other message formats and for gRPC-Web.
pub fn is_grpc(content_type: &str) -> bool {
    const BASE: &str = "application/grpc";
    let Some((base, rest)) = content_type.split_at_checked(BASE.len()) else {
        return false;
    };
    let rest = rest.strip_prefix("+proto").unwrap_or(rest);
    base.eq_ignore_ascii_case(BASE) && (rest.is_empty() || rest.starts_with(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_methods_exist() {
        for path in [
            "/tempopb.StreamingQuerier/Search",
            "/tempopb.StreamingQuerier/SearchTagsV2",
            "/tempopb.StreamingQuerier/SearchTagValuesV2",
            "/tempopb.StreamingQuerier/MetricsQueryRange",
            "/tempopb.StreamingQuerier/MetricsQueryInstant",
            "/grpc.health.v1.Health/Check",
        ] {
            assert_eq!(Method::from_path(path).unwrap().upstream_path(), path);
        }
        for path in [
            "/tempopb.Querier/FindTraceByID",
            "/tempopb.Metrics/QueryRange",
            "/tempopb.BackendScheduler/SubmitRedaction",
            "/frontend.Frontend/Process",
            "/httpgrpc.HTTP/Handle",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/tempopb.StreamingQuerier/search",
            "/tempopb.StreamingQuerier/Search/",
            "/tempopb.StreamingQuerier//Search",
            "/tempopb.StreamingQuerier/Searc%68",
            "tempopb.StreamingQuerier/Search",
            "/api/search",
            "",
        ] {
            assert_eq!(Method::from_path(path), None, "{path}");
        }
    }

    #[test]
    fn first_version_tag_calls_are_forwarded_as_the_second() {
        let forwarded = |path| Method::from_path(path).unwrap().upstream_path();
        assert!(forwarded("/tempopb.StreamingQuerier/SearchTags").ends_with("/SearchTagsV2"));
        assert!(
            forwarded("/tempopb.StreamingQuerier/SearchTagValues").ends_with("/SearchTagValuesV2")
        );
    }

    #[test]
    fn grpc_web_and_other_codecs_are_not_grpc() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC;charset=utf-8",
        ] {
            assert!(is_grpc(yes), "{yes}");
        }
        for no in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc+json",
            "application/json",
            "application/grp\u{e9}",
            "",
        ] {
            assert!(!is_grpc(no), "{no}");
        }
    }
}
