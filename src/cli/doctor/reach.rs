//! Checks of every upstream: it answers, its clock is right, and only Partywall can reach it.

use std::net::IpAddr;

use super::finding::{Finding, Section};
use super::probe::Answer;
use crate::config::settings::Upstream;

/// The difference of clocks, in seconds, from which tokens and the newest samples suffer.
const FAR_APART: i64 = 5;

/// Whether the upstream answers, and its clock. `Err` if no further check is possible.
pub(super) fn reachable(
    report: &mut Section<'_>,
    answered: Result<Answer, String>,
) -> Result<Answer, ()> {
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => {
            let fix = "check `url`, name resolution, the network policy, and for https `ca_file`";
            report.add("reachable", Finding::fail(error, fix));
            return Err(());
        }
    };
    if answer.is_denied() && !answer.contains("no org id") {
        let text = format!("it refuses our credentials: {}", answer.status);
        let fix = "correct `credentials` of this upstream";
        report.add("reachable", Finding::fail(text, fix));
        return Err(());
    }
    if answer.status.is_server_error() {
        let text = format!("answered {}", answer.status);
        let fix = "read its log, and that of the proxies in front of it";
        report.add("reachable", Finding::fail(text, fix));
        return Err(());
    }
    report.add("reachable", Finding::ok("it answers"));
    report.add("clock", clock(answer.ahead));
    Ok(answer)
}

fn clock(ahead: Option<i64>) -> Finding {
    match ahead {
        None => Finding::skip("its answers have no Date header"),
        Some(ahead) if ahead.abs() <= FAR_APART => Finding::ok("agrees with ours"),
        Some(ahead) => {
            let direction = if ahead > 0 { "ahead of" } else { "behind" };
            let text = format!("{} s {direction} ours", ahead.abs());
            Finding::warn(text, "synchronise both clocks with NTP")
        }
    }
}

/// The version in `buildinfo`.
pub(super) fn version(product: &str, version: Option<&str>) -> Finding {
    match version {
        Some(version) if !version.is_empty() => Finding::ok(format!("{product} {version}")),
        _ => Finding::skip("unknown: its buildinfo endpoint does not say"),
    }
}

/// Whether clients could reach the upstream directly, as far as its address shows.
pub(super) fn exposure(upstream: &Upstream) -> Finding {
    let host = host(&upstream.url.authority);
    match network(host) {
        Network::Loopback => Finding::ok(format!(
            "{host} can only be reached from this machine or pod"
        )),
        Network::Cluster => Finding::skip(format!(
            "{host} cannot be judged from here: check that a network policy lets only Partywall \
             reach it, because every client that reaches it sees all tenants"
        )),
        Network::Public => Finding::warn(
            format!(
                "{host} looks like an address that other clients can reach, and see all tenants"
            ),
            "let it listen where only Partywall can reach it, or require credentials there",
        ),
    }
}

/// From where an address can be reached.
enum Network {
    Loopback,
    Cluster,
    Public,
}

fn network(host: &str) -> Network {
    if let Ok(address) = host.parse::<IpAddr>() {
        let is_private = match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
        };
        return match address {
            _ if address.is_loopback() => Network::Loopback,
            _ if is_private => Network::Cluster,
            _ => Network::Public,
        };
    }
    let host = host.to_ascii_lowercase();
    let is_below = |suffix: &str| host.ends_with(suffix);
    if host == "localhost" || is_below(".localhost") {
        Network::Loopback
    } else if !host.contains('.')
        || is_below(".svc")
        || is_below(".local")
        || is_below(".internal")
        || host.split('.').any(|label| label == "svc")
    {
        Network::Cluster
    } else {
        Network::Public
    }
}

fn host(authority: &str) -> &str {
    let port_at = authority.rfind(':').filter(|at| {
        // A colon before `]` belongs to an IPv6 address.
        authority.get(*at..).is_some_and(|rest| !rest.contains(']'))
    });
    let host = port_at.and_then(|at| authority.get(..at));
    host.unwrap_or(authority)
        .trim_start_matches('[')
        .trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_follows_from_the_address() {
        for (authority, expected) in [
            ("127.0.0.1:9090", "loopback"),
            ("[::1]:9090", "loopback"),
            ("localhost", "loopback"),
            ("thanos:10902", "cluster"),
            ("thanos.monitoring.svc:10902", "cluster"),
            ("thanos.monitoring.svc.cluster.local", "cluster"),
            ("10.1.2.3:80", "cluster"),
            ("thanos.example.com:443", "public"),
            ("8.8.8.8", "public"),
        ] {
            let found = match network(host(authority)) {
                Network::Loopback => "loopback",
                Network::Cluster => "cluster",
                Network::Public => "public",
            };
            assert_eq!(found, expected, "{authority}");
        }
    }
}
