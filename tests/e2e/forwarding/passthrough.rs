//! What lies outside the data APIs: `passthrough.methods`, `paths` and `health_authentication`.

use crate::kit::door::Door;
use crate::kit::partywall::Setup;
use crate::kit::raw::request;
use crate::kit::upstream::{Reply, Seen};

async fn door(passthrough: &str) -> Door {
    Door::with(|setup| setup.rest = format!("passthrough: {{{passthrough}}}\n")).await
}

#[tokio::test]
async fn by_default_every_method_and_path_is_forwarded_with_a_token() {
    let door = Door::open().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        let answer = door.send(method, "/any/page?x=1", &[], b"body").await;
        let seen = door.assert_sent(method, &answer);
        assert_eq!(
            (seen.method.as_str(), &*seen.target),
            (method, "/any/page?x=1")
        );
    }
}

#[tokio::test]
async fn methods_that_are_not_listed_are_refused() {
    let door = door("methods: [GET, HEAD]").await;
    door.assert_sent("GET", &door.get("/any/page").await);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let answer = door.send(method, "/any/page", &[], b"").await;
        door.assert_refused(method, &answer, &[403]);
        let text = answer.text();
        assert!(text.contains("passthrough.methods"), "{text}");
        assert!(text.contains("GET, HEAD"), "{text}");
    }
    // The data APIs have methods of their own.
    door.assert_sent("a form", &door.post("/api/v1/query", "query=up").await);
}

#[tokio::test]
async fn paths_that_are_not_listed_are_refused() {
    let door = door("paths: [/, /graph, /static/*]").await;
    for path in [
        "/",
        "/graph?x=1",
        "/static/",
        "/static/js/main.js",
        "/static/%6Aa",
    ] {
        let answer = door.get(path).await;
        assert_eq!(door.assert_sent(path, &answer).target, path);
    }
    for path in [
        "/graphs", "/graph/x", "/static", "/Graph", "/other", "/-/ready",
    ] {
        let answer = door.get(path).await;
        door.assert_refused(path, &answer, &[403]);
        assert!(answer.text().contains("passthrough.paths"), "{path}");
    }
    // What servers may take for a listed path, or for another one.
    for path in [
        "/static/../other",
        "/static/%2e%2e/other",
        "/static/..;/other",
        "/static/%2fother",
        "/static/\\other",
        "//graph",
        "/static//x",
        "/graph;x=1",
        "/static/a;b",
    ] {
        let answer = door.get(path).await;
        let seen = door.upstream.take();
        assert!(seen.is_empty(), "{path}: {seen:#?}");
        assert!(answer.status >= 300, "{path}: {}", answer.head);
    }
    door.assert_sent("a query", &door.get("/api/v1/query?query=up").await);
    // Without a token the list is not told.
    let answer = door.send_raw(&request("GET", "/other", &[], b"")).await;
    door.assert_refused("no token", &answer, &[401]);
}

/// Answered 200 without a token; gives what the upstream was asked.
async fn checked(door: &Door, method: &str, target: &str) -> Seen {
    let headers = [("Cookie", "a=b"), ("X-Scope-OrgID", "other")];
    let answer = door.send_raw(&request(method, target, &headers, b"")).await;
    door.assert_sent(target, &answer)
}

#[tokio::test]
async fn health_of_the_store_needs_a_token_unless_the_config_says_otherwise() {
    let closed = Door::open().await;
    let open = door("health_authentication: none").await;
    for path in ["/-/ready", "/-/healthy"] {
        let stranger = request("GET", path, &[], b"");
        let answer = closed.send_raw(&stranger).await;
        closed.assert_refused(path, &answer, &[401]);
        for method in ["GET", "HEAD"] {
            let seen = checked(&open, method, &format!("{path}?x=1")).await;
            assert_eq!((seen.method.as_str(), &*seen.target), (method, path));
            for name in ["cookie", "x-scope-orgid", "authorization"] {
                assert_eq!(seen.header(name), None, "{name}");
            }
        }
        let answer = open.send_raw(&request("POST", path, &[], b"")).await;
        open.assert_refused("POST", &answer, &[401]);
    }
    for path in [
        "/-/reload",
        "/-/ready/",
        "/-/ready/x",
        "/-/Ready",
        "/ready",
        "/graph",
    ] {
        let answer = open.send_raw(&request("GET", path, &[], b"")).await;
        let seen = open.upstream.take();
        assert!(seen.is_empty() && answer.status >= 300, "{path}: {seen:#?}");
    }
    // An unhealthy store is unhealthy here.
    let mut reply = Reply::json("not ready");
    reply.status = 503;
    open.upstream.reply(reply);
    let answer = open.send_raw(&request("GET", "/-/ready", &[], b"")).await;
    assert_eq!(answer.status, 503, "{}", answer.head);
}

#[tokio::test]
async fn health_of_a_tempo_is_answered_at_the_paths_that_clients_ask_for() {
    let open = Door::with(|setup| {
        let traces = std::mem::take(&mut setup.upstream);
        *setup = Setup::tempo(&traces);
        setup.rest = "passthrough: {health_authentication: none}\n".to_owned();
    })
    .await;
    for path in ["/ready", "/status/services"] {
        assert_eq!(checked(&open, "GET", path).await.target, path);
    }
    for path in ["/status", "/status/config", "/-/ready", "/metrics"] {
        let answer = open.send_raw(&request("GET", path, &[], b"")).await;
        open.assert_refused(path, &answer, &[401]);
    }
}

/// Whether there is such a cluster is known to nobody without a token.
#[tokio::test]
async fn health_of_a_named_cluster_needs_a_token() {
    let door = Door::with(|setup| {
        setup.upstream_options.push("cluster: eu".to_owned());
        setup.rest = "passthrough: {health_authentication: none}\n".to_owned();
    })
    .await;
    for path in ["/clusters/eu/-/ready", "/clusters/us/-/ready"] {
        let answer = door.send_raw(&request("GET", path, &[], b"")).await;
        door.assert_refused(path, &answer, &[401]);
    }
}
