//! Signed tokens, and the key files that a config names.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://sso.test/realms/observability";
pub const AUDIENCE: &str = "grafana";

/// Who signs, with a key made for this test.
pub struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    /// What `jwks_file` (RS256) or `hmac_secret_file` (HS256) is to hold.
    pub key_file: String,
}

impl Signer {
    pub fn rs256() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("PKCS #8");
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a PEM key");
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).expect("a public key");
        jwk.common.key_id = Some("test".to_owned());
        let key_file = serde_json::to_string(&JwkSet { keys: vec![jwk] }).expect("JSON");
        Self {
            key,
            algorithm: Algorithm::RS256,
            key_file,
        }
    }

    pub fn hs256(secret: &str) -> Self {
        Self::hmac(secret, Algorithm::HS256)
    }

    pub fn hmac(secret: &str, algorithm: Algorithm) -> Self {
        Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
            algorithm,
            key_file: secret.to_owned(),
        }
    }

    /// The key's line in `tokens.issuers`.
    pub fn key_option(&self) -> &'static str {
        match self.algorithm {
            Algorithm::HS256 => "hmac_secret_file",
            _ => "jwks_file",
        }
    }

    pub fn algorithm(&self) -> String {
        format!("{:?}", self.algorithm)
    }

    /// A good token for an hour, with `claims` over the usual ones (`null` takes one away).
    pub fn token(&self, claims: &Value) -> String {
        let mut all = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "tester", "exp": now() + 3600, "iat": now(),
        });
        let set = all.as_object_mut().expect("an object");
        for (name, value) in claims.as_object().expect("claims are an object") {
            if value.is_null() {
                set.remove(name);
            } else {
                set.insert(name.clone(), value.clone());
            }
        }
        let mut header = Header::new(self.algorithm);
        header.kid = (self.algorithm == Algorithm::RS256).then(|| "test".to_owned());
        jsonwebtoken::encode(&header, &all, &self.key).expect("a token")
    }

    /// The tenant `acme`'s, with this header, signed by the signer's own algorithm.
    pub fn with_header(&self, header: &Value) -> String {
        let good = self.tenant("acme");
        let claims = good.split('.').nth(1).expect("three parts");
        self.signed(&header.to_string(), claims)
    }

    /// These claims as they stand, which need not be JSON that could be built.
    pub fn text(&self, claims: &str) -> String {
        let header = json!({ "alg": self.algorithm(), "kid": "test" });
        self.signed(&header.to_string(), &URL_SAFE_NO_PAD.encode(claims))
    }

    fn signed(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm);
        format!("{message}.{}", signature.expect("a signature"))
    }

    pub fn tenant(&self, tenant: &str) -> String {
        self.token(&json!({ "tenant_id": tenant }))
    }

    pub fn tenants(&self, tenants: &[&str]) -> String {
        self.token(&json!({ "tenant_id": tenants }))
    }

    /// A token that the rule of [`super::partywall::Setup`] grants all tenants.
    pub fn admin(&self) -> String {
        self.token(&json!({ "groups": ["platform-admins"] }))
    }
}

pub fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(now.as_secs()).expect("before the year 292 billion")
}
