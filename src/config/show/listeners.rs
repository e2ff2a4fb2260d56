//! `listeners`.

use super::HIDDEN;
use super::tree::{Tree, list, map};
use crate::config::settings::{Admin, CertificateChain, ClientCertificates, Listener, ListenerTls};

pub(super) fn listener(listener: &Listener) -> Tree {
    let Listener { address, tls } = listener;
    map([
        ("address", Tree::text(address)),
        ("tls", tls.as_ref().map_or(Tree::Absent, tls_tree)),
    ])
}

pub(super) fn admin(admin: &Admin) -> Tree {
    let Admin { address, hosts } = admin;
    map([
        ("address", Tree::text(address)),
        (
            "hosts",
            match &**hosts {
                [] => Tree::Absent,
                hosts => list(hosts, Tree::text),
            },
        ),
    ])
}

/// Settings hold what the files say, not where they are.
fn tls_tree(tls: &ListenerTls) -> Tree {
    let ListenerTls {
        certificates:
            CertificateChain {
                certificates: _,
                expires: _,
            },
        key: _,
        clients,
    } = tls;
    let file = || Tree::text(HIDDEN);
    let (authorities, requirement) = match clients {
        None => (Tree::Absent, Tree::Absent),
        Some(ClientCertificates {
            authorities: _,
            required,
        }) => {
            let requirement = if *required { "required" } else { "optional" };
            (file(), Tree::text(requirement))
        }
    };
    map([
        ("cert_file", file()),
        ("key_file", file()),
        ("client_ca_file", authorities),
        ("client_certificates", requirement),
    ])
}
