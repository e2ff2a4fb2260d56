//! J and V: which tokens are trusted, and which tenants they grant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::kit::door::Door;
use crate::kit::raw::{RawAnswer, request};
use crate::kit::token::{AUDIENCE, ISSUER, Signer, now};
use crate::kit::upstream::{Seen, Upstream};

const TARGET: &str = "/api/v1/query?query=up";

async fn with_headers(door: &Door, headers: &[(&str, &str)]) -> RawAnswer {
    door.send_raw(&request("GET", TARGET, headers, b"")).await
}

async fn with_token(door: &Door, token: &str) -> RawAnswer {
    with_headers(door, &[("Authorization", &format!("Bearer {token}"))]).await
}

fn assert_401(door: &Door, what: &str, answer: &RawAnswer) {
    door.assert_refused(what, answer, &[401]);
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer"), "{what}: {}", answer.head);
    assert_eq!(answer.json().unwrap()["status"], "error", "{what}");
}

#[tokio::test]
#[allow(clippy::too_many_lines)] // One entry an attack.
async fn j_only_valid_tokens_are_accepted() {
    let door = Door::open().await;
    let signer = &door.proxy.signer;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let good = signer.tenant("acme");
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let none = |alg: &str| format!("{}.{claims}.", part(&json!({"alg": alg, "typ": "JWT"})));
    let as_text = |claims: &str| signer.text(claims);
    let (iss, aud, later) = (ISSUER, AUDIENCE, now() + 3600);
    let known = format!(r#""iss":"{iss}","aud":"{aud}","exp":{later}"#);
    let in_json = json!({"payload": claims, "protected": head, "signature": signature});
    let other_claims = part(&json!({"tenant_id": "beta"}));
    let table = [
        ("J1 none", none("none")),
        ("J1 None", none("None")),
        (
            "J1 with the public key as a secret",
            Signer::hs256(&signer.key_file).tenant("acme"),
        ),
        (
            "J1 nOnE with a signature",
            format!("{}{signature}", none("nOnE")),
        ),
        (
            "J1 an algorithm that is not the issuer's",
            signer.with_header(&json!({"alg": "PS256", "kid": "test"})),
        ),
        ("J1 another key", Signer::rs256().tenant("acme")),
        ("J1 no signature", format!("{head}.{claims}.")),
        (
            "J1 other claims",
            format!("{head}.{other_claims}.{signature}"),
        ),
        (
            "J3 issuer",
            signer.token(&json!({"tenant_id": "acme", "iss": "https://sso.test/"})),
        ),
        (
            "J3 no issuer",
            signer.token(&json!({"tenant_id": "acme", "iss": null})),
        ),
        (
            "J4 audience",
            signer.token(&json!({"tenant_id": "acme", "aud": "other"})),
        ),
        (
            "J4 no audience",
            signer.token(&json!({"tenant_id": "acme", "aud": null})),
        ),
        (
            "J4 another's audience in a list",
            signer.token(&json!({"tenant_id": "acme", "aud": ["a", "b"]})),
        ),
        (
            "J4 a number among audiences",
            signer.token(&json!({"tenant_id": "acme", "aud": [aud, 1]})),
        ),
        (
            "J5 beyond all numbers",
            as_text(&format!(r#"{{"iss":"{iss}","aud":"{aud}","exp":1e400}}"#)),
        ),
        (
            "J5 beyond all dates",
            signer.token(&json!({"tenant_id": "acme", "exp": 1e18})),
        ),
        (
            "J5 before 1970",
            signer.token(&json!({"tenant_id": "acme", "exp": -5})),
        ),
        (
            "J5 issued later",
            signer.token(&json!({"tenant_id": "acme", "iat": now() + 600})),
        ),
        (
            "J6 a tenant twice",
            as_text(&format!(
                r#"{{{known},"tenant_id":"acme","tenant_id":"beta"}}"#
            )),
        ),
        (
            "J6 a key twice, deep within",
            as_text(&format!(
                r#"{{{known},"tenant_id":"acme","a":[{{"b":1,"b":2}}]}}"#
            )),
        ),
        (
            "J6 deep",
            as_text(&format!(
                r#"{{{known},"tenant_id":"acme","a":{}1{}}}"#,
                "[".repeat(200),
                "]".repeat(200)
            )),
        ),
        (
            "J6 encrypted",
            format!("{head}.{claims}.{claims}.{claims}.{signature}"),
        ),
        ("J6 as JSON", in_json.to_string()),
        (
            "J2 an extension",
            signer.with_header(&json!({"alg": "RS256", "kid": "test", "crit": ["exp"]})),
        ),
        (
            "J2 an unencoded payload",
            signer.with_header(&json!({"alg": "RS256", "kid": "test", "b64": false})),
        ),
        (
            "J2 a key id that is a path",
            signer.with_header(&json!({"alg": "RS256", "kid": "../../etc/passwd"})),
        ),
        (
            "J2 a key id that is a query",
            signer.with_header(&json!({"alg": "RS256", "kid": "' OR 1=1 --"})),
        ),
        (
            "J5 expired",
            signer.token(&json!({"tenant_id": "acme", "exp": now() - 600})),
        ),
        (
            "J5 no expiry",
            signer.token(&json!({"tenant_id": "acme", "exp": null})),
        ),
        (
            "J5 expiry as text",
            signer.token(&json!({"tenant_id": "acme", "exp": "9999999999"})),
        ),
        (
            "J5 not yet",
            signer.token(&json!({"tenant_id": "acme", "nbf": now() + 600})),
        ),
        ("J6 trailing", format!("{good}.x")),
        ("J6 padded", format!("{good}=")),
        ("J6 not a token", "secret".to_owned()),
        ("J6 empty", String::new()),
        ("J6 huge", "a".repeat(20_000)),
    ];
    for (what, token) in table {
        assert_401(&door, what, &with_token(&door, &token).await);
    }
    assert_401(&door, "none at all", &with_headers(&door, &[]).await);
    let bearer = format!("Bearer {good}");
    let beta = format!("Bearer {}", signer.tenant("beta"));
    let list = format!("{bearer}, {beta}");
    let blanks = format!("Bearer  {good}");
    let forged = format!("Bearer {}", Signer::rs256().tenant("acme"));
    let encrypted = format!("Bearer {head}..{claims}.{claims}.{signature}");
    let padded = format!("Bearer {head}=.{claims}.{signature}");
    for (what, headers) in [
        ("J7 Basic", vec![("Authorization", "Basic dTpw")]),
        (
            "J7 two",
            vec![
                ("Authorization", bearer.as_str()),
                ("Authorization", beta.as_str()),
            ],
        ),
        ("J7 in a cookie", vec![("Cookie", bearer.as_str())]),
        ("J7 a list", vec![("Authorization", list.as_str())]),
        ("J7 two blanks", vec![("Authorization", blanks.as_str())]),
        (
            "J7 nothing before it",
            vec![("Authorization", good.as_str())],
        ),
        (
            "J8 a bad one first",
            vec![
                ("Authorization", forged.as_str()),
                ("X-Id-Token", good.as_str()),
            ],
        ),
        (
            "J8 an encrypted one first",
            vec![
                ("Authorization", encrypted.as_str()),
                ("X-Id-Token", good.as_str()),
            ],
        ),
        (
            "J8 one that a tolerant reader takes first",
            vec![
                ("Authorization", padded.as_str()),
                ("X-Id-Token", good.as_str()),
            ],
        ),
        (
            "J8 two opaque ones first",
            vec![
                ("Authorization", "Bearer ya29.a"),
                ("Authorization", "Bearer ya29.b"),
                ("X-Id-Token", good.as_str()),
            ],
        ),
        (
            "J8 an opaque one alone",
            vec![("Authorization", "Bearer ya29.a")],
        ),
    ] {
        assert_401(&door, what, &with_headers(&door, &headers).await);
    }
    let in_url = request("GET", &format!("{TARGET}&access_token={good}"), &[], b"");
    assert_401(&door, "J7 in the URL", &door.send_raw(&in_url).await);
    let lower = format!("bearer {good}");
    let answer = with_headers(&door, &[("Authorization", &lower)]).await;
    door.assert_sent("J7 a scheme has no case", &answer);
    // J8: the first source that is there decides, and the record names whom it named.
    let other = signer.token(&json!({"sub": "other", "tenant_id": "beta"}));
    let both = [("X-Id-Token", other.as_str()), ("Authorization", &bearer)];
    let seen = door.assert_sent("J8", &with_headers(&door, &both).await);
    assert_eq!(query(&seen), r#"up{tenant_id="acme"}"#);
    // J8: what no reader could take for a JWT is no token.
    let opaque = [
        ("Authorization", "Bearer ya29.a0AfH6SMBx"),
        ("X-Id-Token", &other),
    ];
    let seen = door.assert_sent("J8 opaque", &with_headers(&door, &opaque).await);
    assert_eq!(query(&seen), r#"up{tenant_id="beta"}"#);
    assert_eq!(seen.header("authorization"), None);
}

/// J1: the right secret with another algorithm of the same family is not good enough.
#[tokio::test]
async fn j1_algorithms_are_those_of_the_issuer() {
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let door = Door::with(|setup| setup.signer = Signer::hs256(secret)).await;
    let good = with_token(&door, &door.proxy.signer.tenant("acme")).await;
    door.assert_sent("J1 HS256", &good);
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = Signer::hmac(secret, algorithm).tenant("acme");
        assert_401(
            &door,
            &format!("J1 {algorithm:?}"),
            &with_token(&door, &token).await,
        );
    }
}

/// J2: keys that a token brings along or points to are neither used nor fetched.
#[tokio::test]
async fn j2_nothing_is_fetched_for_a_token() {
    let door = Door::open().await;
    let tempting = Upstream::start().await;
    let url = format!("{}/keys", tempting.url);
    let attacker = Signer::rs256();
    for header in [
        json!({"alg": "RS256", "kid": "test", "jku": url}),
        json!({"alg": "RS256", "kid": "test", "x5u": url}),
        json!({"alg": "RS256", "kid": url}),
        json!({"alg": "RS256", "kid": "other", "jku": url, "x5u": url}),
        json!({"alg": "RS256", "jwk": {"kty": "oct", "k": "c2VjcmV0"}}),
    ] {
        let token = attacker.with_header(&header);
        assert_401(
            &door,
            &format!("J2 {header}"),
            &with_token(&door, &token).await,
        );
        // By the right key it is as good as without them.
        let token = door.proxy.signer.with_header(&header);
        let answer = with_token(&door, &token).await;
        assert!([200, 401].contains(&answer.status), "{header}: {answer:?}");
        door.upstream.take();
    }
    assert!(tempting.take().is_empty(), "something was fetched");
}

fn query(seen: &Seen) -> String {
    seen.param("query").concat()
}

#[tokio::test]
#[allow(clippy::too_many_lines)] // One entry a claim.
async fn v_tenants_are_exactly_those_of_the_claim() {
    let door = Door::open().await;
    let long = "x".repeat(10_000);
    let many: Vec<String> = (0..1500).map(|i| format!("t{i}")).collect();
    let more: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
    let nothing = [
        ("V2 missing", json!({})),
        ("V2 null", json!({"tenant_id": null})),
        ("V2 empty list", json!({"tenant_id": []})),
        ("V2 list of empty", json!({"tenant_id": [""]})),
        ("V2 empty", json!({"tenant_id": ""})),
        ("V2 a number with a fraction", json!({"tenant_id": 5.5})),
        ("V2 bool", json!({"tenant_id": true})),
        ("V2 object", json!({"tenant_id": {"a": "acme"}})),
        ("V2 list with a bool", json!({"tenant_id": ["acme", true]})),
        ("V2 empty object", json!({"tenant_id": {}})),
        ("V2 text of an empty list", json!({"tenant_id": "[]"})),
        (
            "V2 text that is nearly JSON",
            json!({"tenant_id": "[acme]"}),
        ),
        ("V1 NUL", json!({"tenant_id": "a\u{0}b"})),
        ("V1 long", json!({"tenant_id": long})),
        ("V1 a line end", json!({"tenant_id": "acme\n"})),
        (
            "V1 bytes that are no text",
            json!({"tenant_id": "acme\u{fffd}"}),
        ),
        ("V2 list of null", json!({"tenant_id": [null]})),
        ("V2 list of lists", json!({"tenant_id": [["acme"]]})),
        ("V4 many", json!({"tenant_id": many})),
    ];
    for (what, claims) in nothing {
        let answer = with_token(&door, &door.proxy.signer.token(&claims)).await;
        door.assert_refused(what, &answer, &[403]);
        assert_eq!(answer.json().unwrap()["status"], "error", "{what}");
    }
    // Too long for a token, or even for a head.
    let token = door.proxy.signer.token(&json!({ "tenant_id": more }));
    let answer = with_token(&door, &token).await;
    door.assert_refused("V4 5000", &answer, &[401, 431]);
    let exactly = [
        ("one", json!("acme"), r#"up{tenant_id="acme"}"#),
        ("one of a list", json!(["acme"]), r#"up{tenant_id="acme"}"#),
        ("V1 a|b", json!("a|b"), r#"up{tenant_id="a|b"}"#),
        ("V1 .*", json!(".*"), r#"up{tenant_id=".*"}"#),
        ("V5 *", json!("*"), r#"up{tenant_id="*"}"#),
        (
            "V1 quotes",
            json!("\"} or {x=\""),
            r#"up{tenant_id="\"} or {x=\""}"#,
        ),
        (
            "V1 a homoglyph",
            json!("\u{430}cme"),
            "up{tenant_id=\"\u{430}cme\"}",
        ),
        (
            "V1 not composed",
            json!("cafe\u{301}"),
            "up{tenant_id=\"cafe\u{301}\"}",
        ),
        ("V1 a blank", json!("acme "), r#"up{tenant_id="acme "}"#),
        ("V1 another case", json!("Acme"), r#"up{tenant_id="Acme"}"#),
        (
            "V5 a union of globs",
            json!(["*", ".+"]),
            r#"up{tenant_id=~"\\*|\\.\\+"}"#,
        ),
        ("V3 a number", json!(5), r#"up{tenant_id="5"}"#),
        (
            "V3 a list as text",
            json!(r#"["acme"]"#),
            r#"up{tenant_id="acme"}"#,
        ),
        (
            "V3 keys of an object",
            json!({"acme": {"id": "1"}}),
            r#"up{tenant_id="acme"}"#,
        ),
        (
            "V3 a list of objects",
            json!([{"name": "acme", "id": 1}]),
            r#"up{tenant_id="acme"}"#,
        ),
        (
            "V3 no CSV",
            json!("acme, beta"),
            r#"up{tenant_id="acme, beta"}"#,
        ),
        (
            "V1 union",
            json!(["a.b", "c|d"]),
            r#"up{tenant_id=~"a\\.b|c\\|d"}"#,
        ),
    ];
    for (what, tenants, expected) in exactly {
        let token = door.proxy.signer.token(&json!({ "tenant_id": tenants }));
        let answer = with_token(&door, &token).await;
        assert_eq!(query(&door.assert_sent(what, &answer)), expected, "{what}");
    }
    let answer = with_token(&door, &door.proxy.signer.admin()).await;
    assert_eq!(query(&door.assert_sent("admin", &answer)), "up");
}
