//! Which config key would allow what is refused.

use super::explanation::Refused;
use crate::proxy::error::ProxyError;
use crate::proxy::rules::Rules;

/// A refusal, with what would allow it.
pub(super) fn refused(rules: &Rules, error: &ProxyError) -> Refused {
    let reason = error.reason();
    let to_allow = match reason {
        "keys_unavailable" => rules.authenticator().not_ready(),
        _ => advice(reason, error.text()).map(str::to_owned),
    };
    Refused {
        status: error.status().as_u16(),
        reason: reason.to_owned(),
        text: error.text().to_owned(),
        to_allow,
    }
}

/// `None` where the text says it already, and where nothing would.
fn advice(reason: &str, text: &str) -> Option<&'static str> {
    Some(match reason {
        // The token.
        "missing" | "header" => {
            "send a token in one of the headers of tokens.sources; for paths outside the data \
             APIs, passthrough.authentication: none asks for none"
        }
        "issuer" => "add an entry to tokens.issuers whose `issuer` is exactly the token's `iss`",
        "audience" => {
            "add one of the token's `aud` to `audiences` of its issuer in tokens.issuers, or let \
             the identity provider add yours to the token"
        }
        "authorized_party" => {
            "add the token's `azp` (or `client_id`) to `authorized_parties` of its issuer"
        }
        "algorithm" => "add the token's `alg` to `algorithms` of its issuer",
        "key" => {
            "give the issuer's current keys in jwks_file or pem_file, or let them be fetched by \
             discovery or jwks_url"
        }
        "expired" | "not_yet_valid" => {
            "get a new token; if the clocks disagree, set them, or raise `leeway` of the issuer"
        }
        "lifetime" => {
            "let the identity provider issue tokens for a shorter time, or raise `max_lifetime` of \
             the issuer"
        }
        "too_long" if text.contains("token") => "raise tokens.max_bytes",
        // The tenants.
        "no_tenants" => {
            "change the rules of `tenancy`, or what the identity provider puts into the token"
        }
        "no_label" => "set tenancy.metrics.label",
        // The endpoint.
        "no_cluster" => {
            "name the cluster by `cluster` of an upstream, and grant it by the rules of \
             tenancy.clusters, if there are any"
        }
        "no_upstream" => "add an upstream of this `api` to `upstreams`",
        // The query.
        "foreign_tenant" => {
            "set promql.foreign_matchers: intersect, and it finds nothing there instead"
        }
        "too_long" => "raise limits.query_bytes",
        "too_deep" => "raise limits.query_depth",
        "too_many_nodes" => "raise limits.query_nodes",
        "too_much_to_print" => "raise limits.format_bytes",
        "too_many_selectors" => "raise limits.query_selectors",
        "trace_intrinsic" => TRUST,
        "traceql" if text.contains("describes the whole trace") => TRUST,
        // The size.
        "too_large" if text.contains("limits.") => return None,
        "too_large" => "raise the limit that is named, below `limits`",
        _ => return None,
    })
}

const TRUST: &str = "set traces.search_metadata: trust, but only where no trace is ever shared by \
                     several tenants";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_refusals_of_one_name_are_told_apart() {
        let token = advice("too_long", "the token is longer than 10 bytes");
        assert_eq!(token, Some("raise tokens.max_bytes"));
        let query = advice("too_long", "the query is 11 bytes long; the limit is 10");
        assert_eq!(query, Some("raise limits.query_bytes"));
    }
}
