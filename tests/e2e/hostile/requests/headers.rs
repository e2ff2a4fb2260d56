//! H: what a client's headers may do.

use crate::kit::door::Door;
use crate::kit::raw::request;

const DATA: &str = "/api/v1/query?query=up";
const ELSEWHERE: &str = "/graph";

#[tokio::test]
async fn p10_h1_h3_identity_headers_of_clients_are_stripped() {
    let door = Door::open().await;
    let names = [
        "THANOS-TENANT",
        "Thanos-Tenant",
        "thanos_tenant",
        "X-Scope-OrgID",
        "x-scope-orgid",
        "X_Scope_OrgID",
        "X-Tenant",
        "X-Tenant-Id",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Uri",
        "X-Forwarded-Prefix",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-User",
        "X-Forwarded-Access-Token",
        "X-Forwarded-Email",
        "Forwarded",
        "X-Envoy-Original-Path",
        "X-Grafana-User",
        "X-Grafana-Org-Id",
        "X-WEBAUTH-USER",
        "X-Remote-User",
        "X-Remote-Group",
        "Impersonate-User",
        "Impersonate-Group",
        "X-HTTP-Method-Override",
    ];
    for target in [DATA, ELSEWHERE] {
        let both: Vec<_> = names
            .iter()
            .flat_map(|name| [(*name, "beta"), (*name, "gamma")])
            .collect();
        let answer = door.send("GET", target, &both, b"").await;
        let seen = door.assert_sent(target, &answer);
        for (name, value) in &seen.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            assert!(
                !value.contains("beta") && !value.contains("gamma"),
                "{target}: {name}: {value}"
            );
        }
        assert_eq!(seen.path(), target.split('?').next().unwrap());
    }
}

#[tokio::test]
async fn h1_trailers_carry_no_tenant() {
    let door = Door::open().await;
    for (target, form) in [("/api/v1/query", "query=up"), (ELSEWHERE, "x=y")] {
        let body = format!(
            "{:x}\r\n{form}\r\n0\r\nX-Scope-OrgID: beta\r\nAuthorization: x\r\n\r\n",
            form.len()
        );
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Transfer-Encoding", "chunked"),
            ("Trailer", "X-Scope-OrgID"),
        ];
        let answer = door.send("POST", target, &headers, body.as_bytes()).await;
        let seen = door.assert_sent(target, &answer);
        assert!(
            seen.header("x-scope-orgid").is_none(),
            "{target}: {:?}",
            seen.headers
        );
        assert!(
            seen.trailers
                .is_none_or(|trailers| !trailers.contains_key("x-scope-orgid"))
        );
    }
}

#[tokio::test]
async fn h2_hop_by_hop_headers_take_nothing_of_ours_away() {
    let door = Door::with(|setup| {
        let lines = ["credentials:", "  bearer_token: our-own-secret-credential"];
        setup.upstream_options = lines.map(str::to_owned).to_vec();
    })
    .await;
    for target in [DATA, ELSEWHERE] {
        let headers = [
            (
                "Connection",
                "close, authorization, thanos-tenant, x-mine, accept-encoding",
            ),
            ("X-Mine", "1"),
            ("TE", "trailers"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "Basic xyz"),
        ];
        let answer = door.send("GET", target, &headers, b"").await;
        let seen = door.assert_sent(target, &answer);
        assert_eq!(
            seen.header("authorization"),
            Some("Bearer our-own-secret-credential"),
            "{target}"
        );
        for gone in [
            "x-mine",
            "te",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
        ] {
            assert_eq!(seen.header(gone), None, "H2 {target}: {gone}");
        }
    }
}

#[tokio::test]
async fn h4_the_callers_token_stays_here() {
    let door = Door::open().await;
    let token = door.proxy.signer.tenant("acme");
    for target in [DATA, ELSEWHERE] {
        for (name, value) in [
            ("Authorization", format!("Bearer {token}")),
            ("X-Id-Token", token.clone()),
        ] {
            let bytes = request("GET", target, &[(name, &value)], b"");
            let answer = door.send_raw(&bytes).await;
            let seen = door.assert_sent(target, &answer);
            let headers = format!("{:?}{}", seen.headers, seen.target);
            let signature = token.rsplit('.').next().unwrap();
            assert!(!headers.contains(signature), "H4 {target}: {headers}");
            assert!(!answer.head.contains(signature) && !answer.text().contains(signature));
        }
    }
    assert!(
        !door.proxy.process.log().contains(&token),
        "O5: a token is in the log"
    );

    let forwarding = Door::with(|setup| {
        let lines = ["credentials:", "  forward_token: true"];
        setup.upstream_options = lines.map(str::to_owned).to_vec();
    })
    .await;
    let token = format!("Bearer {}", forwarding.proxy.signer.tenant("acme"));
    let bytes = request("GET", DATA, &[("Authorization", &token)], b"");
    let answer = forwarding.send_raw(&bytes).await;
    let seen = forwarding.assert_sent("H4 asked for", &answer);
    assert_eq!(seen.header("authorization"), Some(token.as_str()));
}

#[tokio::test]
async fn h5_broken_header_lines_are_refused() {
    let door = Door::open().await;
    let authorization = door.authorization();
    for (what, line) in [
        ("obs-fold", "X-A: b\r\n c\r\n"),
        ("NUL", "X-A: b\0c\r\n"),
        ("bare CR", "X-A: b\rX-Scope-OrgID: beta\r\n"),
        ("blank before the colon", "X-A : b\r\n"),
        ("no colon", "X-A\r\n"),
        ("empty name", ": b\r\n"),
        ("odd name", "X(A): b\r\n"),
    ] {
        let head = format!(
            "GET {DATA} HTTP/1.1\r\nHost: x\r\n{authorization}{line}Connection: close\r\n\r\n"
        );
        let answer = door.send_raw(head.as_bytes()).await;
        door.assert_refused(&format!("H5 {what}"), &answer, &[400]);
    }
    let lines: String = (0..2000)
        .map(|i| format!("X-{i}: x\r\n"))
        .collect::<Vec<_>>()
        .concat();
    for (what, line) in [
        ("many", lines),
        ("long", format!("X-A: {}\r\n", "x".repeat(200_000))),
    ] {
        let head = format!(
            "GET {DATA} HTTP/1.1\r\nHost: x\r\n{authorization}{line}Connection: close\r\n\r\n"
        );
        let answer = door.send_raw(head.as_bytes()).await;
        door.assert_refused(&format!("H5 {what}"), &answer, &[0, 400, 431]);
    }
}
