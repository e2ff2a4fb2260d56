//! Where upstreams are reached, their TLS and their health.

use super::super::settings::{Identity, Trust, Upstream};
use super::{Fake, minimal_but, only, settings_of};

const URL: &str = "    url: http://127.0.0.1:10902\n";

fn with(lines: &str) -> String {
    minimal_but(URL, &format!("    url: https://thanos\n{lines}"))
}

fn message(text: &str) -> String {
    let error = super::error_of(text);
    error.split_once(": ").unwrap().1.to_owned()
}

/// Upstreams, given as YAML, next to a default Prometheus.
fn beside(upstreams: &[&str]) -> String {
    let lines = |upstream: &&str| format!("  - {upstream}\n");
    let all: String = upstreams.iter().map(lines).collect();
    minimal_but(URL, &format!("{URL}{all}"))
}

fn upstream(text: &str) -> Upstream {
    settings_of(text).upstreams.swap_remove(0)
}

#[test]
fn prefixes() {
    for prefix in ["/eu", "/clusters/eu", "/a.b-c_d~e/F", "/graph"] {
        let upstream = upstream(&with(&format!("    path_prefix: {prefix}\n")));
        assert_eq!(upstream.path_prefix.as_deref(), Some(prefix));
    }
    for prefix in [
        "eu", "/", "/eu/", "//eu", "/eu//x", "/./eu", "/eu/..", "/e%75", "/e u", "/é",
    ] {
        let error = message(&with(&format!("    path_prefix: {prefix}\n")));
        assert!(
            error.contains("must be like /clusters/eu"),
            "{prefix}: {error}"
        );
    }
    for prefix in [
        "/api",
        "/api/v1",
        "/API",
        "/federate",
        "/metrics/eu",
        "/-/eu",
        "/ready",
        "/status",
        "/querier/eu",
        "/debug",
    ] {
        let error = message(&with(&format!("    path_prefix: {prefix}\n")));
        assert!(error.contains("a path of the APIs"), "{prefix}: {error}");
    }
}

#[test]
fn hosts() {
    let upstream = upstream(&with("    hosts: [Eu.Example.com, 10.0.0.1]\n"));
    assert_eq!(
        upstream.hosts,
        ["eu.example.com", "10.0.0.1"].map(Box::<str>::from)
    );
    for host in [
        "eu.example.com:80",
        "http://eu",
        "eu.",
        "'*.example.com'",
        "a b",
        "'[::1]'",
    ] {
        let error = message(&with(&format!("    hosts: [{host}]\n")));
        assert!(error.contains("must be a host name"), "{host}: {error}");
    }
    assert_eq!(
        message(&with("    hosts: []\n")),
        "upstreams[0].hosts: must not be empty"
    );
}

#[test]
fn two_upstreams_of_one_api_need_different_prefixes_or_hosts() {
    for (upstreams, error) in [
        (
            &[
                "{name: a, api: prometheus, url: http://a, path_prefix: /eu}",
                "{name: b, api: prometheus, url: http://b, path_prefix: /EU}",
            ][..],
            "upstreams[2].path_prefix: upstreams of one api must not share a path_prefix, unless \
             they differ in hosts; the first is in line 8",
        ),
        (
            &[
                "{name: a, api: prometheus, url: http://a, hosts: [x, eu]}",
                "{name: b, api: prometheus, url: http://b, hosts: [EU]}",
            ],
            "upstreams[2].hosts[0]: upstreams of one api must not share a host, unless they differ \
             in path_prefix; the first is in line 8",
        ),
        (
            &["{name: a, api: prometheus, url: http://a, hosts: [eu, eu]}"],
            "upstreams[1].hosts[1]: upstreams of one api must not share a host, unless they differ \
             in path_prefix; the first is in line 8",
        ),
    ] {
        assert_eq!(message(&beside(upstreams)), error);
    }
    let good = beside(&[
        "{name: a, api: prometheus, url: http://a, path_prefix: /eu}",
        "{name: b, api: prometheus, url: http://b, path_prefix: /eu, hosts: [x]}",
        "{name: c, api: prometheus, url: http://c, path_prefix: /us, hosts: [x]}",
        "{name: d, api: prometheus, url: http://d, hosts: [x]}",
        "{name: e, api: tempo, url: http://e, path_prefix: /eu}",
        "{name: f, api: tempo, url: http://f, path_prefix: /us, hosts: [x]}",
    ]);
    let good = good.replace(
        "tenancy:\n",
        "tenancy:\n  traces: {attribute: resource.t}\n",
    );
    assert_eq!(settings_of(&good).upstreams.len(), 7);
}

/// The checks of tenancy apply to upstreams with a prefix or host too.
#[test]
fn bound_upstream_needs_a_label_too() {
    let bound = with("    path_prefix: /eu\n").replace("  metrics:\n    label: tenant_id\n", "");
    assert_eq!(message(&bound), "tenancy.metrics.label: is required");
    let tempo = bound.replace("api: prometheus", "api: tempo");
    assert_eq!(message(&tempo), "tenancy.traces.attribute: is required");
}

#[test]
fn passthrough_upstream_must_be_unbound() {
    let bound = "{name: a, api: prometheus, url: http://a, path_prefix: /eu}";
    let named = beside(&[bound]) + "passthrough: {upstream: a}\n";
    assert_eq!(
        message(&named),
        "passthrough.upstream: must be an upstream without path_prefix and hosts: the others take \
         what lies below their own"
    );
    let first_is_bound = minimal_but(
        URL,
        "    url: http://a\n    hosts: [eu]\n  - {name: b, api: prometheus, url: http://b}\n",
    );
    assert_eq!(
        settings_of(&first_is_bound).passthrough.upstream.as_deref(),
        Some("b")
    );
    let all_are_bound = with("    path_prefix: /eu\n");
    assert_eq!(settings_of(&all_are_bound).passthrough.upstream, None);
}

fn pem(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn tls() {
    let (ca, _) = pem("ca");
    let (certificate, key) = pem("client");
    let text =
        with("    tls: {ca_file: ca, server_name: thanos.svc, cert_file: crt, key_file: key}\n");
    let settings = Fake::config(&text)
        .file("/etc/ca", ca.clone() + &certificate)
        .file("/etc/crt", certificate.clone() + &ca)
        .file("/etc/key", key.clone())
        .load()
        .unwrap();
    let tls = &settings.upstreams[0].tls;
    assert!(matches!(&tls.trust, Trust::Only(certificates) if certificates.len() == 2));
    assert!(matches!(&tls.identity, Some(Identity { chain, .. }) if chain.certificates.len() == 2));
    let shown = format!("{settings:?}");
    assert!(
        shown.contains("key: ***") && !shown.contains("PRIVATE"),
        "{shown}"
    );

    let (_, other) = pem("other");
    let cut = key.replace("-----END", "-----");
    for (tls, key, error) in [
        (
            "{ca_file: ca, insecure_skip_verify: true}",
            &key,
            "insecure_skip_verify: with it no certificate is verified, so ca_file has no effect: \
             leave out one of the two",
        ),
        (
            "{insecure_skip_verify: false}",
            &key,
            "insecure_skip_verify: can only be true: leave out the key instead",
        ),
        ("{cert_file: crt}", &key, "key_file: is required"),
        ("{key_file: key}", &key, "cert_file: is required"),
        (
            "{server_name: 'a b'}",
            &key,
            "server_name: must be a DNS name or an IP address",
        ),
        (
            "{cert_file: crt, key_file: key}",
            &other,
            "key_file: the key does not match the first certificate in cert_file",
        ),
        (
            "{cert_file: crt, key_file: key}",
            &cut,
            "key_file: the file /etc/key is not well-formed PEM",
        ),
        (
            "{cert_file: crt, key_file: crt}",
            &key,
            "key_file: the file /etc/crt holds no PEM private key",
        ),
        (
            "{cert_file: key, key_file: key}",
            &key,
            "cert_file: the file /etc/key holds no PEM certificate",
        ),
        (
            "{ca_file: none}",
            &key,
            "ca_file: the file /etc/none cannot be read: entity not found",
        ),
    ] {
        let errors = Fake::config(&with(&format!("    tls: {tls}\n")))
            .file("/etc/ca", ca.clone())
            .file("/etc/crt", certificate.clone())
            .file("/etc/key", key.clone())
            .load();
        let found = only(errors.unwrap_err());
        let (_, found) = found.split_once("upstreams[0].tls.").unwrap();
        assert_eq!(found, error, "{tls}");
    }
}

#[test]
fn health() {
    for path in ["ready", "''", "/a b", "/a#b", "http://x/"] {
        let error = message(&with(&format!("    health: {{path: {path}}}\n")));
        assert!(
            error.starts_with("upstreams[0].health.path: must"),
            "{path}: {error}"
        );
    }
    let error = message(&with("    health: {interval: 0s}\n"));
    assert_eq!(
        error,
        "upstreams[0].health.interval: must be longer than zero"
    );
}

fn cluster(name: &str, api: &str, more: &str) -> String {
    format!("{{name: {name}, api: {api}, url: 'http://x', {more}}}")
}

#[test]
fn cluster_is_reached_by_its_name() {
    let eu = cluster("eu", "prometheus", "cluster: eu");
    let all = settings_of(&beside(&[&eu])).upstreams;
    assert_eq!(all[1].cluster.as_deref(), Some("eu"));
    assert_eq!(all[1].path_prefix.as_deref(), Some("/clusters/eu"));
    assert!(!all[1].is_default());
    // Names are reserved only if there are any.
    let prefix = cluster("p", "prometheus", "path_prefix: /clusters/us");
    assert!(Fake::config(&beside(&[&prefix])).load().is_ok());
}

#[test]
fn invalid_clusters_are_refused() {
    let eu = cluster("eu", "prometheus", "cluster: eu");
    for (second, expected) in [
        (
            "cluster: eu",
            "a cluster has one upstream of each api at most",
        ),
        (
            "cluster: eu, hosts: [x]",
            "a cluster has one upstream of each api at most",
        ),
        ("cluster: EU", "must be made of a-z"),
        ("cluster: a/b", "must be made of a-z"),
        (
            "cluster: us, path_prefix: /us",
            "cannot be combined with `cluster`",
        ),
        (
            "path_prefix: /clusters/us",
            "is where upstreams are reached by their `cluster`",
        ),
        (
            "path_prefix: /Clusters",
            "is where upstreams are reached by their `cluster`",
        ),
    ] {
        let second = cluster("second", "prometheus", second);
        let error = message(&beside(&[&eu, &second]));
        assert!(error.contains(expected), "{second}: {error}");
    }
}

#[test]
fn rules_grant_only_existing_clusters() {
    let rules = |upstreams: &[&str], clusters: &str| {
        let tenancy = format!("  claim: tenant_id\n  clusters: {clusters}\n");
        beside(upstreams).replace("  claim: tenant_id\n", &tenancy)
    };
    let eu = cluster("eu", "prometheus", "cluster: eu");
    let when = "when: {claim: groups, values: [x]}";
    for good in [
        "{claim: sites}".to_owned(),
        format!("{{rules: [{{{when}, clusters: [eu]}}, {{all_clusters: true}}]}}"),
        "{claim: sites, map: {frankfurt: [eu]}}".to_owned(),
    ] {
        let settings = settings_of(&rules(&[&eu], &good));
        assert!(settings.tenancy.clusters.is_some(), "{good}");
    }
    for (bad, expected) in [
        (
            "{rules: [{clusters: [us]}]}",
            "\"us\" is not the `cluster` of an upstream",
        ),
        (
            "{claim: sites, map: {x: us}}",
            "\"us\" is not the `cluster` of an upstream",
        ),
        (
            "{rules: [{tenants: [eu]}]}",
            "`claim`, `clusters` and `all_clusters`",
        ),
        (
            "{rules: [{all_tenants: true}]}",
            "`claim`, `clusters` and `all_clusters`",
        ),
        ("{}", "one of `claim` and `rules` is required"),
    ] {
        let errors = Fake::config(&rules(&[&eu], bad)).load().unwrap_err();
        let errors = errors.join("\n");
        assert!(errors.contains(expected), "{bad}: {errors}");
    }
    let error = message(&rules(&[], "{claim: sites}"));
    assert!(error.contains("no upstream has a `cluster`"), "{error}");
}
