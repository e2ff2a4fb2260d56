//! How shadow mode comes and goes.

use std::time::{Duration, SystemTime};

use super::stage::{ask, eventually, metric, ready, shadow, shadow_until, verdict};
use crate::kit::client::{Ask, Client};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::upstream::Upstream;

const IN_FORCE: &str = "partywall_shadow{upstream=\"metrics\"}";

fn question() -> Ask {
    Ask::get("/api/v1/query", &[("query", "up")])
}

#[tokio::test]
async fn it_ends_by_itself() {
    let upstream = Upstream::start().await;
    let until = SystemTime::now() + Duration::from_secs(6);
    let mut setup = Setup::new(&upstream.url);
    setup.upstream_options = vec![shadow_until(until, "")];
    // Never read again.
    setup.rest = "reload: {poll_interval: 1h}\n".to_owned();
    let proxy = Partywall::start(setup).await;
    let answer = ask(&proxy, &question(), None).await;
    assert_eq!(
        (answer.status.as_u16(), verdict(&answer)),
        (200, "denied; reason=missing")
    );
    assert!((metric(&proxy, IN_FORCE).await - 1.0).abs() < 1e-9);
    let text = ready(&proxy).await;
    assert!(
        text.starts_with("ready; upstream metrics is in shadow mode until ")
            && text.ends_with(": nothing is enforced there\n"),
        "{text}"
    );
    let log = proxy.process.log();
    assert!(
        log.contains("upstreams[0].shadow: upstream metrics is in shadow mode"),
        "{log}"
    );
    let config = Client::default()
        .get(&format!("{}/-/config", proxy.admin))
        .await;
    assert!(config.text().contains("tenants_see_each_other: true"));

    upstream.take();
    eventually("it is enforced", async || {
        ask(&proxy, &question(), None).await.status == 401
    })
    .await;
    assert!(SystemTime::now() >= until, "too early");
    upstream.take();
    let token = proxy.signer.tenant("acme");
    let answer = ask(&proxy, &question(), Some(&token)).await;
    assert_eq!(verdict(&answer), "");
    assert_eq!(
        upstream.take_one().param("query"),
        [r#"up{tenant_id="acme"}"#]
    );
    assert_eq!(ready(&proxy).await, "ready\n");
    assert!(metric(&proxy, IN_FORCE).await.abs() < 1e-9);
    eventually("its end is logged", async || {
        proxy.process.log().contains("its shadow mode ended")
    })
    .await;
}

#[tokio::test]
async fn a_reload_switches_it_on_and_off() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.rest = "reload: {poll_interval: 100ms}\n".to_owned();
    let proxy = Partywall::start(setup).await;
    assert_eq!(ask(&proxy, &question(), None).await.status, 401);
    assert_eq!(ready(&proxy).await, "ready\n");
    assert!(!proxy.process.log().contains("SHADOW"));
    let without = std::fs::read_to_string(proxy.config()).expect("a config");
    let url = format!("    url: {}\n", upstream.url);
    let with = without.replace(&url, &format!("{url}    {}\n", shadow()));
    assert_ne!(with, without);
    std::fs::write(proxy.config(), &with).expect("written");
    eventually("it is open", async || {
        ask(&proxy, &question(), None).await.status == 200
    })
    .await;
    assert!(
        proxy
            .process
            .log()
            .contains("upstreams[0].shadow: upstream metrics is in shadow mode")
    );
    std::fs::write(proxy.config(), &without).expect("written");
    eventually("it is enforced again", async || {
        ask(&proxy, &question(), None).await.status == 401
    })
    .await;
    assert_eq!(ready(&proxy).await, "ready\n");
}

/// A reload with half of it changes nothing.
#[tokio::test]
async fn half_of_it_is_refused_while_running() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.rest = "reload: {poll_interval: 100ms}\n".to_owned();
    let proxy = Partywall::start(setup).await;
    let good = std::fs::read_to_string(proxy.config()).expect("a config");
    let url = format!("    url: {}\n", upstream.url);
    let bad = good.replace(
        &url,
        &format!("{url}    shadow: {{tenants_see_each_other: true}}\n"),
    );
    std::fs::write(proxy.config(), bad).expect("written");
    eventually("it is refused", async || {
        metric(&proxy, "partywall_config_reloads_total{result=\"error\"}").await > 0.5
    })
    .await;
    assert_eq!(ask(&proxy, &question(), None).await.status, 401);
    assert!(proxy.process.log().contains("shadow.until: is required"));
}
