//! K: several clusters behind one address. Whatever path or host a request names, it reaches the
//! cluster that it names or none, and there it is confined and signed as that cluster's.

use crate::kit::grpc::{Call, call};
use crate::kit::raw::{RawAnswer, exchange};
use crate::kit::rig::{ACME, Rig};
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::upstream::Upstream;

/// The default; below `/eu`, below `/eu/west`; for `us.test`; for `us.test` below `/eu`.
struct Clusters {
    rig: Rig,
    others: Vec<(&'static str, Upstream)>,
}

const PLACES: [(&str, &str); 4] = [
    ("eu", "path_prefix: /eu"),
    ("west", "path_prefix: /eu/west"),
    ("us", "hosts: [us.test]"),
    ("us-eu", "path_prefix: /eu, hosts: [us.test]"),
];

impl Clusters {
    async fn start() -> Self {
        let mut others = Vec::new();
        for (name, _) in PLACES {
            others.push((name, Upstream::start().await));
        }
        let rig = Rig::start(|config, _| {
            config.credentials = "{bearer_token: of-default}".to_owned();
            for ((name, place), (_, upstream)) in PLACES.iter().zip(&others) {
                let url = &upstream.url;
                config.more.push(format!(
                    "{{name: {name}, api: prometheus, url: '{url}', {place}, \
                     credentials: {{bearer_token: of-{name}}}}}"
                ));
            }
        })
        .await;
        Self { rig, others }
    }

    /// `lines` are all header lines but the token.
    async fn get(&self, target: &str, lines: &str) -> RawAnswer {
        let text = format!(
            "GET {target} HTTP/1.1\r\n{lines}\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\n\r\n",
            *ACME
        );
        exchange(
            self.rig.url().trim_start_matches("http://"),
            text.as_bytes(),
        )
        .await
    }

    /// Who was asked since the last call. Fails where one was shown what is another's, or was
    /// asked for more than is the tenant's.
    fn asked(&self, what: &str) -> Vec<&'static str> {
        let all = self.others.iter().map(|(name, upstream)| (*name, upstream));
        let mut asked = Vec::new();
        for (name, upstream) in all.chain([("default", &self.rig.upstream)]) {
            for seen in upstream.take() {
                let expected = format!("Bearer of-{name}");
                assert_eq!(seen.header("authorization"), Some(&*expected), "{what}");
                assert_eq!(seen.path(), "/api/v1/query", "{what}");
                assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#], "{what}");
                asked.push(name);
            }
        }
        asked
    }
}

#[tokio::test]
async fn k1_a_path_is_below_a_prefix_or_it_is_not() {
    let clusters = Clusters::start().await;
    let query = "api/v1/query?query=up";
    for (path, expected) in [
        ("/", Some("default")),
        ("/eu/", Some("eu")),
        ("/eu/west/", Some("west")),
    ] {
        let what = format!("{path}{query}");
        let answer = clusters.get(&what, "Host: x").await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        assert_eq!(clusters.asked(&what), Vec::from_iter(expected), "{what}");
    }
    // What some server may take for another cluster's reaches none.
    for path in [
        "//eu/",
        "/eu//west/",
        "/EU/",
        "/Eu/west/",
        "/eu/WEST/",
        "/%65u/",
        "/e%75/",
        "/eu%2f",
        "/eu%2fwest/",
        "/eu/%77est/",
        "/eu/w%65st/",
        "/eu%252fwest/",
        "/./eu/",
        "/eu/../",
        "/eu/west/../",
        "/eu/west/../../",
        "/x/../eu/",
        "/eu/%2e%2e/",
        "/eu/.%2e/west/",
        "/eu/%2e/west/",
        "/eu\\",
        "\\eu/",
        "/eu\\west/",
        "/eu;x/",
        "/eu;/west/",
        "/eu/;/",
        "/;/eu/",
        "/eu%3b/",
        "/eu%20/",
        "/eu%00/",
        "/eu%0a/",
        "/eu%09west/",
        "/eu2/",
        "/e/",
        "/xeu/",
        "/eu.west/",
        "/eu-west/",
        "/eu/wes/",
        "/eu/west2/",
        "/west/",
        "/eu/eu/",
        "/eu/west/west/",
        "/eu/west/eu/",
        "/eu%3f/",
        "/eu%23/",
        "/\u{ff45}u/",
    ] {
        let what = format!("{path}{query}");
        let answer = clusters.get(&what, "Host: x").await;
        let asked = clusters.asked_or_passed(&what);
        let is_refused = matches!(answer.status, 400 | 403 | 404);
        assert!(
            is_refused && asked.is_empty(),
            "{what}: {asked:?} {answer:?}"
        );
    }
}

/// Outside the data APIs a path is not rewritten, so nothing but its cluster can be got wrong.
#[tokio::test]
async fn k1_pages_are_of_one_cluster_too() {
    let clusters = Clusters::start().await;
    for (path, expected) in [
        ("/graph", ["/graph reached default as /graph"]),
        ("/eu/graph", ["/eu/graph reached eu as /graph"]),
        ("/eu/west/graph", ["/eu/west/graph reached west as /graph"]),
        ("/eu2/graph", ["/eu2/graph reached default as /eu2/graph"]),
        ("/e/graph", ["/e/graph reached default as /e/graph"]),
        (
            "/eu.west/graph",
            ["/eu.west/graph reached default as /eu.west/graph"],
        ),
        (
            "/eu/west2/graph",
            ["/eu/west2/graph reached eu as /west2/graph"],
        ),
    ] {
        let answer = clusters.get(path, "Host: x").await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(clusters.asked_or_passed(path), expected);
    }
    for path in [
        "/EU/graph",
        "//eu/graph",
        "/%65u/graph",
        "/eu;x/graph",
        "/eu%2fgraph",
        "/eu\\graph",
        "/eu/WEST/graph",
        "/eu//west/graph",
        "/eu/%77est/graph",
        "/eu/../graph",
    ] {
        let answer = clusters.get(path, "Host: x").await;
        let asked = clusters.asked_or_passed(path);
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(asked.is_empty(), "{asked:?}");
    }
}

impl Clusters {
    /// The same, where a page may have passed through.
    fn asked_or_passed(&self, what: &str) -> Vec<String> {
        let all = self.others.iter().map(|(name, upstream)| (*name, upstream));
        let mut asked = Vec::new();
        for (name, upstream) in all.chain([("default", &self.rig.upstream)]) {
            for seen in upstream.take() {
                asked.push(format!("{what} reached {name} as {}", seen.target));
            }
        }
        asked
    }
}

#[tokio::test]
async fn k2_a_host_is_said_once_and_read_once() {
    let clusters = Clusters::start().await;
    let query = "/api/v1/query?query=up";
    for (target, lines, expected) in [
        (query, "Host: us.test", "us"),
        (query, "Host: US.TEST", "us"),
        (query, "Host: us.test:8443", "us"),
        (query, "Host: us.test.", "us"),
        ("/eu/api/v1/query?query=up", "Host: us.test", "us-eu"),
        ("/eu/west/api/v1/query?query=up", "Host: us.test", "west"),
        ("/eu/api/v1/query?query=up", "Host: x", "eu"),
        // An absolute target is what counts (RFC 9112 §3.2.2).
        ("http://us.test/api/v1/query?query=up", "Host: x", "us"),
        ("http://x/api/v1/query?query=up", "Host: us.test", "default"),
        // Names that are not it.
        (query, "Host: xus.test", "default"),
        (query, "Host: us.test.evil", "default"),
        (query, "Host: us", "default"),
        (query, "Host: x\r\nX-Forwarded-Host: us.test", "default"),
        (query, "Host: x\r\nForwarded: host=us.test", "default"),
        (query, "Host: x\r\nX-Host: us.test", "default"),
    ] {
        let what = format!("{target} {lines}");
        let answer = clusters.get(target, lines).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        assert_eq!(clusters.asked(&what), [expected], "{what}");
    }
    for lines in [
        "Host: us.test\r\nHost: x",
        "Host: x\r\nHost: us.test",
        "Host: us.test, x",
        "Host: us.test x",
        "Host: x@us.test",
        "Host: us.test@x",
        "Host: us.test:80:80",
        "Host: us.test/",
        "Host: us.test/x",
        "Host: us.test?x",
        "Host: us.test\\x",
        "Host: us.test\0",
        "Host : us.test",
        "X: y",
    ] {
        let answer = clusters.get(query, lines).await;
        let asked = clusters.asked_or_passed(lines);
        assert_eq!(answer.status, 400, "{lines}: {answer:?}");
        assert!(asked.is_empty(), "{lines}: {asked:?}");
    }
}

const SEARCH: &str = "/tempopb.StreamingQuerier/SearchTagsV2";

/// A stream names its cluster by host alone; one that names none of several gets no answer.
#[tokio::test]
async fn k3_grpc_reaches_the_cluster_that_it_names_or_none() {
    let (default, eu) = (TempoUpstream::start().await, TempoUpstream::start().await);
    let rig = Rig::start(|config, _| {
        config.tenancy = "claim: tenant_id\n  traces: {attribute: resource.tenant_id}".to_owned();
        config.more = vec![
            format!("{{name: tempo, api: tempo, url: '{}'}}", default.url),
            format!(
                "{{name: eu, api: tempo, url: '{}', path_prefix: /eu}}",
                eu.url
            ),
        ];
    })
    .await;
    let to = |path: &str| {
        let mut to = Call::framed(SEARCH, vec![0; 5].into());
        to.path = path.to_owned();
        to
    };
    for path in [
        SEARCH.to_owned(),
        format!("//eu{SEARCH}"),
        format!("/EU{SEARCH}"),
        format!("/eu/{SEARCH}"),
        format!("/%65u{SEARCH}"),
        format!("/eu/..{SEARCH}"),
        format!("/eu;x{SEARCH}"),
        format!("/eu2{SEARCH}"),
        format!("/eu/eu{SEARCH}"),
    ] {
        let answer = call(&rig.url(), &to(&path), Some(&ACME)).await;
        assert_ne!(answer.code(), 0, "{path}: {answer:?}");
        let asked = (default.take().len(), eu.take().len());
        assert_eq!(asked, (0, 0), "{path} reached a cluster");
    }
    let kept = call(&rig.url(), &to(&format!("/eu{SEARCH}")), Some(&ACME)).await;
    let (of_default, of_eu) = (default.take(), eu.take());
    assert!(of_default.is_empty() && !of_eu.is_empty(), "{kept:?}");
}
