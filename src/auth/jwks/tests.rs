use jsonwebtoken::Algorithm as CryptoAlgorithm;
use serde_json::json;

use super::*;
use crate::auth::jws;
use crate::auth::keys::Verdict;
use crate::auth::testing::{Signer, WEAK_RSA, claims, jwks};

const ALLOWED: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::PS384,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

fn key_set(keys: &[Value]) -> Jwks {
    parse(json!({ "keys": keys }).to_string().as_bytes(), ALLOWED).unwrap()
}

/// Why the one key is not used.
fn unused(key: &Value) -> Option<Unusable> {
    let mut jwks = key_set(std::slice::from_ref(key));
    assert_eq!(jwks.keys.len() + jwks.unused.len(), 1);
    jwks.unused.pop().map(|(_, why)| why)
}

fn with(key: &Value, name: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[name] = value;
    key
}

fn without(key: &Value, name: &str) -> Value {
    let mut key = key.clone();
    key.as_object_mut().unwrap().remove(name);
    key
}

#[test]
fn tokens_of_every_kind_of_key_are_verified_and_by_no_other_key() {
    let signers = [
        Signer::rsa("rsa", CryptoAlgorithm::RS256),
        Signer::rsa("pss", CryptoAlgorithm::PS384),
        Signer::es256("p256"),
        Signer::es384("p384"),
        Signer::ed25519("ed"),
    ];
    let set = jwks(&signers.iter().collect::<Vec<_>>());
    let keys = parse(set.as_bytes(), ALLOWED).unwrap().keys;
    assert_eq!(keys.len(), 5);
    for signer in &signers {
        let token = signer.token(&claims());
        assert_eq!(
            keys.verify(&jws::parse(&token).unwrap()),
            Verdict::Good,
            "{}",
            signer.kid
        );
        let forged = format!("{}AAAA", token.get(..token.len() - 4).unwrap());
        assert_eq!(
            keys.verify(&jws::parse(&forged).unwrap()),
            Verdict::Bad,
            "{}",
            signer.kid
        );
        for other in &signers {
            let header = json!({"alg": signer.algorithm, "kid": other.kid}).to_string();
            let mismatched = signer.sign(&header, "{}");
            let verdict = keys.verify(&jws::parse(&mismatched).unwrap());
            let expected = if signer.kid == other.kid {
                Verdict::Good
            } else {
                Verdict::Bad
            };
            assert_eq!(verdict, expected, "{} as {}", signer.kid, other.kid);
        }
    }
}

#[test]
fn key_without_an_id_is_tried_and_one_with_another_id_is_not() {
    let (named, nameless, stranger) = (
        Signer::es256("named"),
        Signer::es256("nameless"),
        Signer::es256("stranger"),
    );
    let keys = key_set(&[named.jwk(), without(&nameless.jwk(), "kid")]).keys;
    let verdict = |signer: &Signer, header: &str| {
        keys.verify(&jws::parse(&signer.sign(header, "{}")).unwrap())
    };
    assert_eq!(
        verdict(&named, r#"{"alg":"ES256","kid":"named"}"#),
        Verdict::Good
    );
    assert_eq!(verdict(&named, r#"{"alg":"ES256"}"#), Verdict::Good);
    assert_eq!(
        verdict(&named, r#"{"alg":"ES256","kid":"x"}"#),
        Verdict::NoKey
    );
    assert_eq!(
        verdict(&named, r#"{"alg":"ES256","kid":"../named"}"#),
        Verdict::NoKey
    );
    assert_eq!(
        verdict(&named, r#"{"alg":"ES256","kid":""}"#),
        Verdict::NoKey
    );
    assert_eq!(
        verdict(&nameless, r#"{"alg":"ES256","kid":"x"}"#),
        Verdict::Good
    );
    assert_eq!(verdict(&stranger, r#"{"alg":"ES256"}"#), Verdict::NoKey);
    assert_eq!(
        verdict(&stranger, r#"{"alg":"ES256","kid":"named"}"#),
        Verdict::Bad
    );
}

#[test]
fn token_without_a_key_id_is_tried_with_a_few_keys_only() {
    let signers: Vec<Signer> = (0..9).map(|_| Signer::es256("k")).collect();
    let published: Vec<Value> = signers.iter().map(Signer::jwk).collect();
    let token = signers[0].sign(r#"{"alg":"ES256"}"#, "{}");
    let jws = jws::parse(&token).unwrap();
    assert_eq!(key_set(&published[..8]).keys.verify(&jws), Verdict::Good);
    assert_eq!(key_set(&published).keys.verify(&jws), Verdict::TooMany);
}

#[test]
fn unusable_keys_are_ignored() {
    let ec = Signer::es256("ec").jwk();
    let rsa = Signer::rsa("rsa", CryptoAlgorithm::RS256).jwk();
    assert_eq!(unused(&ec), None);
    assert_eq!(unused(&without(&without(&rsa, "alg"), "use")), None);
    assert_eq!(unused(&with(&ec, "key_ops", json!(["verify"]))), None);
    assert_eq!(unused(&with(&ec, "x5c", json!(["MII"]))), None);
    for (key, why) in [
        (with(&ec, "use", json!("enc")), Unusable::NotForSignatures),
        (with(&ec, "use", json!(null)), Unusable::NotForSignatures),
        (
            with(&ec, "key_ops", json!(["sign"])),
            Unusable::NotForSignatures,
        ),
        (
            with(&ec, "key_ops", json!("verify")),
            Unusable::NotForSignatures,
        ),
        (with(&ec, "alg", json!("ECDH-ES")), Unusable::Unsupported),
        (with(&ec, "alg", json!(1)), Unusable::Unsupported),
        (with(&ec, "alg", json!("RS256")), Unusable::NotAllowed),
        (with(&rsa, "alg", json!("RS512")), Unusable::NotAllowed),
        (with(&rsa, "alg", json!("HS256")), Unusable::NotAllowed),
        (with(&ec, "kid", json!(7)), Unusable::Malformed),
        (with(&ec, "crv", json!("P-521")), Unusable::Unsupported),
        (with(&ec, "crv", json!("P-384")), Unusable::Malformed),
        (with(&ec, "crv", json!("secp256k1")), Unusable::Unsupported),
        (with(&ec, "kty", json!("AKP")), Unusable::Unsupported),
        (with(&ec, "x", json!("AA")), Unusable::Malformed),
        (with(&ec, "x", ec["y"].clone()), Unusable::Malformed),
        (with(&ec, "y", json!("not base64!")), Unusable::Malformed),
        (without(&ec, "y"), Unusable::Malformed),
        (with(&rsa, "n", json!("")), Unusable::Malformed),
        (with(&rsa, "e", json!("")), Unusable::Malformed),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), Unusable::Secret),
        (
            json!({"kty": "oct", "alg": "HS256", "k": "c2VjcmV0"}),
            Unusable::Secret,
        ),
        (
            json!({"kty": "OKP", "crv": "X25519", "x": "AA"}),
            Unusable::Unsupported,
        ),
        (
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
            Unusable::Malformed,
        ),
        (json!({}), Unusable::Unsupported),
        (json!("key"), Unusable::Malformed),
    ] {
        assert_eq!(unused(&key), Some(why), "{key}");
    }
    // They do not affect the other keys.
    assert_eq!(
        key_set(&[json!({"kty": "oct"}), ec, json!(null)])
            .keys
            .len(),
        1
    );
}

#[test]
fn key_that_is_published_for_one_algorithm_is_used_with_no_other() {
    let signer = Signer::rsa("k", CryptoAlgorithm::RS512);
    let allowed = &[Algorithm::RS256, Algorithm::RS512];
    let verdict = |jwk: &Value| {
        let set = json!({ "keys": [jwk] }).to_string();
        let keys = parse(set.as_bytes(), allowed).unwrap().keys;
        keys.verify(&jws::parse(&signer.token(&claims())).unwrap())
    };
    let jwk = signer.jwk();
    assert_eq!(verdict(&jwk), Verdict::Good);
    assert_eq!(verdict(&without(&jwk, "alg")), Verdict::Good);
    assert_eq!(verdict(&with(&jwk, "alg", json!("RS256"))), Verdict::Bad);
}

#[test]
fn short_rsa_keys_are_not_used() {
    let der = rsa_der(WEAK_RSA);
    // The modulus follows the outer structures of the fixed key.
    let modulus = URL_SAFE_NO_PAD.encode(&der[29..157]);
    let weak = json!({"kty": "RSA", "n": modulus, "e": "AQAB"});
    assert_eq!(unused(&weak), Some(Unusable::RsaSize(1024)));
}

fn rsa_der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::SubjectPublicKeyInfoDer;
    use rustls::pki_types::pem::PemObject as _;
    SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn zero_before_the_modulus_is_ignored() {
    let signer = Signer::rsa("rsa", CryptoAlgorithm::RS256);
    let jwk = signer.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let padded = URL_SAFE_NO_PAD.encode([&[0], modulus.as_slice()].concat());
    let keys = key_set(&[with(&jwk, "n", json!(padded))]).keys;
    let token = signer.token(&claims());
    assert_eq!(keys.verify(&jws::parse(&token).unwrap()), Verdict::Good);
}

#[test]
fn text_that_is_not_a_key_set_is_an_error() {
    for text in [
        "",
        "[]",
        "{}",
        "<html>",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        "{\"keys\":[]",
    ] {
        assert_eq!(
            parse(text.as_bytes(), ALLOWED).unwrap_err(),
            NoJwks::Malformed,
            "{text}"
        );
    }
    let many = json!({ "keys": vec![json!({}); 101] }).to_string();
    assert_eq!(
        parse(many.as_bytes(), ALLOWED).unwrap_err(),
        NoJwks::TooManyKeys(101)
    );
    assert!(key_set(&vec![json!({}); 100]).keys.is_empty());
}

#[test]
fn key_sets_are_the_same_if_their_keys_are() {
    let (a, b) = (Signer::es256("a").jwk(), Signer::es256("b").jwk());
    let set = |keys: &[Value]| key_set(keys).keys;
    assert!(set(&[a.clone(), b.clone()]) == set(&[a.clone(), b.clone()]));
    assert!(set(std::slice::from_ref(&a)) != set(&[with(&b, "kid", json!("a"))]));
    assert!(set(std::slice::from_ref(&a)) != set(&[with(&a, "kid", json!("c"))]));
    assert!(set(&[a.clone(), b]) != set(&[a]));
}
