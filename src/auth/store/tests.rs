use std::time::Duration;

use tokio::time::sleep;

use tokio::time::Instant;

use super::super::shared::MAX_WAITING;
use super::*;
use crate::auth::jws;
use crate::auth::keys::Verdict;
use crate::auth::testing::{
    Answer, Idp, ManualClock, NOW, QUICK, Signer, claims, issuer, jwks, jwks_url,
};
use crate::config::settings::Secret;

/// The store of an issuer whose keys are at the provider's `/jwks`, fetched once.
async fn store(idp: &Idp) -> (KeyStore, Arc<ManualClock>) {
    let clock = ManualClock::at(NOW);
    let issuer = issuer(jwks_url(idp.jwks_url()));
    let store = KeyStore::new(&issuer, clock.clone(), QUICK).unwrap();
    store.first_fetch().await;
    (store, clock)
}

fn verdict(store: &KeyStore, signer: &Signer) -> Option<Verdict> {
    let token = signer.token(&claims());
    let current = store.usable(NOW)?;
    Some(current.keys.verify(&jws::parse(&token).unwrap()))
}

fn generation(store: &KeyStore) -> u64 {
    store.usable(NOW).unwrap().generation
}

#[tokio::test]
async fn refresh_adds_new_keys_and_removes_old_ones() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let idp = Idp::start().await;
    idp.publish(&[&old]);
    let (store, _) = store(&idp).await;
    assert_eq!(verdict(&store, &old), Some(Verdict::Good));
    assert_eq!(verdict(&store, &new), Some(Verdict::NoKey));
    let before = generation(&store);

    sleep(QUICK.gap).await;
    assert!(store.refresh().await);
    assert_eq!(
        generation(&store),
        before,
        "the same keys are the same generation"
    );

    idp.publish(&[&new]);
    sleep(QUICK.gap).await;
    assert!(store.refresh().await);
    assert_eq!(verdict(&store, &new), Some(Verdict::Good));
    assert_eq!(verdict(&store, &old), Some(Verdict::NoKey));
    assert_ne!(generation(&store), before);
}

#[tokio::test]
async fn concurrent_refreshes_share_one_fetch_per_gap() {
    let signer = Signer::es256("k");
    let idp = Idp::start().await;
    idp.publish(&[&signer]);
    let keys = Arc::new(store(&idp).await.0);
    assert_eq!(idp.request_count(), 1);
    let storm = |size: usize| {
        let keys = keys.clone();
        async move {
            let asking: Vec<_> = (0..size)
                .map(|_| {
                    let keys = keys.clone();
                    tokio::spawn(async move { keys.refresh().await })
                })
                .collect();
            let mut waited = 0;
            for task in asking {
                waited += usize::from(task.await.unwrap());
            }
            waited
        }
    };
    assert_eq!(storm(500).await, 0, "the first fetch was just now");
    assert_eq!(idp.request_count(), 1);
    sleep(QUICK.gap).await;
    idp.answer(
        "/jwks",
        Answer::Slow(Duration::from_millis(100), jwks(&[&signer])),
    );
    let waited = storm(500).await;
    assert!((1..=MAX_WAITING).contains(&waited), "{waited}");
    assert_eq!(idp.request_count(), 2);
    assert_eq!(storm(500).await, 0);
    assert_eq!(idp.request_count(), 2);
}

#[tokio::test]
async fn running_fetch_is_waited_for_and_not_repeated() {
    let signer = Signer::es256("k");
    let idp = Idp::start().await;
    idp.publish(&[&signer]);
    let keys = Arc::new(store(&idp).await.0);
    sleep(QUICK.gap).await;
    let slow = QUICK.gap + Duration::from_millis(500);
    idp.answer("/jwks", Answer::Slow(slow, jwks(&[&signer])));
    let first = tokio::spawn({
        let keys = keys.clone();
        async move { keys.refresh().await }
    });
    sleep(QUICK.gap + Duration::from_millis(100)).await;
    assert!(keys.refresh().await);
    assert!(first.await.unwrap());
    sleep(Duration::from_millis(200)).await;
    assert_eq!(idp.request_count(), 2);
}

#[tokio::test]
async fn waiting_for_a_fetch_is_bounded() {
    let idp = Idp::start().await;
    idp.publish(&[&Signer::es256("k")]);
    let (store, _) = store(&idp).await;
    sleep(QUICK.gap).await;
    idp.answer("/jwks", Answer::Slow(Duration::from_mins(1), String::new()));
    let begin = Instant::now();
    assert!(!store.refresh().await);
    assert!(begin.elapsed() >= QUICK.wait && begin.elapsed() < QUICK.wait * 3);
}

#[tokio::test]
async fn failures_keep_the_keys_until_they_are_too_old() {
    let signer = Signer::es256("k");
    let idp = Idp::start().await;
    idp.publish(&[&signer]);
    let (store, clock) = store(&idp).await;
    for failure in [
        Answer::Head("503 Down"),
        Answer::Json("no json".to_owned()),
        Answer::Nothing,
    ] {
        idp.answer("/jwks", failure);
        // The first fetch is triggered, the others are retries.
        sleep(QUICK.gap).await;
        store.refresh().await;
        assert_eq!(verdict(&store, &signer), Some(Verdict::Good));
        assert!(store.status(NOW).failure.is_some());
    }
    let day = 86_400;
    assert!(store.usable(NOW + day - 1).is_some());
    assert!(store.usable(NOW + day).is_none());
    assert_eq!(store.status(NOW + day).keys, 0);
    // A failure is retried soon, and a successful fetch makes the keys fresh again.
    clock.set(NOW + day);
    idp.publish(&[&signer]);
    sleep(QUICK.max_retry * 6).await;
    assert!(store.usable(NOW + 2 * day - 1).is_some());
    let status = store.status(NOW + day);
    assert_eq!((status.keys, status.failure), (1, None));
    assert!(
        status.fetches_ok >= 2 && status.fetches_failed >= 3,
        "{}",
        status.fetches_ok
    );
}

#[tokio::test]
async fn fetch_that_fails_at_the_start_is_retried() {
    let signer = Signer::es256("k");
    let idp = Idp::start().await;
    let (store, _) = store(&idp).await;
    assert!(store.usable(NOW).is_none());
    let failure = store.status(NOW).failure.unwrap();
    assert!(failure.contains("answered 404"), "{failure}");
    idp.publish(&[&signer]);
    sleep(QUICK.max_retry * 6).await;
    assert_eq!(verdict(&store, &signer), Some(Verdict::Good));
}

#[tokio::test]
async fn provider_that_withdraws_all_keys_leaves_none() {
    let signer = Signer::es256("k");
    let idp = Idp::start().await;
    idp.publish(&[&signer]);
    let (store, _) = store(&idp).await;
    idp.publish(&[]);
    sleep(QUICK.gap).await;
    assert!(store.refresh().await);
    assert!(store.usable(NOW).is_none());
    assert_eq!(store.status(NOW).failure, None);
}

#[tokio::test]
async fn keys_are_fetched_in_intervals_while_the_store_lives() {
    let idp = Idp::start().await;
    idp.publish(&[&Signer::es256("k")]);
    let mut issuer = issuer(jwks_url(idp.jwks_url()));
    issuer.refresh_interval = Duration::from_millis(50);
    let store = KeyStore::new(&issuer, ManualClock::at(NOW), QUICK).unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(idp.request_count() >= 3, "{}", idp.request_count());
    drop(store);
    sleep(Duration::from_millis(100)).await;
    let request_count = idp.request_count();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(idp.request_count(), request_count);
}

#[test]
fn keys_from_the_config_are_available_at_once_without_a_runtime() {
    let signer = Signer::es256("k");
    let of = |keys| KeyStore::new(&issuer(keys), ManualClock::at(NOW), QUICK);
    let store = of(KeySource::Jwks(jwks(&[&signer]))).unwrap();
    assert_eq!(verdict(&store, &signer), Some(Verdict::Good));
    assert!(store.usable(u64::MAX - 1).is_some());
    let store = of(KeySource::Pem(signer.public_pem.clone())).unwrap();
    assert_eq!(verdict(&store, &signer), Some(Verdict::Good));

    let refused = |keys| of(keys).err().unwrap().to_string();
    let text = refused(KeySource::Jwks(
        r#"{"keys":[{"kid":"a","kty":"oct","k":"AA"}]}"#.to_owned(),
    ));
    assert!(
        text.starts_with("issuer https://idp.example.com/realms/obs: "),
        "{text}"
    );
    assert!(
        text.contains("no usable key; key \"a\": it is a shared secret"),
        "{text}"
    );
    let text = refused(KeySource::Pem("none".to_owned()));
    assert!(text.contains("pem_file has no section"), "{text}");
    let secret = Secret::new("a secret of at least thirty-two bytes".to_owned());
    let text = refused(KeySource::Hmac(secret));
    assert!(text.contains("hmac_secret: none of the issuer"), "{text}");
    let text = refused(jwks_url("http://127.0.0.1:1/".to_owned()));
    assert!(text.contains("asynchronous runtime"), "{text}");
}
