//! Keys and credentials that change while the process runs.

use std::time::Duration;

use crate::kit::keys::{Key, key_set};
use crate::kit::provider::Provider;
use crate::kit::rig::{ACME, Config, Rig, replace};
use crate::kit::stage::eventually;
use crate::kit::token::{ISSUER, Signer};

/// In the place of the one issuer of [`Config`].
fn trust(config: &mut Config, issuer: &str, keys: &str) {
    config.algorithm = "ES256";
    keys.clone_into(&mut config.keys);
    config.issuer = issuer.to_owned();
}

async fn launched(change: impl FnOnce(&mut Config)) -> Rig {
    Rig::launch(
        |config, _| change(config),
        |dir, config| {
            let path = dir.join("partywall.yaml");
            std::fs::write(&path, config.to_string()).unwrap();
            path
        },
    )
    .await
}

#[tokio::test]
async fn a_rotated_key_set_file_takes_effect() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let (by_old, by_new) = (old.token(ISSUER), new.token(ISSUER));
    let rig = Rig::start(|config, dir| {
        std::fs::write(dir.join("keys.json"), key_set(&[&old])).unwrap();
        trust(config, ISSUER, "jwks_file: keys.json");
    })
    .await;
    assert_eq!(
        (rig.status(&by_old).await, rig.status(&by_new).await),
        (200, 401)
    );
    let file = rig.dir().join("keys.json");
    replace(&file, &key_set(&[&old, &new]));
    rig.until_status(&by_new, 200).await;
    assert_eq!(rig.status(&by_old).await, 200);
    replace(&file, &key_set(&[&new]));
    rig.until_status(&by_old, 401).await;
    assert_eq!(rig.status(&by_new).await, 200);
    // A file that holds no keys changes nothing.
    let (_, before) = rig.reloads().await;
    replace(&file, "{}");
    eventually("the failure is counted", async || {
        rig.reloads().await.1 > before
    })
    .await;
    assert_eq!(rig.status(&by_new).await, 200);
    assert!(
        rig.process
            .log()
            .contains(":14:18: tokens.issuers[0].jwks_file: ")
    );
}

#[tokio::test]
async fn a_rotated_pem_file_takes_effect() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let (by_old, by_new) = (old.token(ISSUER), new.token(ISSUER));
    let rig = Rig::start(|config, dir| {
        std::fs::write(dir.join("issuer.pem"), &old.public_pem).unwrap();
        trust(config, ISSUER, "pem_file: issuer.pem");
    })
    .await;
    assert_eq!(
        (rig.status(&by_old).await, rig.status(&by_new).await),
        (200, 401)
    );
    replace(&rig.dir().join("issuer.pem"), &new.public_pem);
    rig.until_status(&by_new, 200).await;
    assert_eq!(rig.status(&by_old).await, 401);
}

#[tokio::test]
async fn a_rotated_secret_file_takes_effect() {
    let other = "fedcba9876543210fedcba9876543210";
    let rig = Rig::start(|config, dir| {
        std::fs::write(dir.join("secret"), crate::kit::stage::SECRET).unwrap();
        config.keys = "hmac_secret_file: secret".to_owned();
    })
    .await;
    let by_new = Signer::hs256(other).tenant("acme");
    assert_eq!(
        (rig.status(&ACME).await, rig.status(&by_new).await),
        (200, 401)
    );
    replace(&rig.dir().join("secret"), &format!("{other}\n"));
    rig.until_status(&by_new, 200).await;
    assert_eq!(
        rig.status(&ACME).await,
        401,
        "although it was verified before"
    );
}

#[tokio::test]
async fn rotated_upstream_credentials_take_effect() {
    for (file, option, old, new) in [
        (
            "token",
            "{bearer_token_file: token}",
            "Bearer first-token",
            "Bearer second-token",
        ),
        (
            "password",
            "{basic: {username: partywall, password_file: password}}",
            "Basic cGFydHl3YWxsOmZpcnN0LXRva2Vu",
            "Basic cGFydHl3YWxsOnNlY29uZC10b2tlbg==",
        ),
    ] {
        let rig = Rig::start(|config, dir| {
            std::fs::write(dir.join(file), "first-token\n").unwrap();
            option.clone_into(&mut config.credentials);
        })
        .await;
        assert_eq!(rig.status(&ACME).await, 200);
        assert_eq!(rig.upstream.take_one().header("authorization"), Some(old));
        replace(&rig.dir().join(file), "second-token\n");
        eventually("the new one is sent", async || {
            rig.ask(&ACME).await;
            rig.upstream.take_one().header("authorization") == Some(new)
        })
        .await;
    }
}

#[tokio::test]
async fn published_keys_are_followed() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let provider = Provider::start(&[&old]).await;
    for discovery in [true, false] {
        provider.publish(&[&old]);
        let issuer = provider.issuer();
        let (by_old, by_new) = (old.token(&issuer), new.token(&issuer));
        let rig = launched(|config| {
            let from = if discovery {
                "discovery: true".to_owned()
            } else {
                format!("jwks_url: {}", provider.key_set_url())
            };
            trust(
                config,
                &issuer,
                &format!("{from}\n      refresh_interval: 300ms"),
            );
        })
        .await;
        rig.until_status(&by_old, 200).await;
        assert_eq!(rig.status(&by_new).await, 401);
        provider.publish(&[&old, &new]);
        rig.until_status(&by_new, 200).await;
        assert_eq!(rig.status(&by_old).await, 200);
        // Withdrawn, although its tokens were verified before.
        provider.publish(&[&new]);
        rig.until_status(&by_old, 401).await;
        assert_eq!(rig.status(&by_new).await, 200);
        assert!(rig.metric("partywall_key_fetches_total").await > 2.5);
    }
    assert!(
        !provider
            .asked("/.well-known/openid-configuration")
            .is_empty()
    );
}

/// Takes eleven seconds: clients cannot trigger fetches of keys more often.
#[tokio::test]
async fn an_unknown_key_is_asked_for_once_in_a_while() {
    let (old, new, stranger) = (Key::new("old"), Key::new("new"), Key::new("stranger"));
    let provider = Provider::start(&[&old]).await;
    let issuer = provider.issuer();
    let keys = format!("jwks_url: {}", provider.key_set_url());
    let rig = launched(|config| trust(config, &issuer, &keys)).await;
    rig.until_status(&old.token(&issuer), 200).await;
    for _ in 0..20 {
        assert_eq!(rig.status(&stranger.token(&issuer)).await, 401);
    }
    assert_eq!(
        provider.asked("/keys").len(),
        1,
        "not once for each stranger"
    );
    provider.publish(&[&old, &new]);
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(
        rig.status(&new.token(&issuer)).await,
        200,
        "the first such token waits for it"
    );
    assert_eq!(provider.asked("/keys").len(), 2);
}

#[tokio::test]
async fn without_its_provider_it_is_not_ready_and_recovers() {
    let key = Key::new("key");
    let mut provider = Provider::down();
    let issuer = provider.issuer();
    let rig = launched(|config| trust(config, &issuer, "discovery: true")).await;
    assert_eq!(rig.admin_status("/-/healthy").await, 200);
    let ready = rig.admin_get("/-/ready").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains(&issuer), "{}", ready.text());
    let answer = rig.ask(&key.token(&issuer)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "error");
    assert!(!answer.header("retry-after").is_empty());
    assert!(rig.upstream.take().is_empty());

    provider.publish(&[&key]);
    provider.up().await;
    eventually("it is ready", async || {
        rig.admin_status("/-/ready").await == 200
    })
    .await;
    assert_eq!(rig.status(&key.token(&issuer)).await, 200);
    let failures = format!(r#"partywall_key_fetches_total{{issuer="{issuer}",result="error"}}"#);
    assert!(rig.metric(&failures).await > 0.5);
}

#[tokio::test]
async fn keys_outlive_their_provider_but_not_for_ever() {
    let (key, other) = (Key::new("key"), Key::new("other"));
    let mut provider = Provider::start(&[&key]).await;
    let issuer = provider.issuer();
    let rig = launched(|config| {
        let keys = "discovery: true\n      refresh_interval: 200ms\n      max_stale: 10s";
        trust(config, &issuer, keys);
    })
    .await;
    rig.until_status(&key.token(&issuer), 200).await;
    provider.go_down().await;
    let failed = format!(r#"partywall_key_fetches_total{{issuer="{issuer}",result="error"}}"#);
    eventually("fetches fail", async || rig.metric(&failed).await > 1.5).await;
    assert_eq!(
        rig.status(&key.token(&issuer)).await,
        200,
        "the keys are there still"
    );
    assert_eq!(rig.admin_status("/-/ready").await, 200);
    assert_eq!(rig.status(&other.token(&issuer)).await, 401);
    rig.until_status(&key.token(&issuer), 503).await;
    assert_eq!(rig.admin_status("/-/ready").await, 503);
    provider.up().await;
    rig.until_status(&key.token(&issuer), 200).await;
}

#[tokio::test]
async fn a_provider_that_talks_nonsense_is_one_that_is_away() {
    let key = Key::new("key");
    let provider = Provider::start(&[&key]).await;
    let issuer = provider.issuer();
    let rig = launched(|config| {
        let keys = "discovery: true\n      refresh_interval: 200ms";
        trust(config, &issuer, keys);
    })
    .await;
    rig.until_status(&key.token(&issuer), 200).await;
    let failed = format!(r#"partywall_key_fetches_total{{issuer="{issuer}",result="error"}}"#);
    for nonsense in ["<html>", "[]", r#"{"keys":1}"#, ""] {
        let before = rig.metric(&failed).await;
        provider.publish_text(nonsense);
        eventually("fetches fail", async || {
            rig.metric(&failed).await > before + 0.5
        })
        .await;
        assert_eq!(rig.status(&key.token(&issuer)).await, 200, "{nonsense}");
    }
    // An empty set is no nonsense: no key is valid.
    provider.publish(&[]);
    rig.until_status(&key.token(&issuer), 503).await;
}

#[tokio::test]
async fn token_for_the_provider_is_reread() {
    let key = Key::new("key");
    let provider = Provider::start(&[&key]).await;
    let issuer = provider.issuer();
    let rig = Rig::start(|config, dir| {
        std::fs::write(dir.join("token"), "first-token").unwrap();
        let keys = format!(
            "jwks_url: {}\n      refresh_interval: 200ms\n      bearer_token_file: token",
            provider.key_set_url()
        );
        trust(config, &issuer, &keys);
    })
    .await;
    eventually("it is shown", async || {
        provider
            .asked("/keys")
            .iter()
            .any(|shown| shown == "Bearer first-token")
    })
    .await;
    replace(&rig.dir().join("token"), "second-token");
    eventually("the new one is shown", async || {
        provider
            .asked("/keys")
            .iter()
            .any(|shown| shown == "Bearer second-token")
    })
    .await;
    assert_eq!(rig.status(&key.token(&issuer)).await, 200);
}

#[tokio::test]
async fn a_reload_waits_for_the_keys_of_new_issuers() {
    let key = Key::new("key");
    let provider = Provider::start(&[&key]).await;
    let issuer = provider.issuer();
    let mut rig = Rig::start(|config, _| config.unwatched()).await;
    let keys_of = |issuer: &str| format!(r#"partywall_issuer_keys{{issuer="{issuer}"}}"#);
    assert!(rig.metric(&keys_of(ISSUER)).await > 0.5);
    trust(&mut rig.config, &issuer, "discovery: true");
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.status(&key.token(&issuer)).await, 200, "at once");
    assert_eq!(rig.admin_status("/-/ready").await, 200);
    assert_eq!(rig.status(&ACME).await, 401, "whose issuer is gone");
    // Kept over a reload that does not concern it.
    let fetched = provider.asked("/keys").len();
    rig.config.rest = "limits: {requests: 7}\n".to_owned();
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.status(&key.token(&issuer)).await, 200);
    assert_eq!(provider.asked("/keys").len(), fetched);
    // The issuer that is gone has no metrics any more.
    assert!(rig.metric(&keys_of(&issuer)).await > 0.5);
    assert!(rig.metric(&keys_of(ISSUER)).await < 0.5);
}
