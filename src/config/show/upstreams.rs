//! `upstreams`.

use rustls::pki_types::ServerName;

use super::tree::{Tree, list, map};
use super::{HIDDEN, duration};
use crate::config::settings::{
    Api, BaseUrl, Credentials, HealthCheck, Identity, Shadow, Trust, Upstream, UpstreamTimeouts,
    UpstreamTls,
};

pub(super) fn upstream(upstream: &Upstream) -> Tree {
    let Upstream {
        name,
        api,
        cluster,
        url:
            BaseUrl {
                https,
                authority,
                path: base_path,
            },
        path_prefix,
        hosts,
        tls,
        credentials,
        open_to_admins,
        timeouts:
            UpstreamTimeouts {
                connect,
                response_head,
                body_idle,
            },
        max_idle_connections,
        health,
        shadow,
    } = upstream;
    let scheme = if *https { "https" } else { "http" };
    map([
        ("name", Tree::text(name)),
        (
            "api",
            Tree::text(match api {
                Api::Prometheus => "prometheus",
                Api::Tempo => "tempo",
            }),
        ),
        (
            "url",
            Tree::text(format_args!("{scheme}://{authority}{base_path}")),
        ),
        ("cluster", cluster.as_ref().map_or(Tree::Absent, Tree::text)),
        // A cluster's follows from its name.
        (
            "path_prefix",
            match (cluster, path_prefix) {
                (None, Some(prefix)) => Tree::text(prefix),
                _ => Tree::Absent,
            },
        ),
        (
            "hosts",
            match &**hosts {
                [] => Tree::Absent,
                hosts => list(hosts, Tree::text),
            },
        ),
        ("tls", tls_tree(tls)),
        ("credentials", credentials_tree(credentials)),
        (
            "open_to_admins",
            list(open_to_admins, |group| Tree::text(group.name())),
        ),
        (
            "timeouts",
            map([
                ("connect", duration(*connect)),
                ("response_head", duration(*response_head)),
                ("body_idle", duration(*body_idle)),
            ]),
        ),
        ("max_idle_connections", Tree::plain(max_idle_connections)),
        ("health", health_tree(health)),
        ("shadow", shadow.as_ref().map_or(Tree::Absent, shadow_tree)),
    ])
}

/// Settings hold what the files say, not where they are.
fn tls_tree(tls: &UpstreamTls) -> Tree {
    let UpstreamTls {
        trust,
        server_name,
        identity,
    } = tls;
    let file = || Tree::text(HIDDEN);
    let (authorities, anyone) = match trust {
        Trust::System => (Tree::Absent, Tree::Absent),
        Trust::Only(_) => (file(), Tree::Absent),
        Trust::Anyone => (Tree::Absent, Tree::plain(true)),
    };
    let (certificate, key) = match identity {
        None => (Tree::Absent, Tree::Absent),
        Some(Identity { chain: _, key: _ }) => (file(), file()),
    };
    let server_name = server_name.as_ref().map(ServerName::to_str);
    map([
        ("ca_file", authorities),
        ("server_name", server_name.map_or(Tree::Absent, Tree::text)),
        ("cert_file", certificate),
        ("key_file", key),
        ("insecure_skip_verify", anyone),
    ])
}

fn health_tree(health: &HealthCheck) -> Tree {
    let HealthCheck {
        path,
        interval,
        timeout,
        gates_readiness,
    } = health;
    map([
        ("path", Tree::text(path)),
        ("interval", duration(*interval)),
        ("timeout", duration(*timeout)),
        ("gates_readiness", Tree::plain(gates_readiness)),
    ])
}

fn shadow_tree(shadow: &Shadow) -> Tree {
    let until = humantime::format_rfc3339(shadow.until());
    map([
        ("until", Tree::text(until)),
        ("tenants_see_each_other", Tree::plain(true)),
        ("compare", Tree::plain(shadow.compare())),
    ])
}

fn credentials_tree(credentials: &Credentials) -> Tree {
    match credentials {
        Credentials::None => Tree::Absent,
        Credentials::Bearer(token) => map([("bearer_token", Tree::secret(token))]),
        Credentials::Basic { username, password } => map([(
            "basic",
            map([
                ("username", Tree::text(username)),
                ("password", Tree::secret(password)),
            ]),
        )]),
        Credentials::ForwardToken => map([("forward_token", Tree::plain(true))]),
    }
}
