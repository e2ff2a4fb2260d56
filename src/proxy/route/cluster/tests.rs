use std::sync::LazyLock;

use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Version};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::config::{OsAccess, load};
use crate::proxy::pipeline::Received;
use crate::proxy::route::Target;
use crate::proxy::snapshot::Snapshot;

/// Runs the health checks of the upstreams, which do not exist.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Upstreams are given as YAML; their addresses are their names.
fn snapshot(upstreams: &[&str]) -> Snapshot {
    let lines = upstreams.iter().fold(String::new(), |lines, upstream| {
        lines + "  - {url: 'http://127.0.0.1:1', " + upstream + "}\n"
    });
    let config = format!(
        "\
listeners: [{{address: 127.0.0.1:1}}]
upstreams:
{lines}tokens:
  issuers:
    - issuer: https://sso.example.com
      audiences: [grafana]
      algorithms: [HS256]
      hmac_secret: 0123456789abcdef0123456789abcdef
tenancy: {{claim: t, metrics: {{label: t}}, traces: {{attribute: resource.t}}}}
"
    );
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("partywall.yaml");
    std::fs::write(&path, config).unwrap();
    let _guard = RUNTIME.enter();
    Snapshot::build(load(&path, &OsAccess).unwrap(), None).unwrap()
}

fn request(host: &str, target: &str, content_type: &str) -> Option<Request<()>> {
    Request::builder()
        .version(Version::HTTP_11)
        .method(if content_type.is_empty() {
            Method::GET
        } else {
            Method::POST
        })
        .uri(target)
        .header(HOST, host)
        .header(CONTENT_TYPE, content_type)
        .body(())
        .ok()
}

/// The upstream of a request, its target, and the forwarded request target; or the reason of the
/// refusal.
fn routed(
    snapshot: &Snapshot,
    request: Request<()>,
) -> Result<(String, Target, String), &'static str> {
    let routed = Received::new(snapshot.rules(), request).and_then(Received::route);
    let routed = routed.map_err(|error| error.reason().label())?;
    let route = routed.route();
    let upstream = route.upstream.as_ref();
    Ok((
        upstream.map_or_else(String::new, |upstream| upstream.name().to_string()),
        route.target.clone(),
        routed.head().uri.to_string(),
    ))
}

fn upstream_of(snapshot: &Snapshot, host: &str, target: &str) -> Result<String, &'static str> {
    routed(snapshot, request(host, target, "").unwrap()).map(|(name, ..)| name)
}

const QUERY: &str = "/api/v1/query?query=up";
const SEARCH: &str = "/api/search?q=%7B%7D";

fn several() -> Snapshot {
    snapshot(&[
        "name: prom, api: prometheus",
        "name: tempo, api: tempo",
        "name: prom-eu, api: prometheus, path_prefix: /clusters/eu",
        "name: tempo-eu, api: tempo, path_prefix: /clusters/eu",
        "name: prom-west, api: prometheus, path_prefix: /clusters/eu/west",
        "name: tempo-asia, api: tempo, path_prefix: /asia",
        "name: prom-host, api: prometheus, hosts: [us.example.com, us2]",
        "name: prom-host-eu, api: prometheus, hosts: [us.example.com], path_prefix: /clusters/eu",
    ])
}

#[test]
fn longest_prefix_wins_then_the_host() {
    let snapshot = several();
    for (host, target, expected) in [
        ("x", QUERY.to_owned(), Ok("prom")),
        ("x", SEARCH.to_owned(), Ok("tempo")),
        ("x", format!("/clusters/eu{QUERY}"), Ok("prom-eu")),
        ("x", format!("/clusters/eu{SEARCH}"), Ok("tempo-eu")),
        ("x", format!("/clusters/eu/west{QUERY}"), Ok("prom-west")),
        ("x", format!("/clusters/eu/west{SEARCH}"), Ok("prom-west")),
        ("x", format!("/asia{SEARCH}"), Ok("tempo-asia")),
        ("x", format!("/asia{QUERY}"), Ok("tempo-asia")),
        ("us.example.com", QUERY.to_owned(), Ok("prom-host")),
        ("US.example.com.:8443", QUERY.to_owned(), Ok("prom-host")),
        ("us2", QUERY.to_owned(), Ok("prom-host")),
        ("us.example.com", SEARCH.to_owned(), Ok("tempo")),
        (
            "us.example.com",
            format!("/clusters/eu{QUERY}"),
            Ok("prom-host-eu"),
        ),
        ("us2", format!("/clusters/eu{QUERY}"), Ok("prom-eu")),
        (
            "us.example.com",
            format!("/clusters/eu{SEARCH}"),
            Ok("tempo-eu"),
        ),
        // Pass-through goes to the upstream of the cluster's metrics, otherwise of its traces,
        // which has no such paths.
        ("x", "/graph".to_owned(), Ok("prom")),
        ("us2", "/graph".to_owned(), Ok("prom-host")),
        ("us2", "/clusters/eu/graph".to_owned(), Ok("prom-eu")),
        ("x", "/clusters/eu/west".to_owned(), Ok("prom-west")),
        ("x", "/asia/graph".to_owned(), Ok("tempo-asia")),
    ] {
        let found = upstream_of(&snapshot, host, &target);
        assert_eq!(
            found.as_deref().map_err(|e| *e),
            expected,
            "{host} {target}"
        );
    }
}

#[test]
fn prefix_is_stripped_and_the_rest_is_unmodified() {
    let snapshot = several();
    for (target, expected) in [
        ("/clusters/eu", "/"),
        ("/clusters/eu?a=/clusters/eu", "/?a=/clusters/eu"),
        ("/clusters/eu/", "/"),
        ("/clusters/eu/graph/", "/graph/"),
        ("/clusters/eu/a%20b?c=%2F", "/a%20b?c=%2F"),
        ("/clusters/eu/clusters/eu/x", "/clusters/eu/x"),
        ("http://x/clusters/eu/x", "http://x/x"),
        ("/clusters/europe/x", "/clusters/europe/x"),
        ("/clusters/x", "/clusters/x"),
    ] {
        let (_, target_type, sent) = routed(&snapshot, request("x", target, "").unwrap()).unwrap();
        assert_eq!(sent, expected, "{target}");
        assert_eq!(target_type, Target::PassThrough, "{target}");
    }
    let target = routed(&snapshot, request("x", "/asia/graph", "").unwrap())
        .unwrap()
        .1;
    assert!(
        matches!(target, Target::Closed(_)),
        "a Tempo has no web pages: {target:?}"
    );
}

/// What a server may read as another cluster's path reaches no cluster.
#[test]
fn prefix_in_another_spelling_is_refused() {
    let snapshot = several();
    for target in [
        "/clusters/eu/../us/api/v1/query",
        "/clusters/eu/%2e%2e/%2e%2e/api/v1/query",
        "/clusters/eu/..%2f..%2fapi/v1/query",
        "/clusters/us/../eu/graph",
        "/clusters/./eu/graph",
        "/%63lusters/eu/graph",
        "/clusters%2feu/graph",
        "/clusters%2Feu/graph",
        "/clusters/%65u/api/v1/query",
        "/clusters/%2565u/graph",
        "//clusters/eu/graph",
        "/clusters//eu/graph",
        "/clusters/eu;x/graph",
        "/clusters;x/eu/graph",
        "/Clusters/EU/graph",
        "/clusters/EU",
        "/clusters/eu/West/graph",
        "/clusters/eu/%77est/graph",
        "/clusters/eu//west/graph",
        "/clusters/eu%3f/graph",
    ] {
        assert_eq!(upstream_of(&snapshot, "x", target), Err("path"), "{target}");
    }
    // Empty segments before a call are the same path to every store.
    for target in ["/clusters/eu/api//v1/query", "/clusters/eu//api/v1/query"] {
        assert_eq!(
            upstream_of(&snapshot, "x", target),
            Ok("prom-eu".to_owned()),
            "{target}"
        );
    }
}

#[test]
fn without_a_default_only_bound_hosts_and_prefixes_are_served() {
    let snapshot = snapshot(&[
        "name: prom-eu, api: prometheus, hosts: [eu]",
        "name: prom-us, api: prometheus, path_prefix: /us",
        "name: tempo-us, api: tempo, path_prefix: /us, hosts: [us]",
    ]);
    for (host, target, expected) in [
        ("eu", QUERY.to_owned(), Ok("prom-eu")),
        ("eu", "/graph".to_owned(), Ok("prom-eu")),
        ("x", QUERY.to_owned(), Err("no_upstream")),
        ("x", SEARCH.to_owned(), Err("no_upstream")),
        ("x", "/graph".to_owned(), Err("no_upstream")),
        ("x", "/metrics".to_owned(), Err("no_upstream")),
        ("", QUERY.to_owned(), Err("no_upstream")),
        ("x", format!("/us{QUERY}"), Ok("prom-us")),
        ("us", format!("/us{SEARCH}"), Ok("tempo-us")),
        ("eu", format!("/us{SEARCH}"), Ok("prom-us")),
    ] {
        let found = upstream_of(&snapshot, host, &target);
        assert_eq!(
            found.as_deref().map_err(|e| *e),
            expected,
            "{host} {target}"
        );
    }
}

/// gRPC has no prefix: a call is served only if exactly one upstream can be meant.
#[test]
fn grpc_is_routed_by_host_or_refused() {
    const CALL: &str = "/tempopb.StreamingQuerier/Search";
    let called = |snapshot: &Snapshot, host: &str, target: &str| {
        let request = request(host, target, "application/grpc").unwrap();
        routed(snapshot, request).map(|(name, target, _)| {
            assert!(matches!(target, Target::Grpc(_)), "{target:?}");
            name
        })
    };
    let eu = "name: eu, api: tempo, path_prefix: /clusters/eu";
    let only = snapshot(&[eu]);
    assert_eq!(called(&only, "x", CALL), Ok("eu".to_owned()));

    let default = "name: default, api: tempo";
    for upstreams in [
        [default, eu],
        [eu, "name: us, api: tempo, path_prefix: /clusters/us"],
    ] {
        let ambiguous = snapshot(&upstreams);
        assert_eq!(called(&ambiguous, "x", CALL), Err("ambiguous_cluster"));
        let stated = called(&ambiguous, "x", &format!("/clusters/eu{CALL}"));
        assert_eq!(
            stated,
            Ok("eu".to_owned()),
            "a client that keeps the prefix is plain"
        );
    }

    let by_host = snapshot(&[
        default,
        "name: eu, api: tempo, path_prefix: /clusters/eu, hosts: [eu]",
        "name: us, api: tempo, hosts: [us]",
        "name: us-west, api: tempo, hosts: [us], path_prefix: /west",
    ]);
    assert_eq!(called(&by_host, "x", CALL), Ok("default".to_owned()));
    assert_eq!(called(&by_host, "EU:443", CALL), Ok("eu".to_owned()));
    assert_eq!(called(&by_host, "us", CALL), Err("ambiguous_cluster"));

    let bound = snapshot(&["name: eu, api: tempo, hosts: [eu]"]);
    assert_eq!(called(&bound, "x", CALL), Err("no_upstream"));
    assert_eq!(called(&bound, "eu", CALL), Ok("eu".to_owned()));
}

/// A path as a client might write it, canonical or not.
fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        4 => prop::sample::select(&[
            "api", "v1", "v2", "query", "label", "x", "values", "search", "tag", "tags", "traces",
            "0abc", "federate", "metrics", "-", "ready", "reload", "status", "buildinfo", "graph",
            "echo", "querier", "debug", "tempopb.StreamingQuerier", "Search", "admin", "write",
        ][..]).prop_map(str::to_owned),
        1 => prop::sample::select(&[
            "", ".", "..", "%2e%2e", "%2E", "a%2fb", "%61pi", "%2561pi", "API", "x;y", "a\\b",
            "%5c", "%00", "%zz", "%", "*", "%C3%A9", "%25252525252e",
        ][..]).prop_map(str::to_owned),
        1 => "[!-~&&[^#?/]]{0,4}",
    ];
    prop::collection::vec(segment, 1..6).prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// What holds at the root holds below a prefix: the same target, the same API, the same
    /// forwarded path, the same refusal.
    #[test]
    fn routing_below_a_prefix_equals_routing_at_the_root(
        path in path(),
        query in prop::sample::select(&["", "?query=up", "?a=/clusters/eu"][..]),
        content_type in prop::sample::select(&["", "application/grpc"][..]),
        both in any::<bool>(),
    ) {
        static TABLES: LazyLock<[[Snapshot; 2]; 2]> = LazyLock::new(|| {
            let prometheus = "name: p, api: prometheus";
            let tempo = "name: t, api: tempo";
            let below = |upstream: &str| format!("{upstream}, path_prefix: /clusters/eu");
            let (prometheus_below, tempo_below) = (below(prometheus), below(tempo));
            [
                [snapshot(&[prometheus]), snapshot(&[&prometheus_below])],
                [
                    snapshot(&[prometheus, tempo]),
                    snapshot(&[&prometheus_below, &tempo_below]),
                ],
            ]
        });
        let [root, below] = &TABLES[usize::from(both)];
        let at_root = request("x", &format!("{path}{query}"), content_type);
        let prefixed = request("x", &format!("/clusters/eu{path}{query}"), content_type);
        if let (Some(at_root), Some(prefixed)) = (at_root, prefixed) {
            prop_assert_eq!(routed(root, at_root), routed(below, prefixed));
        }
    }
}
