//! In a real Redis, for several replicas.

use std::path::Path;
use std::process::Command;

use ::redis::{Client as RedisClient, Commands as _, Connection};
use tempfile::TempDir;

use super::*;
use crate::kit::process::{Guarded, find_tool, free_port};
use crate::kit::tls::{Authority, Identity};

const ERRORS: &str = "partywall_answer_cache_errors_total{store=\"redis\"}";

/// Debian's own, without anything on disk.
struct Server {
    port: u16,
    process: Guarded,
    dir: TempDir,
}

impl Server {
    async fn start(more: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let port = free_port();
        let process = launch(port, dir.path(), more).await;
        Self { port, process, dir }
    }

    /// With TLS alone.
    async fn secure(identity: &Identity) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("crt"), &identity.cert_pem).unwrap();
        std::fs::write(dir.path().join("key"), &identity.key_pem).unwrap();
        let port = free_port();
        let number = port.to_string();
        let options = [
            "--port",
            "0",
            "--tls-port",
            &number,
            "--tls-cert-file",
            "crt",
            "--tls-key-file",
            "key",
            "--tls-auth-clients",
            "no",
        ];
        let process = launch(port, dir.path(), &options).await;
        Self { port, process, dir }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn restart(&mut self) {
        self.process = launch(self.port, self.dir.path(), &[]).await;
    }

    fn connect(&self, database: u32) -> Connection {
        let url = format!("{}/{database}", self.url());
        RedisClient::open(url).unwrap().get_connection().unwrap()
    }
}

async fn launch(port: u16, dir: &Path, more: &[&str]) -> Guarded {
    let mut command = Command::new(find_tool("redis-server"));
    command.current_dir(dir);
    command.args([
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--port",
        &port.to_string(),
    ]);
    command.args(more);
    let mut process = Guarded::spawn("redis-server", command, &dir.join("log"));
    let listening = async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
    };
    process.until(PATIENCE, listening).await;
    process
}

/// A cache in that Redis; `more` are further keys. A busy machine may be slow to answer.
fn in_redis(url: &str, more: &str) -> String {
    format!(
        "cache: {{ttl: 10m, redis: {{url: \"{url}\", timeout: 10s{more}}}}}\n\
         reload: {{poll_interval: 1h}}\n"
    )
}

/// A replica in front of that upstream.
async fn replica(upstream: &str, rest: &str) -> Stage<()> {
    let mut setup = Setup::new(upstream);
    setup.rest = rest.to_owned();
    Stage::of((), setup).await
}

fn keys(connection: &mut Connection) -> Vec<String> {
    let mut keys: Vec<String> = connection.keys("*").unwrap();
    keys.sort();
    keys
}

#[tokio::test]
async fn replicas_of_one_cluster_share_and_others_do_not() {
    let (server, upstream) = (Server::start(&[]).await, Upstream::start().await);
    let eu = in_redis(&server.url(), ", database: 3, cluster: eu");
    let us = in_redis(&server.url(), ", database: 3, cluster: us");
    let first = replica(&upstream.url, &eu).await;
    assert_eq!(mark(&first.ask(&panel()).await), "miss");
    let mut connection = server.connect(3);
    eventually("it is kept", async || {
        keys(&mut server.connect(3)).len() == 1
    })
    .await;
    let second = replica(&upstream.url, &eu).await;
    let answer = second.ask(&panel()).await;
    assert_eq!((mark(&answer), answer.text()), ("hit", VECTOR.to_owned()));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(mark(&second.ask_as("beta", &panel()).await), "miss");
    let other = replica(&upstream.url, &us).await;
    assert_eq!(mark(&other.ask(&panel()).await), "miss");
    assert_eq!(upstream.take().len(), 3);

    // A list of the keys shows which deployments share the Redis, and nothing else.
    eventually("all are kept", async || {
        keys(&mut server.connect(3)).len() == 3
    })
    .await;
    for key in keys(&mut connection) {
        let hash = key
            .strip_prefix("partywall:eu:answer:")
            .or(key.strip_prefix("partywall:us:answer:"));
        let hash = hash.unwrap_or_else(|| panic!("{key}"));
        assert!(
            hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
            "{key}"
        );
        let left: i64 = connection.pttl(&key).unwrap();
        assert!((1..=600_000).contains(&left), "{key} lives for {left} ms");
    }
    assert!(keys(&mut server.connect(0)).is_empty());
    assert!(first.metric(ERRORS).await < 0.5);
    assert!(first.metric("partywall_answer_cache_bytes").await < 0.5);
}

#[tokio::test]
async fn a_flush_is_for_all_replicas() {
    let (server, upstream) = (Server::start(&[]).await, Upstream::start().await);
    let rest = in_redis(&server.url(), "");
    let (one, other) = (
        replica(&upstream.url, &rest).await,
        replica(&upstream.url, &rest).await,
    );
    for query in ["?upstream=metrics", ""] {
        assert_eq!(mark(&one.ask(&panel()).await), "miss", "{query}");
        eventually("it is kept", async || {
            said(&other.ask(&panel()).await) == "hit"
        })
        .await;
        let answer = one.flush(query).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(mark(&other.ask(&panel()).await), "miss", "{query}");
        assert_eq!(other.flush(query).await.status, 200);
    }
    // What is left of a flush goes as well.
    let mut connection = server.connect(0);
    for key in keys(&mut connection) {
        let left: i64 = connection.pttl(&key).unwrap();
        assert!(left > 0, "{key} lives forever");
    }
}

#[tokio::test]
async fn without_redis_all_is_answered_and_it_is_said_once() {
    let (mut server, upstream) = (Server::start(&[]).await, Upstream::start().await);
    let stage = replica(&upstream.url, &in_redis(&server.url(), "")).await;
    assert_eq!(mark(&stage.ask(&panel()).await), "miss");
    eventually("it is kept", async || {
        said(&stage.ask(&panel()).await) == "hit"
    })
    .await;
    server.process.signal("KILL");
    server.process.wait(PATIENCE).await.expect("it is dead");
    for _ in 0..20 {
        let answer = stage.ask(&panel()).await;
        assert_eq!(answer.status, 200);
        assert_ne!(said(&answer), "hit");
    }
    // It is tried again now and then, and that is counted; the log has enough of it.
    eventually("failures are counted", async || {
        stage.ask(&panel()).await;
        stage.metric(ERRORS).await > 2.5
    })
    .await;
    let warnings = || {
        let log = stage.proxy.process.log();
        log.matches("Redis cannot be used").count()
    };
    assert_eq!(warnings(), 1, "{}", stage.proxy.process.log());
    let flushed = stage.flush("").await;
    assert_eq!(flushed.status, 503, "{}", flushed.text());
    assert!(stage.metric("partywall_panics_total").await < 0.5);

    server.restart().await;
    eventually("answers are kept again", async || {
        said(&stage.ask(&panel()).await) == "hit"
    })
    .await;
    assert!(stage.proxy.process.log().contains("Redis answers again"));
    assert_eq!(warnings(), 1);
}

#[tokio::test]
async fn a_redis_that_is_not_there_at_the_start_is_no_reason_not_to_start() {
    let upstream = Upstream::start().await;
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let stage = replica(&upstream.url, &in_redis(&nowhere, "")).await;
    for _ in 0..3 {
        assert_eq!(stage.ask(&panel()).await.status, 200);
    }
    assert!(stage.metric(ERRORS).await > 0.5);
}

/// It takes connections and says nothing.
#[tokio::test]
async fn a_redis_that_hangs_is_not_waited_for() {
    let (server, upstream) = (Server::start(&[]).await, Upstream::start().await);
    let rest = in_redis(&server.url(), "").replace("timeout: 10s", "timeout: 200ms");
    let stage = replica(&upstream.url, &rest).await;
    assert_eq!(stage.ask(&panel()).await.status, 200);
    server.process.signal("STOP");
    for _ in 0..5 {
        assert_eq!(stage.ask(&panel()).await.status, 200);
    }
    eventually("it is counted", async || {
        stage.ask(&panel()).await;
        stage.metric(ERRORS).await > 0.5
    })
    .await;
    server.process.signal("CONT");
}

#[tokio::test]
async fn redis_value_of_another_key_is_not_served() {
    let (server, upstream) = (Server::start(&[]).await, Upstream::start().await);
    let stage = replica(&upstream.url, &in_redis(&server.url(), "")).await;
    let other = Ask::get("/api/v1/query", &[("query", "other"), ("time", "1")]);
    assert_eq!(mark(&stage.ask(&other).await), "miss");
    let mut connection = server.connect(0);
    eventually("it is kept", async || {
        keys(&mut server.connect(0)).len() == 1
    })
    .await;
    let of_other = keys(&mut connection).remove(0);
    let answer: Vec<u8> = connection.get(&of_other).unwrap();
    assert_eq!(mark(&stage.ask(&panel()).await), "miss");
    eventually("both are", async || keys(&mut server.connect(0)).len() == 2).await;
    let key = keys(&mut connection)
        .into_iter()
        .find(|key| *key != of_other);
    let key = key.unwrap();
    let cut = answer[..answer.len() - 1].to_vec();
    let huge = [&answer[..], &vec![b' '; 5 * 1024 * 1024]].concat();
    for (what, value) in [
        ("another's answer", answer),
        ("garbage", b"garbage".to_vec()),
        ("nothing", Vec::new()),
        ("half of one", cut),
        ("one that is too long", huge),
    ] {
        let (): () = connection.set(&key, value).unwrap();
        let answer = stage.ask(&panel()).await;
        assert_eq!(
            (answer.status.as_u16(), mark(&answer)),
            (200, "miss"),
            "{what}"
        );
        // And then it is put right.
        eventually("a true one is kept", async || {
            said(&stage.ask(&panel()).await) == "hit"
        })
        .await;
    }
    // A value of another kind is an error of Redis' own.
    let (): () = connection.del(&key).unwrap();
    let (): () = connection.lpush(&key, "x").unwrap();
    assert_eq!(stage.ask(&panel()).await.status, 200);
    assert!(stage.metric(ERRORS).await > 0.5);
}

#[tokio::test]
async fn over_tls_only_the_configured_authority_is_trusted() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let server = Server::secure(&authority.identity()).await;
    let upstream = Upstream::start().await;
    let dir = TempDir::new().unwrap();
    let url = format!("rediss://localhost:{}", server.port);
    for (pem, is_trusted) in [(authority.pem(), true), (other.pem(), false)] {
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, pem).unwrap();
        let rest = in_redis(&url, &format!(", ca_file: {}", ca.display()));
        let stage = replica(&upstream.url, &rest).await;
        assert_eq!(stage.ask(&panel()).await.status, 200);
        if is_trusted {
            eventually("it is kept", async || {
                said(&stage.ask(&panel()).await) == "hit"
            })
            .await;
            assert!(stage.metric(ERRORS).await < 0.5);
        } else {
            assert_ne!(said(&stage.ask(&panel()).await), "hit");
            assert!(stage.metric(ERRORS).await > 0.5);
        }
    }
}

/// The password is in a file, in no log and not in `/-/config`.
#[tokio::test]
async fn a_password_is_used_and_shown_nowhere() {
    let server = Server::start(&["--requirepass", "correct-horse"]).await;
    let upstream = Upstream::start().await;
    let dir = TempDir::new().unwrap();
    for (password, is_right) in [("correct-horse", true), ("battery-staple", false)] {
        let file = dir.path().join("url");
        let url = format!("redis://:{password}@127.0.0.1:{}\n", server.port);
        std::fs::write(&file, url).unwrap();
        let rest = format!(
            "cache: {{ttl: 10m, redis: {{url_file: {}, timeout: 10s}}}}\n",
            file.display()
        );
        let stage = replica(&upstream.url, &rest).await;
        assert_eq!(stage.ask(&panel()).await.status, 200);
        if is_right {
            eventually("it is kept", async || {
                said(&stage.ask(&panel()).await) == "hit"
            })
            .await;
        } else {
            assert_ne!(said(&stage.ask(&panel()).await), "hit");
            assert!(stage.metric(ERRORS).await > 0.5);
        }
        let config = Client::default()
            .get(&format!("{}/-/config", stage.proxy.admin))
            .await;
        for text in [config.text(), stage.proxy.process.log()] {
            assert!(!text.contains(password), "{text}");
        }
    }
}

/// Fifty who ask the same are one question to Redis too, and one to the upstream.
#[tokio::test]
async fn one_asks_for_all_with_redis_as_well() {
    let server = Server::start(&[]).await;
    let upstream = Wire::start(&[Step::Gate, json(VECTOR)]).await;
    let mut setup = Setup::new(&upstream.url);
    setup.rest = in_redis(&server.url(), "");
    let stage = Stage::of(upstream, setup).await;
    stage.assert_one_asks_for_all().await;
}
