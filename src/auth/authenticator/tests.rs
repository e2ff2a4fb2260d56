use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{HeaderName, HeaderValue};
use jsonwebtoken::Algorithm as CryptoAlgorithm;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::auth::testing::{
    Answer, IDP, Idp, ManualClock, NOW, QUICK, Signer, claims, claims_with, issuer, jwks, jwks_url,
    tenancy, tokens,
};
use crate::config::settings::{Algorithm, ClaimPath, Grant, KeySource, Secret, TenantRule, When};
use crate::tenancy::TenantScope;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn authenticator(issuers: Vec<Issuer>) -> (Authenticator, Arc<ManualClock>) {
    let clock = ManualClock::at(NOW);
    let authenticator = Authenticator::with(
        &tokens(issuers),
        Arc::new(tenancy()),
        None,
        clock.clone(),
        QUICK,
    );
    (authenticator.unwrap(), clock)
}

/// Trusts these signers and no others.
fn trusting(signers: &[&Signer]) -> Authenticator {
    authenticator(vec![issuer(KeySource::Jwks(jwks(signers)))]).0
}

fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    headers.insert("authorization", value);
    headers
}

/// `ok`, or the error's metric reason.
async fn outcome(authenticator: &Authenticator, token: &str) -> &'static str {
    match authenticator.authenticate(&headers(token)).await {
        Ok(_) => "ok",
        Err(error) => error.reason().label(),
    }
}

fn tenants(caller: &Caller) -> String {
    match caller.scope() {
        Ok(TenantScope::Tenants(scope)) => scope.metrics().unwrap().promql().to_owned(),
        Ok(TenantScope::AllTenants) => "all".to_owned(),
        Err(refusal) => refusal.reason().to_owned(),
    }
}

#[tokio::test]
async fn good_token_has_a_principal_and_a_scope() {
    let signer = Signer::rsa("k", CryptoAlgorithm::RS256);
    let authenticator = trusting(&[&signer]);
    let token = signer.token(&claims());
    for _ in 0..2 {
        let caller = authenticator.authenticate(&headers(&token)).await.unwrap();
        let principal = caller.principal();
        assert_eq!(principal.issuer(), IDP);
        assert_eq!(principal.subject(), Some("alice"));
        assert_eq!(principal.claims()["aud"], "grafana");
        assert_eq!(principal.expires_at(), NOW + 300);
        assert_eq!(principal.header(), "authorization");
        assert_eq!(tenants(&caller), r#"tenant_id="acme""#);
    }
    assert_eq!(authenticator.cached_tokens(), 1);
}

#[tokio::test]
async fn request_without_a_token_has_no_caller() {
    let authenticator = trusting(&[&Signer::es256("k")]);
    let error = authenticator.authenticate(&HeaderMap::new()).await;
    assert_eq!(error.unwrap_err().reason().label(), "missing");
    assert_eq!(outcome(&authenticator, "x").await, "malformed");
    let long = |bytes: usize| format!("eyJ{}", "x".repeat(bytes - 3));
    assert_eq!(outcome(&authenticator, &long(16 << 10)).await, "malformed");
    assert_eq!(
        outcome(&authenticator, &long((16 << 10) + 1)).await,
        "too_long"
    );
}

#[tokio::test]
async fn unsigned_token_is_refused() {
    let signer = Signer::es256("k");
    let authenticator = trusting(&[&signer]);
    let claims = claims().to_string();
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": name, "kid": "k"}).to_string();
        let token = signer.sign(&header, &claims);
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert_eq!(outcome(&authenticator, &token).await, "algorithm", "{name}");
        assert_eq!(
            outcome(&authenticator, &format!("{unsigned}.")).await,
            "malformed"
        );
        assert_eq!(outcome(&authenticator, unsigned).await, "malformed");
    }
    let good = signer.token(&serde_json::from_str(&claims).unwrap());
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        outcome(&authenticator, &format!("{unsigned}.")).await,
        "malformed"
    );
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    assert_eq!(
        outcome(&authenticator, &format!("{unsigned}.{zeros}")).await,
        "signature"
    );
    let ones = URL_SAFE_NO_PAD.encode([0xff; 64]);
    assert_eq!(
        outcome(&authenticator, &format!("{unsigned}.{ones}")).await,
        "signature"
    );
    assert_eq!(
        outcome(&authenticator, &format!("{unsigned}.AA")).await,
        "signature"
    );
}

#[tokio::test]
async fn public_key_is_never_used_as_a_secret() {
    let rsa = Signer::rsa("k", CryptoAlgorithm::RS256);
    let pem = rsa.public_pem.clone();
    let from_pem = issuer(KeySource::Pem(pem.clone()));
    // Algorithms of both kinds, which config refuses.
    let confused = Issuer {
        algorithms: vec![Algorithm::RS256, Algorithm::HS256],
        ..from_pem.clone()
    };
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes()] {
        let forged = Signer::hs256(secret);
        let with_kid = forged.sign(r#"{"alg":"HS256","kid":"k"}"#, &claims().to_string());
        let without = forged.sign(r#"{"alg":"HS256"}"#, &claims().to_string());
        for token in [&with_kid, &without] {
            let (honest, _) = authenticator(vec![from_pem.clone()]);
            assert_eq!(outcome(&honest, token).await, "algorithm");
            let (confused, _) = authenticator(vec![confused.clone()]);
            assert_eq!(outcome(&confused, token).await, "key");
        }
    }
    // Nor is a secret used as a public key.
    let secret = KeySource::Hmac(Secret::new(String::from_utf8(SECRET.to_vec()).unwrap()));
    let hmac = Issuer {
        algorithms: vec![Algorithm::HS256],
        ..issuer(secret)
    };
    let (hmac, _) = authenticator(vec![hmac]);
    assert_eq!(
        outcome(&hmac, &Signer::hs256(SECRET).token(&claims())).await,
        "ok"
    );
    assert_eq!(
        outcome(&hmac, &Signer::hs256(b"another").token(&claims())).await,
        "key"
    );
    assert_eq!(outcome(&hmac, &rsa.token(&claims())).await, "algorithm");
    let hs512 = r#"{"alg":"HS512"}"#;
    let token = Signer::hs256(SECRET).sign(hs512, &claims().to_string());
    assert_eq!(outcome(&hmac, &token).await, "algorithm");
}

#[tokio::test]
async fn algorithm_outside_the_issuers_list_is_refused() {
    let signer = Signer::rsa("k", CryptoAlgorithm::PS256);
    let mut pss = issuer(KeySource::Pem(signer.public_pem.clone()));
    assert_eq!(
        outcome(
            &authenticator(vec![pss.clone()]).0,
            &signer.token(&claims())
        )
        .await,
        "algorithm"
    );
    pss.algorithms = vec![Algorithm::PS256];
    let (pss, _) = authenticator(vec![pss]);
    assert_eq!(outcome(&pss, &signer.token(&claims())).await, "ok");
    // A signature with one padding is invalid with the other.
    let lie = signer.sign(r#"{"alg":"RS256"}"#, &claims().to_string());
    let (rs256, _) = authenticator(vec![issuer(KeySource::Pem(signer.public_pem.clone()))]);
    assert_eq!(outcome(&rs256, &lie).await, "key");
}

#[tokio::test]
async fn keys_in_or_named_by_the_token_are_ignored() {
    let (signer, attacker) = (Signer::es256("k"), Signer::es256("k"));
    let idp = Idp::start().await;
    idp.publish(&[&attacker]);
    let authenticator = trusting(&[&signer]);
    let url = idp.jwks_url();
    for extra in [
        json!({"jwk": attacker.jwk()}),
        json!({"jku": url}),
        json!({"x5u": url}),
        json!({"x5c": ["MII"]}),
        json!({"kid": "k", "jku": url, "jwk": attacker.jwk()}),
        json!({"kid": url}),
        json!({"kid": "../../jwks"}),
        json!({"kid": "k' OR '1'='1"}),
    ] {
        let mut header = json!({"alg": "ES256"});
        for (name, value) in extra.as_object().unwrap() {
            header[name] = value.clone();
        }
        let forged = attacker.sign(&header.to_string(), &claims().to_string());
        assert!(
            ["key", "signature"].contains(&outcome(&authenticator, &forged).await),
            "{extra}"
        );
    }
    assert_eq!(idp.request_count(), 0);
    for extension in [
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": ["exp"]}),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        for (name, value) in extension.as_object().unwrap() {
            header[name] = value.clone();
        }
        let token = signer.sign(&header.to_string(), &claims().to_string());
        assert_eq!(outcome(&authenticator, &token).await, "malformed");
    }
}

#[tokio::test]
async fn keys_belong_to_their_issuer() {
    let (ours, theirs) = (Signer::es256("k"), Signer::es256("k"));
    let other = Issuer {
        issuer: "https://other.example.com".into(),
        ..issuer(KeySource::Jwks(jwks(&[&theirs])))
    };
    let (authenticator, _) = authenticator(vec![issuer(KeySource::Jwks(jwks(&[&ours]))), other]);
    let of_other = claims_with("iss", json!("https://other.example.com"));
    assert_eq!(outcome(&authenticator, &ours.token(&claims())).await, "ok");
    assert_eq!(
        outcome(&authenticator, &theirs.token(&of_other)).await,
        "ok"
    );
    assert_eq!(
        outcome(&authenticator, &theirs.token(&claims())).await,
        "signature"
    );
    assert_eq!(
        outcome(&authenticator, &ours.token(&of_other)).await,
        "signature"
    );
    for iss in [
        json!(format!("{IDP}/")),
        json!("https://other.example.com/"),
        json!("http://other.example.com"),
        json!(""),
        json!([IDP]),
        Value::Null,
    ] {
        let token = ours.token(&claims_with("iss", iss));
        assert_eq!(outcome(&authenticator, &token).await, "issuer");
    }
}

#[tokio::test]
async fn claims_are_checked_after_the_signature() {
    let (signer, stranger) = (Signer::es256("k"), Signer::es256("k"));
    let authenticator = trusting(&[&signer]);
    for (name, value, reason) in [
        ("aud", json!("other"), "audience"),
        ("aud", json!(["other", "grafana"]), "ok"),
        ("aud", Value::Null, "claims"),
        ("exp", json!(NOW - 30), "expired"),
        ("exp", json!(NOW - 29), "ok"),
        ("exp", json!("9999999999"), "claims"),
        ("exp", Value::Null, "claims"),
        ("nbf", json!(NOW + 31), "not_yet_valid"),
        ("iat", json!(NOW + 31), "not_yet_valid"),
        ("sub", json!(7), "claims"),
        ("sub", json!("bob"), "ok"),
    ] {
        let claims = claims_with(name, value);
        assert_eq!(
            outcome(&authenticator, &signer.token(&claims)).await,
            reason,
            "{claims}"
        );
        let forged = stranger.token(&claims);
        assert_eq!(
            outcome(&authenticator, &forged).await,
            "signature",
            "{claims}"
        );
    }
    let header = r#"{"alg":"ES256","kid":"k"}"#;
    let text = claims().to_string();
    let (head, _) = text.rsplit_once('}').unwrap();
    for bad in [
        format!(r#"{head},"tenant_id":"other"}}"#),
        format!(r#"{head},"tenant\u005fid":"other"}}"#),
        format!(r#"{head},"deep":{}{}}}"#, "[".repeat(40), "]".repeat(40)),
        format!(r#"{head},"exp2":1e400}}"#),
        format!("{text}{text}"),
        head.to_owned(),
    ] {
        let token = signer.sign(header, &bad);
        assert_eq!(outcome(&authenticator, &token).await, "malformed", "{bad}");
    }
    let no_subject = json!({"iss": IDP, "aud": "grafana", "exp": NOW + 1, "tenant_id": "acme"});
    assert_eq!(
        outcome(&authenticator, &signer.token(&no_subject)).await,
        "ok"
    );
    let no_expiry = json!({"iss": IDP, "aud": "grafana", "tenant_id": "acme"});
    assert_eq!(
        outcome(&authenticator, &signer.token(&no_expiry)).await,
        "claims"
    );
}

#[tokio::test]
async fn changed_token_is_not_found_in_the_cache() {
    let signer = Signer::es256("k");
    let authenticator = trusting(&[&signer]);
    let good = signer.token(&claims());
    assert_eq!(outcome(&authenticator, &good).await, "ok");
    let parts: Vec<&str> = good.split('.').collect();
    let foreign = URL_SAFE_NO_PAD.encode(claims_with("tenant_id", json!("other")).to_string());
    let swapped = format!("{}.{foreign}.{}", parts[0], parts[2]);
    assert_eq!(outcome(&authenticator, &swapped).await, "signature");
    for changed in [
        format!("{good}="),
        format!("{good}A"),
        format!("{good}."),
        format!("{good}.{}", parts[2]),
        format!("{}.{}.{}.x.y", parts[0], parts[1], parts[2]),
        json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]})
            .to_string()
            .replace(',', ";"),
    ] {
        let reason = outcome(&authenticator, &changed).await;
        assert!(
            ["malformed", "signature"].contains(&reason),
            "{changed}: {reason}"
        );
    }
}

#[tokio::test]
async fn order_of_sources_decides_which_token_is_used() {
    let signer = Signer::es256("k");
    let authenticator = trusting(&[&signer]);
    let bob = signer.token(&claims_with("sub", json!("bob")));
    let mut both = headers(&signer.token(&claims()));
    let id_token = HeaderName::from_static("x-id-token");
    both.insert(&id_token, HeaderValue::try_from(&bob).unwrap());
    let caller = authenticator.authenticate(&both).await.unwrap();
    assert_eq!(caller.principal().subject(), Some("alice"));
    assert_eq!(caller.principal().header(), "authorization");
    // An invalid token in the first header is refused, even if the next header has a valid one.
    for (bad, reason) in [
        (Signer::es256("k").token(&claims()), "signature"),
        (signer.token(&claims_with("aud", json!("x"))), "audience"),
        (
            signer.token(&claims_with("exp", json!(NOW - 60))),
            "expired",
        ),
        (format!("{}.x", signer.token(&claims())), "malformed"),
        ("eyJhbGciOiJkaXIifQ..a.b.c".to_owned(), "malformed"),
    ] {
        let mut bad_first = both.clone();
        let value = HeaderValue::try_from(format!("Bearer {bad}")).unwrap();
        bad_first.insert("authorization", value);
        let error = authenticator.authenticate(&bad_first).await.unwrap_err();
        assert_eq!(error.reason().label(), reason);
        assert!(
            error.to_string().contains("list x-id-token first"),
            "{error}"
        );
    }
    // An opaque token is skipped.
    let mut opaque_first = both.clone();
    opaque_first.insert("authorization", HeaderValue::from_static("Bearer ya29.x"));
    let caller = authenticator.authenticate(&opaque_first).await.unwrap();
    assert_eq!(caller.principal().subject(), Some("bob"));
    opaque_first.remove(&id_token);
    let error = authenticator.authenticate(&opaque_first).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("opaque") && text.contains("tokens.sources"),
        "{text}"
    );
    both.remove("authorization");
    let caller = authenticator.authenticate(&both).await.unwrap();
    assert_eq!(caller.principal().subject(), Some("bob"));
    assert_eq!(caller.principal().header(), id_token);
    // The same token in another header is cached with that header.
    let caller = authenticator.authenticate(&headers(&bob)).await.unwrap();
    assert_eq!(caller.principal().header(), "authorization");
}

#[tokio::test]
async fn valid_token_without_tenants_is_authenticated() {
    let signer = Signer::es256("k");
    let authenticator = trusting(&[&signer]);
    for (value, reason) in [
        (Value::Null, "claim_type"),
        (json!([]), "claim_empty"),
        (json!(""), "claim_empty"),
        (json!([""]), "claim_empty"),
        (json!(7), r#"tenant_id="7""#),
        (json!(7.5), "claim_type"),
        (json!("a\u{0}"), "invalid_tenant"),
        (json!(["a", "b"]), r#"tenant_id=~"a|b""#),
    ] {
        let token = signer.token(&claims_with("tenant_id", value));
        let caller = authenticator.authenticate(&headers(&token)).await.unwrap();
        assert_eq!(tenants(&caller), reason);
    }
}

#[tokio::test]
async fn cached_token_still_expires() {
    let signer = Signer::es256("k");
    let (authenticator, clock) = authenticator(vec![issuer(KeySource::Jwks(jwks(&[&signer])))]);
    let token = signer.token(&claims_with("nbf", json!(NOW)));
    assert_eq!(outcome(&authenticator, &token).await, "ok");
    clock.set(NOW + 329);
    assert_eq!(outcome(&authenticator, &token).await, "ok");
    assert_eq!(authenticator.cached_tokens(), 1);
    clock.set(NOW + 330);
    assert_eq!(outcome(&authenticator, &token).await, "expired");
    assert_eq!(authenticator.cached_tokens(), 0);
    clock.set(NOW);
    assert_eq!(outcome(&authenticator, &token).await, "ok");
    clock.set(NOW - 31);
    assert_eq!(outcome(&authenticator, &token).await, "not_yet_valid");
}

#[tokio::test]
async fn failures_are_not_cached_and_successes_are_bounded() {
    let signer = Signer::es256("k");
    let authenticator = trusting(&[&signer]);
    for n in 0..500 {
        let token = signer.token(&claims_with("jti", json!(n)));
        assert_eq!(outcome(&authenticator, &token).await, "ok");
        assert_ne!(outcome(&authenticator, &format!("{token}A")).await, "ok");
    }
    assert!(
        authenticator.cached_tokens() <= 100,
        "{}",
        authenticator.cached_tokens()
    );
}

#[tokio::test]
async fn missing_keys_are_a_503() {
    let signer = Signer::es256("k");
    let idp = Idp::start().await;
    idp.answer("/jwks", Answer::Head("503 Down"));
    let (authenticator, clock) = authenticator(vec![issuer(jwks_url(idp.jwks_url()))]);
    authenticator.settle(Duration::from_secs(5)).await;
    let token = signer.token(&claims());
    let error = authenticator
        .authenticate(&headers(&token))
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.reason().label()),
        (503, "keys_unavailable")
    );
    let why = authenticator.not_ready().unwrap();
    assert!(why.contains(IDP) && why.contains("answered 503"), "{why}");
    // Errors that need no keys are reported nevertheless.
    assert_eq!(outcome(&authenticator, "x").await, "malformed");

    idp.publish(&[&signer]);
    sleep(QUICK.max_retry * 6).await;
    assert_eq!(authenticator.not_ready(), None);
    assert_eq!(outcome(&authenticator, &token).await, "ok");

    // The provider is down for longer than the keys may be used: a cached token does not help.
    idp.answer("/jwks", Answer::Nothing);
    clock.set(NOW + 86_400);
    let late = signer.token(&claims_with("exp", json!(NOW + 90_000)));
    assert_eq!(outcome(&authenticator, &late).await, "keys_unavailable");
    assert_eq!(outcome(&authenticator, &token).await, "keys_unavailable");
    assert!(authenticator.not_ready().is_some());
}

#[tokio::test]
async fn token_of_a_new_key_is_accepted_at_once() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let idp = Idp::start().await;
    idp.publish(&[&old]);
    let (authenticator, _) = authenticator(vec![issuer(jwks_url(idp.jwks_url()))]);
    authenticator.settle(Duration::from_secs(5)).await;
    idp.publish(&[&old, &new]);
    sleep(QUICK.gap).await;
    let token = new.token(&claims());
    let authenticator = Arc::new(authenticator);
    let task = {
        let authenticator = authenticator.clone();
        tokio::spawn(async move { outcome(&authenticator, &token).await })
    };
    assert_eq!(task.await.unwrap(), "ok");
    assert_eq!(idp.request_count(), 2);
    // Unknown keys do not cause repeated fetches.
    let begin = Instant::now();
    for n in 0..50 {
        let forged = Signer::es256("forged").token(&claims_with("jti", json!(n)));
        assert_eq!(outcome(&authenticator, &forged).await, "key");
    }
    let in_turn = begin.elapsed().as_millis() / QUICK.gap.as_millis() + 1;
    assert!(
        idp.request_count() as u128 <= 2 + in_turn,
        "{}",
        idp.request_count()
    );
}

#[tokio::test]
async fn revoked_key_is_refused_after_the_refresh_even_for_cached_tokens() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let idp = Idp::start().await;
    idp.publish(&[&old, &new]);
    let settings = Issuer {
        refresh_interval: Duration::from_millis(200),
        ..issuer(jwks_url(idp.jwks_url()))
    };
    let (authenticator, _) = authenticator(vec![settings]);
    authenticator.settle(Duration::from_secs(5)).await;
    let (of_old, of_new) = (old.token(&claims()), new.token(&claims()));
    assert_eq!(outcome(&authenticator, &of_old).await, "ok");
    assert_eq!(outcome(&authenticator, &of_new).await, "ok");
    idp.publish(&[&new]);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(outcome(&authenticator, &of_old).await, "key");
    assert_eq!(outcome(&authenticator, &of_new).await, "ok");
}

#[tokio::test]
async fn reload_keeps_keys_and_forgets_tokens() {
    let signer = Signer::es256("k");
    let idp = Idp::start().await;
    idp.publish(&[&signer]);
    let settings = issuer(jwks_url(idp.jwks_url()));
    let (before, clock) = authenticator(vec![settings.clone()]);
    before.settle(Duration::from_secs(5)).await;
    let token = signer.token(&claims());
    assert_eq!(outcome(&before, &token).await, "ok");

    // Other rules and an additional audience: the keys are the same.
    let changed = Issuer {
        audiences: vec!["grafana".to_owned(), "new".to_owned()],
        ..settings.clone()
    };
    let mut rules = tenancy();
    rules.rules = vec![TenantRule {
        when: When {
            issuer: None,
            claim: Some((ClaimPath(vec!["sub".to_owned()]), vec!["bob".to_owned()])),
        },
        grant: Grant::AllTenants,
    }];
    let reload = |issuer: Issuer, reuse: &Authenticator| {
        let (tokens, rules) = (tokens(vec![issuer]), Arc::new(rules.clone()));
        Authenticator::with(&tokens, rules, Some(reuse), clock.clone(), QUICK).unwrap()
    };
    let after = reload(changed.clone(), &before);
    drop(before);
    assert_eq!(after.not_ready(), None);
    assert_eq!(idp.request_count(), 1);
    let caller = after.authenticate(&headers(&token)).await.unwrap();
    assert_eq!(tenants(&caller), "no_rule");
    // The reused keys are still refreshed.
    idp.publish(&[]);
    sleep(QUICK.gap).await;
    let unknown = Signer::es256("unknown").token(&claims());
    assert_eq!(outcome(&after, &unknown).await, "keys_unavailable");
    assert_eq!(idp.request_count(), 2);

    // Another URL of the keys: they are fetched from there.
    idp.answer("/other", Answer::Json(jwks(&[&signer])));
    let moved = Issuer {
        keys: jwks_url(format!("{}/other", idp.url)),
        ..changed
    };
    let moved = reload(moved, &after);
    moved.settle(Duration::from_secs(5)).await;
    assert_eq!(moved.not_ready(), None);
    assert_eq!(idp.request_count(), 3);
}

#[tokio::test]
async fn settings_that_cannot_work_are_errors() {
    let of = |tokens: &Tokens| {
        let authenticator = Authenticator::new(tokens, Arc::new(tenancy()), None);
        authenticator.err().unwrap().to_string()
    };
    let mut header = tokens(vec![issuer(KeySource::Jwks(jwks(&[&Signer::es256("k")])))]);
    header.sources[0].header = "not a header".to_owned();
    assert!(of(&header).contains("`not a header`"));
    let keys = tokens(vec![issuer(KeySource::Jwks("{}".to_owned()))]);
    assert!(of(&keys).contains("jwks_file"), "{}", of(&keys));
}

/// Tokens in the forms of real providers.
#[tokio::test]
async fn tokens_of_real_providers() {
    let signer = Signer::rsa("k", CryptoAlgorithm::RS256);
    for (iss, claims) in [
        (
            "https://sso.example.com/realms/obs",
            json!({
                "exp": NOW + 300, "iat": NOW, "auth_time": NOW - 5, "jti": "onrtac:5f",
                "aud": ["grafana", "account"], "sub": "8f0c", "typ": "Bearer", "azp": "grafana",
                "sid": "x", "acr": "1", "realm_access": {"roles": ["offline_access"]},
                "resource_access": {"account": {"roles": ["view-profile"]}},
                "scope": "openid email", "email_verified": true, "groups": ["/tenants/acme"],
                "preferred_username": "alice", "tenant_id": "acme",
            }),
        ),
        (
            "https://login.microsoftonline.com/7c2e0c9b-0000-4000-8000-000000000000/v2.0",
            json!({
                "aud": "grafana", "iat": NOW, "nbf": NOW, "exp": NOW + 4000, "aio": "A", "ver": "2.0",
                "groups": ["6f1d7c1e-0000-4000-8000-000000000001"], "roles": ["Tenant.Read"],
                "oid": "o", "sub": "s", "tid": "7c2e0c9b-0000-4000-8000-000000000000",
                "tenant_id": "acme",
            }),
        ),
        (
            "https://example.eu.auth0.com/",
            json!({
                "https://example.com/tenants": ["acme"], "sub": "auth0|5f", "iat": NOW,
                "aud": ["grafana", "https://example.eu.auth0.com/userinfo"], "exp": NOW + 86_400,
                "azp": "c", "scope": "openid", "tenant_id": "acme",
            }),
        ),
        (
            "https://dex.example.com",
            json!({
                "sub": "CgVhbGljZQ", "aud": "grafana", "exp": NOW + 86_400, "iat": NOW,
                "at_hash": "x", "groups": ["acme:ops"], "name": "alice", "tenant_id": "acme",
            }),
        ),
        (
            "https://kubernetes.default.svc.cluster.local",
            json!({
                "aud": ["grafana"], "exp": NOW + 3607, "iat": NOW, "nbf": NOW, "jti": "j",
                "kubernetes.io": {
                    "namespace": "acme", "node": {"name": "n", "uid": "u"},
                    "serviceaccount": {"name": "agent", "uid": "u"},
                },
                "sub": "system:serviceaccount:acme:agent", "tenant_id": "acme",
            }),
        ),
    ] {
        let settings = Issuer {
            issuer: iss.into(),
            ..issuer(KeySource::Jwks(jwks(&[&signer])))
        };
        let (authenticator, _) = authenticator(vec![settings]);
        let mut claims = claims;
        claims["iss"] = json!(iss);
        let caller = authenticator
            .authenticate(&headers(&signer.token(&claims)))
            .await;
        assert_eq!(tenants(&caller.unwrap()), r#"tenant_id="acme""#, "{iss}");
    }
}
