//! What holds for every upstream: it answers, its clock is right, and nobody else reaches it.

use std::net::IpAddr;

use super::asker::Answer;
use super::finding::{Chapter, Finding};
use crate::config::settings::Upstream;

/// How far clocks may be apart before tokens and the newest samples suffer, in seconds.
const FAR_APART: i64 = 5;

/// Whether it answers at all, and what its clock says. `Err` where nothing further can be asked.
pub(super) fn reachable(
    report: &mut Chapter<'_>,
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
    if answer.is_denied() && !answer.says("no org id") {
        let text = format!("it refuses our credentials: {}", answer.status);
        let fix = "correct `credentials` of this upstream";
        report.add("reachable", Finding::fail(text, fix));
        return Err(());
    }
    if answer.status.is_server_error() {
        let text = format!("answered {}", answer.status);
        let fix = "look into its log, and into that of whatever stands before it";
        report.add("reachable", Finding::fail(text, fix));
        return Err(());
    }
    report.add("reachable", Finding::ok("it answers"));
    report.add("clock", clock(answer.ahead));
    Ok(answer)
}

fn clock(ahead: Option<i64>) -> Finding {
    match ahead {
        None => Finding::skip("its answers have no Date"),
        Some(ahead) if ahead.abs() <= FAR_APART => Finding::ok("agrees with ours"),
        Some(ahead) => {
            let direction = if ahead > 0 { "ahead of" } else { "behind" };
            let text = format!("{} s {direction} ours", ahead.abs());
            Finding::warn(text, "let both machines keep time by NTP")
        }
    }
}

/// The version that `buildinfo` tells.
pub(super) fn version(product: &str, version: Option<&str>) -> Finding {
    match version {
        Some(version) if !version.is_empty() => Finding::ok(format!("{product} {version}")),
        _ => Finding::skip("it does not tell (/api/status/buildinfo, /api/v1/status/buildinfo)"),
    }
}

/// Whether callers could go straight to the upstream. From here only its address is seen.
pub(super) fn around_us(upstream: &Upstream) -> Finding {
    let host = host(&upstream.url.authority);
    match place(host) {
        Place::Loopback => Finding::ok(format!("{host} is reached from this machine or pod only")),
        Place::Cluster => Finding::skip(format!(
            "{host} cannot be judged from here: check that a network policy lets only Partywall \
             reach it, for whoever does sees all tenants"
        )),
        Place::Public => Finding::warn(
            format!("{host} looks like an address that others reach too, and sees all tenants"),
            "let it listen where only Partywall reaches it, or ask for credentials there",
        ),
    }
}

enum Place {
    Loopback,
    Cluster,
    Public,
}

fn place(host: &str) -> Place {
    if let Ok(address) = host.parse::<IpAddr>() {
        let is_private = match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
        };
        return match address {
            _ if address.is_loopback() => Place::Loopback,
            _ if is_private => Place::Cluster,
            _ => Place::Public,
        };
    }
    let host = host.to_ascii_lowercase();
    let is_below = |suffix: &str| host.ends_with(suffix);
    if host == "localhost" || is_below(".localhost") {
        Place::Loopback
    } else if !host.contains('.')
        || is_below(".svc")
        || is_below(".local")
        || is_below(".internal")
        || host.split('.').any(|label| label == "svc")
    {
        Place::Cluster
    } else {
        Place::Public
    }
}

fn host(authority: &str) -> &str {
    let port_at = authority.rfind(':').filter(|at| {
        // Not one of an IPv6 address.
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
    fn an_address_tells_who_reaches_it() {
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
            let found = match place(host(authority)) {
                Place::Loopback => "loopback",
                Place::Cluster => "cluster",
                Place::Public => "public",
            };
            assert_eq!(found, expected, "{authority}");
        }
    }
}
