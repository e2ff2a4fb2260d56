//! N: limits by tenant. A client that is not of a tenant uses up nothing of it, and who has used up his
//! own takes nothing from others.

use serde_json::json;

use crate::kit::raw::{RawAnswer, exchange, request};
use crate::kit::stage::{ELSEWHERE, FORM, QUERY, Stage, eventually, json as answer_of};
use crate::kit::token::{Signer, now};
use crate::kit::wire::Step;

/// So slow that no bucket fills up again within the test.
const SLOW: &str = "tenant_limits: {default: {requests_per_second: 1, burst: 3}}\n";

async fn ask<U>(stage: &Stage<U>, headers: &[(&str, &str)]) -> RawAnswer {
    let bytes = request("GET", QUERY, headers, b"");
    exchange(stage.proxy.authority(), &bytes).await
}

#[tokio::test]
async fn n1_unauthenticated_clients_use_no_tenants_resources() {
    let stage = Stage::recorded(SLOW).await;
    let signer = &stage.proxy.signer;
    let good = signer.tenant("acme");
    let forged = Signer::hs256("another secret of thirty-two bytes").tenant("acme");
    let expired = signer.token(&json!({"tenant_id": "acme", "exp": now() - 3600}));
    let elsewhere = signer.token(&json!({"tenant_id": "acme", "aud": "another"}));
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    for token in [&forged, &expired, &elsewhere, &unsigned] {
        let bearer = format!("Bearer {token}");
        for _ in 0..10 {
            let answer = ask(&stage, &[("Authorization", &bearer)]).await;
            assert_eq!(answer.status, 401, "{answer:?}");
        }
    }
    // Nor does another tenant who says that he is this one, wherever he says it.
    let beta = format!("Bearer {}", signer.tenant("beta"));
    for name in ["X-Scope-OrgID", "THANOS-TENANT", "X-Tenant", "tenant_id"] {
        let answer = ask(&stage, &[("Authorization", &beta), (name, "acme")]).await;
        assert!([200, 429].contains(&answer.status), "{answer:?}");
        assert!(!answer.text().contains("acme"), "{answer:?}");
    }
    let bearer = format!("Bearer {good}");
    for number in 0..3 {
        let answer = ask(&stage, &[("Authorization", &bearer)]).await;
        assert_eq!(answer.status, 200, "number {number}: {answer:?}");
    }
}

/// A tenant over its rate gets an error that names only itself; the next one is served.
#[tokio::test]
async fn n2_limit_error_names_only_the_callers_tenant() {
    let stage = Stage::recorded(SLOW).await;
    let signer = &stage.proxy.signer;
    let noisy = format!("Bearer {}", signer.tenant("noisy"));
    let mut refused = 0;
    for _ in 0..20 {
        let answer = ask(&stage, &[("Authorization", &noisy)]).await;
        if answer.status == 429 {
            refused += 1;
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            assert!(!answer.text().contains("quiet"), "{answer:?}");
        }
    }
    assert!(refused > 5, "{refused} of 20");
    for name in ["quiet", "noisy ", "Noisy", "nois\u{443}"] {
        let bearer = format!("Bearer {}", signer.tenant(name));
        let answer = ask(&stage, &[("Authorization", &bearer)]).await;
        assert_eq!(answer.status, 200, "{name} is another: {answer:?}");
    }
}

/// A thousand names of tenants that come once each are forgotten again.
#[tokio::test]
async fn n3_idle_tenants_are_removed() {
    let stage = Stage::recorded(SLOW).await;
    let before = crate::kit::witness::peak_memory(&stage.proxy);
    for round in 0..200 {
        let many: Vec<String> = (0..20)
            .map(|index| format!("{round}-{index}-{}", "x".repeat(200)))
            .collect();
        let names: Vec<&str> = many.iter().map(String::as_str).collect();
        let bearer = format!("Bearer {}", stage.proxy.signer.tenants(&names));
        let answer = ask(&stage, &[("Authorization", &bearer)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        stage.upstream.take();
    }
    let grown = crate::kit::witness::peak_memory(&stage.proxy) - before;
    assert!(grown < 64 << 20, "{} MiB for 4000 tenants", grown >> 20);
}

/// Permits: an unauthenticated client that sends its body slowly, or never ends it, has none.
#[tokio::test]
async fn n1_slow_unauthenticated_clients_hold_no_permit() {
    use tokio::io::AsyncWriteExt;
    let rest = "limits: {requests: 2}\ntenant_limits: {default: {requests: 1}}\n";
    let stage = Stage::scripted(&[answer_of("{}"), Step::Close], rest).await;
    let forged = Signer::hs256("another secret of thirty-two bytes").tenant("acme");
    let mut dripping = Vec::new();
    for token in [Some(&forged), None].repeat(10) {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![FORM, ("Content-Length", "1000")];
        headers.extend(
            bearer
                .as_ref()
                .map(|bearer| ("Authorization", bearer.as_str())),
        );
        let mut stream = stage.connect().await;
        let head = request("POST", "/api/v1/query", &headers, b"query=");
        let _ = stream.write_all(&head).await;
        dripping.push(stream);
    }
    eventually("they were looked at", async || {
        stage.metric("partywall_token_verifications_total").await > 19.5
    })
    .await;
    for _ in 0..5 {
        let answer = stage.get(ELSEWHERE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    drop(dripping);
}
