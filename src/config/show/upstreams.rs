//! `upstreams`.

use super::tree::{Tree, list, map};
use super::{duration, path};
use crate::config::settings::{Api, BaseUrl, Credentials, Upstream, UpstreamTimeouts};

pub(super) fn upstream(upstream: &Upstream) -> Tree {
    let Upstream {
        name,
        api,
        url:
            BaseUrl {
                https,
                authority,
                path: base_path,
            },
        ca_file,
        credentials,
        open_to_admins,
        timeouts:
            UpstreamTimeouts {
                connect,
                response_head,
                body_idle,
            },
        max_idle_connections,
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
        ("ca_file", ca_file.as_deref().map_or(Tree::Absent, path)),
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
