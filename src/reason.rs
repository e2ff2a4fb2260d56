//! Why requests are refused: one list, which is the source of the label `reason` of the metrics,
//! the `reason` of audit records, the advice of `partywall explain` and `docs/refusals.md`.
//!
//! To add one, add a line here and update the page; `tests/e2e/deploy/docs.rs` says how.

/// Declares the enum with its metadata. Several reasons may share a label: labels are published,
/// and the advice on how to permit the request may differ.
macro_rules! reasons {
    ($($variant:ident $label:literal $about:literal $(($to_allow:literal))?,)*) => {
        /// Why a request was refused, or got an error of ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $about] $variant,)*
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The value of the label `reason`. It is published: alerts and dashboards select by it.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }

            /// Its meaning, for operators.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }

            /// How to permit such a request; `None` if the error text says so already, or if
            /// nothing would.
            pub fn to_allow(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => None $(.or(Some($to_allow)))?,)*
                }
            }
        }
    };
}

reasons! {
    // The token.
    TokenMissing "missing" "The request has no token."
        ("send a token in one of the headers of tokens.sources; for paths outside the data APIs, \
          passthrough.authentication: none requires no token"),
    TokenHeader "header" "A header that should hold a token does not."
        ("send a token in one of the headers of tokens.sources; for paths outside the data APIs, \
          passthrough.authentication: none requires no token"),
    TokenTooLong "too_long" "The token is longer than `tokens.max_bytes`."
        ("raise tokens.max_bytes"),
    TokenMalformed "malformed" "The token is not a JSON Web Token.",
    TokenIssuer "issuer" "The token's issuer is not in `tokens.issuers`."
        ("add an entry to tokens.issuers whose `issuer` is exactly the token's `iss`"),
    TokenAlgorithm "algorithm" "The token is signed with an algorithm that its issuer may not use."
        ("add the token's `alg` to `algorithms` of its issuer"),
    TokenKey "key" "The token is signed with a key that Partywall does not have for its issuer."
        ("give the issuer's current keys in jwks_file or pem_file, or let them be fetched by \
          discovery or jwks_url"),
    TokenSignature "signature" "The token's signature is wrong.",
    TokenExpired "expired" "The token has expired."
        ("get a new token; if the clocks disagree, set them, or raise `leeway` of the issuer"),
    TokenNotYetValid "not_yet_valid" "The token is not valid yet."
        ("get a new token; if the clocks disagree, set them, or raise `leeway` of the issuer"),
    TokenLifetime "lifetime" "The token is valid for longer than its issuer's `max_lifetime`."
        ("let the identity provider issue tokens for a shorter time, or raise `max_lifetime` of the \
          issuer"),
    TokenAudience "audience" "The token is meant for another audience."
        ("add one of the token's `aud` to `audiences` of its issuer in tokens.issuers, or let the \
          identity provider add yours to the token"),
    TokenAuthorizedParty "authorized_party" "The token was issued to a client that is not authorized."
        ("add the token's `azp` (or `client_id`) to `authorized_parties` of its issuer"),
    TokenClaims "claims" "A claim of the token cannot be used.",
    KeysUnavailable "keys_unavailable"
        "Partywall has no usable keys of the token's issuer: they were never fetched, or are too old.",
    // The tenants.
    NoTenants "no_tenants" "The caller has no tenants, or none that the upstream accepts."
        ("change the rules of `tenancy`, or what the identity provider puts into the token"),
    Unselectable "unselectable" "The data of the caller's several tenants cannot be selected by one query."
        ("write their selectors in tenancy.selectors so that they differ in the values of one label alone, \
          with fewer alternatives, or grant the caller fewer tenants"),
    NoLabel "no_label" "`tenancy.metrics.label` is not configured."
        ("set tenancy.metrics.label"),
    TenantRequests "tenant_requests" "A tenant of the caller has as many requests in flight as it may have.",
    TenantRate "tenant_rate" "A tenant of the caller is over its `requests_per_second`.",
    MaxRange "max_range" "The query's time range is longer than `max_range` of a tenant of the caller.",
    MaxPoints "max_points" "The query asks for more points than `max_points` of a tenant of the caller.",
    MinStep "min_step" "The query's step is shorter than `min_step` of a tenant of the caller.",
    // Shared resources.
    Overloaded "overloaded" "All permits of `limits.requests` are in use.",
    RequestsShare "requests_share"
        "The caller, or one of its tenants, uses its whole share of `limits.requests`.",
    IncompleteBodies "incomplete_bodies" "All of `limits.incomplete_bodies` are in use.",
    IncompleteBodiesShare "incomplete_bodies_share"
        "The caller, or one of its tenants, uses its whole share of `limits.incomplete_bodies`.",
    BufferedBytes "buffered_bytes" "All of `limits.buffered_bytes` are in use.",
    BufferedBytesShare "buffered_bytes_share"
        "The caller, or one of its tenants, uses its whole share of `limits.buffered_bytes`.",
    // The endpoint.
    Host "host" "The request names no host, or several.",
    Path "path" "The path is ambiguous, or cannot be requested.",
    UriTooLong "uri_too_long" "Path and query are longer than `limits.uri_bytes`.",
    HeadersTooLarge "headers_too_large"
        "The headers are longer than `limits.header_bytes`, or too many."
        ("raise limits.header_bytes"),
    HttpSyntax "http_syntax" "The request is not valid HTTP, or its end is ambiguous.",
    MethodNotAllowed "method_not_allowed" "The endpoint does not answer this method.",
    NotAcceptable "not_acceptable" "The endpoint has no answer in a format that the client accepts.",
    Unimplemented "unimplemented" "The gRPC method, or its compression, is not served.",
    NoUpstream "no_upstream" "No upstream is configured for this API, host and path prefix."
        ("add an upstream of this `api` to `upstreams`"),
    AmbiguousCluster "ambiguous_cluster" "A gRPC call could be meant for several upstreams.",
    NoCluster "no_cluster" "There is no such cluster, or the caller may not use it."
        ("name the cluster by `cluster` of an upstream, and grant it by the rules of \
          tenancy.clusters, if there are any"),
    Closed "closed" "The endpoint cannot be confined to a tenant; see `open_to_admins`.",
    Passthrough "passthrough"
        "The method or path is outside the data APIs, and `passthrough` does not list it."
        ("add the method to passthrough.methods, or the path to passthrough.paths"),
    Origin "origin" "A preflight came from a web page whose origin `listeners[].cors` does not list."
        ("add the page's origin to cors.origins of the listener"),
    Misplaced "misplaced" "The path looks like a data API below a prefix that no upstream has.",
    // The body and the parameters.
    Body "body" "The body is incomplete, or is not what the endpoint reads.",
    BodyTooLarge "too_large" "The body is larger than `limits.body_bytes`.",
    MessageTooLarge "too_large" "A gRPC message is too long."
        ("raise the limit of `limits` that the error names"),
    UnsupportedMediaType "unsupported_media_type" "The body is in a format that is not supported.",
    RequestTimeout "request_timeout" "The body did not arrive in time.",
    Parameter "parameter" "A parameter is not permitted here.",
    Parameters "parameters" "The parameters cannot be read, or are too long.",
    RemoteRead "remote_read" "The remote read cannot be read, or is too long.",
    GrpcFrame "grpc_frame" "The gRPC message is not framed correctly, or there are several.",
    Uri "uri" "The confined request is too long to be forwarded.",
    // The query.
    QueryMalformed "malformed" "The query does not parse.",
    QueryTooLong "too_long" "The query is longer than `limits.query_bytes`."
        ("raise limits.query_bytes"),
    ConfinedTooLong "confined_too_long"
        "The query is too long with the matchers of the caller's tenants added.",
    TooDeep "too_deep" "The query is nested more deeply than `limits.query_depth`."
        ("raise limits.query_depth"),
    TooManyNodes "too_many_nodes" "The query has more parts than `limits.query_nodes`."
        ("raise limits.query_nodes"),
    TooMuchToPrint "too_much_to_print"
        "The query is too long and deep for `format_query` and `parse_query`; see `limits.format_bytes`."
        ("raise limits.format_bytes"),
    TooManySelectors "too_many_selectors" "The query has more selectors than `limits.query_selectors`."
        ("raise limits.query_selectors"),
    ForeignTenant "foreign_tenant" "The query names a tenant that is not the caller's."
        ("set promql.foreign_matchers: intersect, so that the query finds nothing \
          instead of being refused"),
    UnconfinedInfo "unconfined_info" "The query has an `info()` without a selector that can be confined.",
    Disagreement "disagreement" "Two parsers read the confined query differently; please report it.",
    Traceql "traceql" "The TraceQL query cannot be confined.",
    TraceIntrinsic "traceql" "The TraceQL query uses properties of whole traces."
        ("set traces.search_metadata: trust, but only where no trace is ever shared by several \
          tenants"),
    TagIntrinsic "trace_intrinsic" "The tag is a property of whole traces."
        ("set traces.search_metadata: trust, but only where no trace is ever shared by several \
          tenants"),
    TagsOfUnion "tags_of_union"
        "Tags cannot be listed for a caller whose traces are selected by too many alternatives: it takes a \
         request for each, two for each condition on a number, and at most 64 are sent."
        ("write the selectors of the caller's tenants in tenancy.selectors with fewer alternatives and \
          numbers; the client can ask for the values of `span.…` or `resource.…` instead of `.…`, which \
          takes half of the requests"),
    TraceDiff "trace_diff" "One of the two traces does not exist, or has spans that are not the caller's.",
    ForeignAlert "foreign_alert"
        "The posted silence or alert is, or may be, about tenants that are not the caller's.",
    Silence "silence" "There is no such silence, or it may match alerts that are not the caller's.",
    // The upstream.
    UpstreamUnreachable "upstream_unreachable" "The upstream cannot be reached, or closed the connection early.",
    UpstreamTimeout "upstream_timeout" "The upstream is too slow.",
    UpstreamCredentials "upstream_credentials" "The upstream refused Partywall's own credentials.",
    UpstreamAnswer "upstream_answer" "The upstream's answer cannot be checked, so it is not passed on.",
    OrgIdIgnored "org_id_ignored" "The Tempo does not separate tenants by `X-Scope-OrgID`.",
    // Us.
    Internal "internal" "A defect of Partywall; please report it.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_words_that_metrics_can_hold() {
        for reason in Reason::ALL {
            let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(reason.label().chars().all(is_word), "{reason:?}");
        }
    }
}
