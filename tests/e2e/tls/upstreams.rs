//! TLS towards upstreams: trusted certificates, client certificates, and files that change.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::kit::client::{Ask, Client};
use crate::kit::grpc::{Call, call};
use crate::kit::rig::{ACME, Config, Rig, replace};
use crate::kit::secure_upstream::{Authority, Pair, SecureUpstream, chain, config, impostor};
use crate::kit::stage::{PATIENCE, SECRET, eventually};
use crate::kit::token::{AUDIENCE, Signer};

/// In front of an upstream behind TLS; files are in the config's folder.
async fn rig(upstream: &SecureUpstream, tls: &str, files: &[(&str, &str)]) -> Rig {
    let write = |dir: &Path| {
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
    };
    Rig::start(|config, dir| {
        write(dir);
        config.upstream.clone_from(&upstream.url);
        config.options = with_tls(tls);
    })
    .await
}

fn with_tls(tls: &str) -> Vec<String> {
    let tls = (!tls.is_empty()).then(|| format!("tls: {tls}"));
    tls.into_iter().collect()
}

/// It answers, or the client is told that it cannot be reached and the log says why.
async fn assert_status(rig: &Rig, what: &str, status: u16) {
    let answer = rig.ask(&ACME).await;
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
}

#[tokio::test]
async fn only_the_configured_authority_is_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let upstream = SecureUpstream::start(&authority.server("127.0.0.1"), &[]).await;
    let (own, wrong) = (authority.pem(), other.pem());
    let both = wrong.clone() + &own;
    for (tls, ca, status) in [
        ("{ca_file: ca.pem}", &own, 200),
        ("{ca_file: ca.pem}", &both, 200),
        ("{ca_file: ca.pem}", &wrong, 502),
        ("", &own, 502),
    ] {
        let rig = rig(&upstream, tls, &[("ca.pem", ca)]).await;
        assert_status(&rig, tls, status).await;
        let seen = upstream.take().len();
        assert_eq!(seen, usize::from(status == 200), "{tls}");
        if status == 502 {
            let why = rig.process.log();
            assert!(why.contains("invalid peer certificate"), "{why}");
        }
    }
}

#[tokio::test]
async fn the_servers_name_is_asked_for_and_verified() {
    let authority = Authority::new();
    let upstream = SecureUpstream::start(&authority.server("thanos.svc"), &[]).await;
    let ca = authority.pem();
    for (tls, status) in [
        ("{ca_file: ca.pem}", 502),
        ("{ca_file: ca.pem, server_name: thanos.svc}", 200),
        ("{ca_file: ca.pem, server_name: tempo.svc}", 502),
    ] {
        let rig = rig(&upstream, tls, &[("ca.pem", &ca)]).await;
        assert_status(&rig, tls, status).await;
        let seen = upstream.take();
        if status == 200 {
            assert_eq!(seen[0].server_name.as_deref(), Some("thanos.svc"));
            assert_eq!(seen[0].host, upstream.authority(), "the url's host stays");
        } else {
            assert!(seen.is_empty(), "{tls}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let upstream = SecureUpstream::start(&authority.server("127.0.0.1"), &[&clients]).await;
    let (own, strange) = (clients.client("partywall"), strangers.client("partywall"));
    let ca = authority.pem();
    let with_pair = "{ca_file: ca.pem, cert_file: client.pem, key_file: client.key}";
    for (what, tls, pair, status) in [
        ("none", "{ca_file: ca.pem}", &own, 502),
        ("good", with_pair, &own, 200),
        ("of a stranger", with_pair, &strange, 502),
    ] {
        let files = [
            ("ca.pem", ca.as_str()),
            ("client.pem", &pair.certificate),
            ("client.key", &pair.key),
        ];
        let rig = rig(&upstream, tls, &files).await;
        assert_status(&rig, what, status).await;
        let seen = upstream.take();
        if status == 200 {
            assert_eq!(seen[0].client.as_ref(), chain(pair).first());
            eventually("its health was asked for", async || {
                !upstream.checks().is_empty()
            })
            .await;
            let checks = upstream.checks();
            assert!(checks.iter().all(|check| check.client.is_some()));
        } else {
            assert!(seen.is_empty(), "{what}: {seen:?}");
        }
    }
    assert!(!upstream.failures().is_empty());
}

#[tokio::test]
async fn grpc_goes_by_the_same_tls() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let pair = clients.client("partywall");
    let upstream = SecureUpstream::start(&authority.server("tempo.svc"), &[&clients]).await;
    let rig = Rig::start(|config, dir| {
        for (name, text) in [
            ("ca.pem", &authority.pem()),
            ("client.pem", &pair.certificate),
            ("client.key", &pair.key),
        ] {
            std::fs::write(dir.join(name), text).unwrap();
        }
        config.tenancy = "claim: tenant_id\n  traces: {attribute: resource.t}".to_owned();
        config.more = vec![format!(
            "{{name: traces, api: tempo, url: '{}', tls: {{ca_file: ca.pem, cert_file: client.pem, \
             key_file: client.key, server_name: tempo.svc}}}}",
            upstream.url
        )];
    })
    .await;
    let check = Call::framed("/grpc.health.v1.Health/Check", vec![0; 5].into());
    let answer = call(&rig.url(), &check, Some(&ACME)).await;
    assert_eq!(answer.code(), 0, "{answer:?}");
    let seen = upstream.take();
    let seen = seen.iter().find(|seen| seen.path == check.path).unwrap();
    assert_eq!(seen.version, hyper::Version::HTTP_2);
    assert_eq!(seen.server_name.as_deref(), Some("tempo.svc"));
    assert!(seen.client.is_some());
}

const WARNING: &str = "upstreams[0].tls.insecure_skip_verify: any certificate is trusted";
const WARNED: &str = r#"partywall_config_warnings{warning="insecure_skip_verify"}"#;
const INSECURE: &str = r#"partywall_upstream_tls_insecure{upstream="metrics"}"#;

#[tokio::test]
async fn verification_can_be_switched_off_and_is_warned_of() {
    let authority = Authority::new();
    let upstream = SecureUpstream::start(&authority.server("elsewhere"), &[]).await;
    let mut rig = rig(&upstream, "{insecure_skip_verify: true}", &[]).await;
    assert_status(&rig, "insecure", 200).await;
    assert!(rig.metric(INSECURE).await > 0.5);
    assert!((rig.metric(WARNED).await - 1.0).abs() < 1e-9);
    let shown = async |rig: &Rig| rig.admin_get("/-/config").await.text();
    assert!(shown(&rig).await.contains(WARNING));
    let warnings = || rig.process.log().matches(WARNING).count();
    assert_eq!(warnings(), 1);

    rig.config.rest = "limits: {requests: 7}\n".to_owned();
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    let warnings = || rig.process.log().matches(WARNING).count();
    assert_eq!(warnings(), 2, "at each load");

    rig.config.options.clear();
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_status(&rig, "verified again", 502).await;
    assert!(rig.metric(INSECURE).await < 0.5);
    assert!(rig.metric(WARNED).await < 0.5);
    assert!(!shown(&rig).await.contains(WARNING));

    rig.config.options = with_tls("{insecure_skip_verify: true}");
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.process.log().matches(WARNING).count(), 3);
    assert_status(&rig, "insecure again", 200).await;
    let log = rig.process.log();
    assert!(
        log.contains("WARN") && log.contains("code=\"insecure_skip_verify\""),
        "{log}"
    );
}

/// Anyone's certificate is taken, but its owner must show it.
#[tokio::test]
async fn without_verification_a_certificate_still_needs_its_key() {
    let authority = Authority::new();
    let (shown, had) = (authority.server("a"), authority.server("a"));
    for version in [&TLS12, &TLS13] {
        let good = SecureUpstream::with(config(&shown, &[], &[version])).await;
        let bad = SecureUpstream::with(impostor(&shown, &had, version)).await;
        for (upstream, status) in [(&good, 200), (&bad, 502)] {
            let rig = rig(upstream, "{insecure_skip_verify: true}", &[]).await;
            assert_status(&rig, &format!("{version:?}"), status).await;
        }
        assert!(bad.take().is_empty());
    }
}

/// A client that sends requests until it is stopped; fails at any answer but 200.
struct Load {
    over: Arc<AtomicBool>,
    workers: Vec<JoinHandle<usize>>,
}

impl Load {
    fn on(rig: &Rig) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let worker = |_| {
            let (url, over) = (rig.url(), Arc::clone(&over));
            tokio::spawn(async move {
                let client = Client::default();
                let mut asked = 0;
                while !over.load(Ordering::SeqCst) {
                    let ask = Ask::get("/api/v1/query", &[("query", "up")]);
                    let answer = client.ask(&url, &ask, Some(&ACME)).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    asked += 1;
                }
                asked
            })
        };
        let workers = (0..6).map(worker).collect();
        Self { over, workers }
    }

    async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        for worker in self.workers {
            assert!(worker.await.expect("every request is answered 200") > 0);
        }
    }
}

#[tokio::test]
async fn rotated_token_is_used_within_a_poll_and_no_request_fails() {
    let authority = Authority::new();
    let upstream = SecureUpstream::start(&authority.server("127.0.0.1"), &[]).await;
    let mut rig = rig(
        &upstream,
        "{ca_file: ca.pem}",
        &[("ca.pem", &authority.pem()), ("token", "first\n")],
    )
    .await;
    rig.config.credentials = "{bearer_token_file: token}".to_owned();
    rig.replace();
    eventually("the first is shown", async || {
        rig.ask(&ACME).await;
        upstream
            .take()
            .iter()
            .any(|seen| seen.authorization == "Bearer first")
    })
    .await;
    upstream.take();
    let load = Load::on(&rig);
    for (old, new) in [("first", "second"), ("second", "third")] {
        // Lifetimes overlap: the old one is good for a while.
        upstream.demand_nothing();
        replace(&rig.dir().join("token"), &format!("{new}\n"));
        eventually("the new one is shown", async || {
            let seen = upstream.take();
            let shown = |token: &str| {
                let token = format!("Bearer {token}");
                seen.iter().any(|seen| seen.authorization == token)
            };
            assert!(seen.iter().all(|seen| !seen.authorization.is_empty()));
            shown(new) && !shown(old)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        upstream.take();
        // From now on the old one would be refused.
        upstream.demand(&format!("Bearer {new}"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let seen = upstream.take();
        assert!(!seen.is_empty());
        assert!(
            seen.iter()
                .all(|seen| seen.authorization == format!("Bearer {new}"))
        );
        assert!(
            !rig.process.log().contains("is unhealthy"),
            "checks show it too"
        );
    }
    load.end().await;
}

#[tokio::test]
async fn certificates_change_under_load_and_no_request_fails() {
    let (old, new) = (Authority::new(), Authority::new());
    let (first, second) = (old.client("first"), new.client("second"));
    let upstream = SecureUpstream::start(&old.server("127.0.0.1"), &[&old, &new]).await;
    let rig = rig(
        &upstream,
        "{ca_file: ca.pem, cert_file: client.pem, key_file: client.key}",
        &[
            ("ca.pem", &old.pem()),
            ("client.pem", &first.certificate),
            ("client.key", &first.key),
        ],
    )
    .await;
    let load = Load::on(&rig);
    let shows = async |pair: &Pair| {
        let leaf = chain(pair).swap_remove(0);
        eventually("it is shown", async || {
            let seen = upstream.take();
            !seen.is_empty() && seen.iter().all(|seen| seen.client.as_ref() == Some(&leaf))
        })
        .await;
    };
    shows(&first).await;

    // While authorities are rotated, both are trusted.
    let reloaded = async |change: &dyn Fn()| {
        let (before, _) = rig.reloads().await;
        change();
        eventually("it is loaded", async || rig.reloads().await.0 > before).await;
    };
    let ca = rig.dir().join("ca.pem");
    reloaded(&|| replace(&ca, &(old.pem() + &new.pem()))).await;
    upstream.change(&new.server("127.0.0.1"), &[&old, &new]);
    reloaded(&|| replace(&ca, &new.pem())).await;

    // Two files cannot change at once: in between they do not match, and the old pair stays.
    let (_, failed) = rig.reloads().await;
    replace(&rig.dir().join("client.key"), &second.key);
    eventually("half a pair is refused", async || {
        rig.reloads().await.1 > failed
    })
    .await;
    assert!(
        rig.process
            .log()
            .contains("does not match the first certificate")
    );
    shows(&first).await;
    replace(&rig.dir().join("client.pem"), &second.certificate);
    shows(&second).await;
    load.end().await;
    assert!(upstream.failures().is_empty(), "{:?}", upstream.failures());
}

#[tokio::test]
async fn an_unrelated_reload_keeps_connections_and_a_changed_file_does_not() {
    let authority = Authority::new();
    let upstream = SecureUpstream::start(&authority.server("127.0.0.1"), &[]).await;
    let mut rig = rig(
        &upstream,
        "{ca_file: ca.pem}",
        &[("ca.pem", &authority.pem())],
    )
    .await;
    rig.config.options.push("health: {interval: 1h}".to_owned());
    rig.config.unwatched();
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    let opened = async || {
        let name = r#"partywall_upstream_connections_opened_total{upstream="metrics"}"#;
        rig.metric(name).await
    };
    let open = r#"partywall_upstream_connections{upstream="metrics"}"#;
    eventually("it is idle", async || {
        rig.status(&ACME).await == 200 && rig.metric(open).await > 0.5
    })
    .await;
    let before = opened().await;
    assert!(before > 0.5);
    for _ in 0..5 {
        assert_eq!(rig.post_reload().await.status, 200);
        assert_eq!(rig.status(&ACME).await, 200);
    }
    assert!((opened().await - before).abs() < 0.1, "{}", opened().await);

    let both = authority.pem() + &Authority::new().pem();
    replace(&rig.dir().join("ca.pem"), &both);
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.status(&ACME).await, 200);
    assert!(opened().await > before + 0.5, "it goes on counting");
    drop(upstream);
    eventually("they are closed", async || rig.metric(open).await < 0.5).await;
}

/// Who takes connections and never says a word.
#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let rig = Rig::start(|config, _| {
        config.upstream = format!("https://{address}");
        config.options = vec!["timeouts: {connect: 300ms}".to_owned()];
    })
    .await;
    let started = Instant::now();
    assert_status(&rig, "hanging", 502).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(started.elapsed() < PATIENCE);
    assert!(
        rig.process.log().contains("timeouts.connect"),
        "{}",
        rig.process.log()
    );
    held.abort();
}

/// `config/openshift.yaml` with the addresses, paths and issuer of this test.
#[tokio::test]
async fn the_openshift_sample_reaches_thanos_querier() {
    const NAME: &str = "thanos-querier.openshift-monitoring.svc";
    const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let sample = include_str!("../../../config/openshift.yaml");
    let service_ca = Authority::new();
    let querier = SecureUpstream::start(&service_ca.server(NAME), &[]).await;
    querier.demand("Bearer service-account-token");
    let lay = |dir: &Path, config: &Config| {
        std::fs::write(dir.join("service-ca.crt"), service_ca.pem()).unwrap();
        std::fs::write(dir.join("token"), "service-account-token\n").unwrap();
        let mut text = sample.to_owned();
        for (from, to) in [
            (
                "0.0.0.0:8080".to_owned(),
                format!("127.0.0.1:{}", config.port),
            ),
            (
                "0.0.0.0:8081".to_owned(),
                format!("127.0.0.1:{}", config.admin),
            ),
            (format!("https://{NAME}:9091"), querier.url.clone()),
            (
                format!("file: {ACCOUNT}"),
                format!("file: {}", dir.display()),
            ),
            (
                "discovery: true".to_owned(),
                format!("hmac_secret: {SECRET}"),
            ),
            ("[RS256]".to_owned(), "[HS256]".to_owned()),
        ] {
            assert!(text.contains(&from), "{from}");
            text = text.replace(&from, &to);
        }
        let path = dir.join("openshift.yaml");
        std::fs::write(&path, text).unwrap();
        path
    };
    let rig = Rig::launch(|_, _| {}, lay).await;
    eventually("it is ready", async || {
        rig.admin_status("/-/ready").await == 200
    })
    .await;
    let token = Signer::hs256(SECRET).token(&serde_json::json!({
        "iss": "https://sso.apps.example.com/realms/observability",
        "aud": AUDIENCE,
        "groups": ["/ns-payments", "/admins"],
    }));
    let answer = rig.ask(&token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = querier.take();
    assert_eq!(seen[0].server_name.as_deref(), Some(NAME));
    assert_eq!(seen[0].authorization, "Bearer service-account-token");
    assert_eq!(seen[0].query, r#"query=up{namespace="payments"}"#);
}
