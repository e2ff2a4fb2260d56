//! Tokens: who is let in has a token that another verifier takes too, for the tenants that it names.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::FutureExt as _;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use partywall::auth::Authenticator;
use partywall::config::settings::{
    Algorithm, ClaimGrant, ClaimPath, Grant, Issuer, KeySource, Secret, Selectors, Tenancy,
    TenantRule, TokenSource, Tokens, When,
};
use partywall::tenancy::TenantScope;
use serde_json::Value;

const ISSUER: &str = "https://sso.test";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(authenticator);
static KEY: LazyLock<Key> = LazyLock::new(|| Key::new(HMAC_SHA256, SECRET.as_bytes()));

/// The first byte chooses: a token as it is; or header and claims, separated by a line feed, that are
/// signed here with the right key.
pub fn check(data: &[u8]) {
    let Some(([choice], rest)) = crate::split(data) else {
        return;
    };
    let token = if choice & 1 == 0 {
        let Ok(token) = std::str::from_utf8(rest) else {
            return;
        };
        token.to_owned()
    } else {
        let at = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        let claims = rest.get(at + 1..).unwrap_or_default();
        let signed = format!("{}.{}", BASE64.encode(&rest[..at]), BASE64.encode(claims));
        let signature = BASE64.encode(sign(&KEY, signed.as_bytes()));
        format!("{signed}.{signature}")
    };
    let Ok(value) = HeaderValue::try_from(format!("Bearer {token}")) else {
        return;
    };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let caller = AUTHENTICATOR
        .authenticate(&headers)
        .now_or_never()
        .expect("its keys are in the config");
    let Ok(caller) = caller else { return };

    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("not three parts: {token}")
    };
    let signed = &token[..header.len() + 1 + claims.len()];
    let signature = BASE64.decode(signature).expect("base64url");
    verify(&KEY, signed.as_bytes(), &signature).expect("signed with the key");
    let object = |part: &str| -> Value {
        serde_json::from_slice(&BASE64.decode(part).expect("base64url")).expect("JSON")
    };
    let (header, claims) = (object(header), object(claims));
    assert_eq!(header["alg"], "HS256");
    assert_eq!(claims["iss"], ISSUER);
    let audiences = &claims["aud"];
    let has_ours = audiences == "grafana"
        || audiences
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it == "grafana"));
    assert!(has_ours, "{claims}");
    let expiry = claims["exp"].as_f64().expect("a number");
    assert!(expiry > 1_700_000_000.0, "{claims}");
    if let Ok(scope) = caller.scope() {
        let TenantScope::Tenants(tenants) = scope else {
            panic!("all tenants: {claims}")
        };
        let matchers = tenants.metrics().expect("a label");
        let listed = matchers
            .iter()
            .next()
            .and_then(|it| it.values().listed())
            .expect("a list");
        let named = &claims["tenants"];
        for tenant in listed.iter() {
            let is_named = named == tenant.as_str()
                || named
                    .as_array()
                    .is_some_and(|all| all.iter().any(|it| it == tenant.as_str()));
            assert!(is_named, "{tenant:?} is not in {claims}");
        }
    }
}

fn authenticator() -> Authenticator {
    let tokens = Tokens {
        sources: vec![TokenSource {
            header: "authorization".to_owned(),
            scheme: Some("Bearer".to_owned()),
        }],
        issuers: vec![Issuer {
            issuer: ISSUER.into(),
            audiences: vec!["grafana".to_owned()],
            algorithms: vec![Algorithm::HS256],
            authorized_parties: Vec::new(),
            leeway: Duration::from_secs(30),
            max_lifetime: None,
            keys: KeySource::Hmac(Secret::new(SECRET.to_owned())),
            refresh_interval: Duration::from_mins(5),
            max_stale: Duration::from_hours(24),
        }],
        cache_entries: 10,
        max_bytes: 16 * 1024,
    };
    let tenancy = Tenancy {
        rules: vec![TenantRule {
            when: When::default(),
            grant: Grant::Claim(ClaimGrant {
                claim: ClaimPath(vec!["tenants".to_owned()]),
                separator: None,
                pattern: None,
                map: None,
            }),
        }],
        metrics_label: Some("tenant_id".into()),
        traces_attribute: Some("tenant_id".into()),
        traces_org_id: false,
        selectors: Selectors::default(),
        and: Vec::new(),
        clusters: None,
        max_tenants: 100,
    };
    Authenticator::new(&tokens, Arc::new(tenancy), None).expect("valid settings")
}
