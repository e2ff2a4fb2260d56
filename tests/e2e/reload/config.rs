//! A changed config takes effect without a restart; a bad one changes nothing.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use crate::kit::client::{Ask, Client};
use crate::kit::process::free_port;
use crate::kit::rig::{ACME, Config, Rig, replace, token};
use crate::kit::stage::eventually;

/// Who is `acme` no more.
const REVOKED: &str = "claim: tenant_id\n  map: {globex: globex}";

#[tokio::test]
async fn a_rewritten_file_takes_effect() {
    let mut rig = Rig::start(|_, _| {}).await;
    assert_eq!(rig.status(&ACME).await, 200);
    rig.config.tenancy = REVOKED.to_owned();
    rig.rewrite();
    rig.until_status(&ACME, 403).await;
    assert_eq!(rig.status(&token("globex")).await, 200);
    rig.config.tenancy = "claim: tenant_id".to_owned();
    rig.replace();
    rig.until_status(&ACME, 200).await;
    assert!(rig.process.log().contains("config reloaded"));
}

#[tokio::test]
async fn a_changed_map_means_other_tenants() {
    let mut rig = Rig::start(|config, _| {
        config.tenancy = "claim: tenant_id\n  map: {acme: one}".to_owned();
    })
    .await;
    rig.ask(&ACME).await;
    assert_eq!(
        rig.upstream.take_one().param("query"),
        [r#"up{tenant_id="one"}"#]
    );
    rig.config.tenancy = "claim: tenant_id\n  map: {acme: two}".to_owned();
    rig.replace();
    eventually(
        "the same token and query mean the other tenant",
        async || {
            rig.ask(&ACME).await;
            rig.upstream.take_one().param("query") == [r#"up{tenant_id="two"}"#]
        },
    )
    .await;
}

/// As kubelet lays out a `ConfigMap`: the file is a link into `..data`, which is a link to a folder
/// that is replaced as a whole.
#[tokio::test]
async fn a_swapped_config_map_takes_effect() {
    let fill = |dir: &Path, version: &str, config: &Config| {
        std::fs::create_dir(dir.join(version)).unwrap();
        std::fs::write(dir.join(version).join("partywall.yaml"), config.to_string()).unwrap();
        symlink(version, dir.join("..data_tmp")).unwrap();
        std::fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    };
    let mut rig = Rig::launch(
        |_, _| {},
        |dir, config| {
            fill(dir, "..2026_01_01", config);
            symlink("..data/partywall.yaml", dir.join("partywall.yaml")).unwrap();
            dir.join("partywall.yaml")
        },
    )
    .await;
    rig.until_status(&ACME, 200).await;
    rig.config.tenancy = REVOKED.to_owned();
    fill(rig.dir(), "..2026_01_02", &rig.config);
    std::fs::remove_dir_all(rig.dir().join("..2026_01_01")).unwrap();
    rig.until_status(&ACME, 403).await;
    let (ok, failed) = rig.reloads().await;
    assert!((ok - 2.0).abs() < 0.1 && failed < 0.1, "{ok} {failed}");
}

#[tokio::test]
async fn hangup_and_post_reload_at_once() {
    let mut rig = Rig::start(|config, _| config.unwatched()).await;
    rig.config.tenancy = REVOKED.to_owned();
    rig.rewrite();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        rig.status(&ACME).await,
        200,
        "nothing looked at the file yet"
    );
    rig.process.signal("HUP");
    rig.until_status(&ACME, 403).await;

    rig.config.tenancy = "claim: tenant_id".to_owned();
    rig.rewrite();
    let answer = rig.post_reload().await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (StatusCode::OK, "config reloaded\n")
    );
    assert_eq!(
        rig.status(&ACME).await,
        200,
        "in force when the POST is answered"
    );
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_so() {
    let mut rig = Rig::start(|_, _| {}).await;
    let good = rig.config.clone();
    let successful = "partywall_config_last_reload_successful ";
    for (bad, expected) in [
        (
            good.to_string()
                .replace("claim: tenant_id", "klaim: tenant_id"),
            ":16:3: tenancy.klaim: ",
        ),
        (
            good.to_string() + "limits: {requests: 0}\n",
            ":20:20: limits.requests: ",
        ),
        ("{".to_owned(), ":1:"),
        (String::new(), "partywall.yaml"),
    ] {
        let (_, before) = rig.reloads().await;
        replace(&rig.path, &bad);
        eventually("the failure is counted", async || {
            rig.reloads().await.1 > before
        })
        .await;
        assert!(rig.metric(successful).await < 0.5);
        assert_eq!(rig.status(&ACME).await, 200, "the old rules are in force");
        assert_eq!(rig.admin_status("/-/ready").await, 200);
        let place = format!("{}{expected}", rig.path.display());
        let log = rig.process.log();
        assert!(
            log.contains(&place) || log.contains(expected),
            "no {place} in {log}"
        );
        assert!(log.contains("the old one stays in force"), "{log}");
        // The same over the wire.
        let answer = rig.post_reload().await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.text().contains(expected), "{}", answer.text());
    }
    // It is reported once, not at every look.
    let (_, before) = rig.reloads().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_, after) = rig.reloads().await;
    assert!((after - before).abs() < 0.1, "{before} {after}");

    std::fs::remove_file(&rig.path).unwrap();
    eventually("a missing file is an error too", async || {
        rig.reloads().await.1 > after
    })
    .await;
    assert_eq!(rig.status(&ACME).await, 200);

    rig.config.tenancy = REVOKED.to_owned();
    rig.rewrite();
    rig.until_status(&ACME, 403).await;
    assert!(rig.metric(successful).await > 0.5);
}

#[tokio::test]
async fn at_start_a_bad_file_is_the_end() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("partywall.yaml");
    let text = Config::new("http://127.0.0.1:1").to_string();
    std::fs::write(&path, text.replace("api: prometheus", "api: promethius")).unwrap();
    for command in ["serve", "check"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_partywall"))
            .args([command, "--config"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("partywall.yaml:7:10: upstreams[0].api: "),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_taken_address_is_an_error_with_its_name() {
    let rig = Rig::start(|_, _| {}).await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_partywall"))
        .args(["serve", "--config"])
        .arg(&rig.path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&format!("127.0.0.1:{}", rig.config.admin)),
        "{said}"
    );
}

#[tokio::test]
async fn other_addresses_need_a_restart_and_say_so() {
    let mut rig = Rig::start(|config, _| config.unwatched()).await;
    let needs = "need a restart";
    let moved = rig.config.to_string().replace(
        &format!("127.0.0.1:{}", rig.config.port),
        &format!("127.0.0.1:{}", free_port()),
    );
    replace(&rig.path, &moved);
    assert_eq!(rig.post_reload().await.status, StatusCode::OK);
    assert_eq!(rig.status(&ACME).await, 200, "it listens where it did");
    assert_eq!(
        rig.process.log().matches(needs).count(),
        1,
        "{}",
        rig.process.log()
    );
    // It still needs one after another reload, and no more when all is as it was.
    assert_eq!(rig.post_reload().await.status, StatusCode::OK);
    assert_eq!(
        rig.process.log().matches(needs).count(),
        2,
        "{}",
        rig.process.log()
    );
    rig.config.tenancy = REVOKED.to_owned();
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, StatusCode::OK);
    assert_eq!(
        rig.process.log().matches(needs).count(),
        2,
        "{}",
        rig.process.log()
    );
    assert_eq!(rig.status(&ACME).await, 403);
}

#[tokio::test]
async fn limits_take_effect() {
    let mut rig = Rig::start(|_, _| {}).await;
    rig.config.rest = "limits: {connections: 1}\n".to_owned();
    rig.replace();
    eventually("the second connection replaces the first", async || {
        let mut held = tokio::net::TcpStream::connect(("127.0.0.1", rig.config.port))
            .await
            .unwrap();
        let request = hyper::Request::get(rig.url())
            .body(http_body_util::Full::default())
            .unwrap();
        let _answer = Client::default().try_send(request).await;
        let read = tokio::io::AsyncReadExt::read_u8(&mut held);
        let read = tokio::time::timeout(Duration::from_millis(200), read);
        read.await.is_ok()
    })
    .await;
}

/// Two configs, each with another upstream and another tenant: every answer is of one of them.
#[tokio::test]
async fn under_load_no_request_fails_or_mixes_two_configs() {
    let other = crate::kit::upstream::Upstream::start().await;
    let map = |tenant: &str| format!("claim: tenant_id\n  map: {{acme: {tenant}}}");
    let mut rig = Rig::start(|config, _| {
        config.tenancy = map("first");
        config.rest = "reload: {poll_interval: 20ms}\n".to_owned();
    })
    .await;
    let configs = {
        let first = rig.config.clone();
        let second = Config {
            upstream: other.url.clone(),
            tenancy: map("second"),
            ..first.clone()
        };
        [first, second]
    };
    let over = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..6)
        .map(|worker| {
            let (url, over) = (rig.url(), Arc::clone(&over));
            tokio::spawn(async move {
                let client = Client::default();
                let mut asked = 0;
                while !over.load(Ordering::SeqCst) {
                    let query = format!("m{worker}_{}", asked % 50);
                    let ask = Ask::get("/api/v1/query", &[("query", &query)]);
                    let answer = client.ask(&url, &ask, Some(&ACME)).await;
                    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    for flip in 1..=12 {
        let (before, _) = rig.reloads().await;
        rig.config = configs[flip % 2].clone();
        rig.replace();
        if flip % 2 == 0 {
            assert_eq!(rig.post_reload().await.status, StatusCode::OK);
        }
        eventually("it is loaded", async || rig.reloads().await.0 > before).await;
    }
    over.store(true, Ordering::SeqCst);
    let mut asked = 0;
    for worker in load {
        asked += worker.await.expect("every request is answered 200");
    }
    let (first, second) = (rig.upstream.take(), other.take());
    assert_eq!(first.len() + second.len(), asked, "each exactly once");
    assert!(!first.is_empty() && !second.is_empty());
    for (upstream, tenant) in [(first, "first"), (second, "second")] {
        for seen in upstream {
            let query = seen.param("query").remove(0);
            assert!(
                query.ends_with(&format!(r#"{{tenant_id="{tenant}"}}"#)),
                "{query} at {tenant}"
            );
        }
    }
    assert!(rig.reloads().await.1 < 0.5);
}

/// A file that is written in place is, for a moment, a shorter file. Where the part that is left
/// out is a restriction, what is there already may be valid, and grant more.
#[tokio::test]
async fn half_a_file_is_not_taken_for_a_whole_one() {
    let mut rig = Rig::start(|config, _| {
        config.rest = "reload: {poll_interval: 10ms}\n".to_owned();
    })
    .await;
    rig.config.tenancy = REVOKED.to_owned();
    rig.rewrite();
    rig.until_status(&ACME, 403).await;
    let whole = rig.config.to_string();
    let without_map = whole.replace("\n  map: {globex: globex}", "");
    let over = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (url, over) = (rig.url(), Arc::clone(&over));
        tokio::spawn(async move {
            let (client, ask) = (
                Client::default(),
                Ask::get("/api/v1/query", &[("query", "up")]),
            );
            while !over.load(Ordering::SeqCst) {
                let answer = client.ask(&url, &ask, Some(&ACME)).await;
                if answer.status == StatusCode::OK {
                    return false;
                }
            }
            true
        })
    };
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        let begun = Instant::now();
        // Never the same twice, so that one is not taken for the other.
        let half = format!("{without_map}# {round}\n");
        std::fs::write(&rig.path, half).unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        std::fs::write(&rig.path, &whole).unwrap();
        longest = longest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    over.store(true, Ordering::SeqCst);
    // On a machine that stands still, a moment may be long.
    assert!(watcher.await.unwrap() || longest > Duration::from_millis(90));
    // What stays is taken.
    std::fs::write(&rig.path, &without_map).unwrap();
    rig.until_status(&ACME, 200).await;
}
