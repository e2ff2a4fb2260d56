//! The samples in `config/`, with tokens like those of their providers.
//!
//! The claims follow what the providers publish (November 2026): Keycloak's, Microsoft's, Auth0's,
//! Google's, Okta's and Zitadel's documentation of their tokens, Dex's `custom-claims-clients-scopes`
//! page, and Kubernetes' page on service accounts. Values are made up.

use std::io;
use std::path::Path;

use hyper::header::HeaderValue;
use jsonwebtoken::Algorithm as CryptoAlgorithm;
use serde_json::{Value, json};

use super::*;
use crate::auth::testing::{ManualClock, NOW, QUICK, Signer, jwks};
use crate::config::settings::KeySource;
use crate::config::{Access, OsAccess};

const CONFIG: &str = "/etc/partywall.yaml";

/// The sample, with some token or CA for each file that it names.
struct Sample<'a>(&'a str);

impl Access for Sample<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(CONFIG) {
            return Ok(self.0.as_bytes().to_vec());
        }
        if path.ends_with("token") {
            return Ok(b"a.b.c".to_vec());
        }
        let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        Ok(authority.cert.pem().into_bytes())
    }

    fn variable(&self, name: &str) -> Result<String, std::env::VarError> {
        OsAccess.variable(name)
    }
}

/// A sample with `signer`'s keys instead of its issuer's.
fn authenticator(sample: &str, signer: &Signer) -> Authenticator {
    let settings = crate::config::load(Path::new(CONFIG), &Sample(sample)).unwrap();
    let mut settings = settings.settings;
    for issuer in &mut settings.tokens.issuers {
        issuer.keys = KeySource::Jwks(jwks(&[signer]));
    }
    let tenancy = Arc::new(settings.tenancy);
    let clock = ManualClock::at(NOW);
    Authenticator::with(&settings.tokens, tenancy, None, clock, QUICK).unwrap()
}

/// The tenants of a caller that sends these headers, joined by a space, or why there are none.
async fn tenants(authenticator: &Authenticator, headers: &[(&'static str, String)]) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::try_from(value).unwrap());
    }
    let caller = match authenticator.authenticate(&map).await {
        Ok(caller) => caller,
        Err(error) => return error.to_string(),
    };
    match caller.scope() {
        Err(refusal) => refusal.to_string(),
        Ok(TenantScope::AllTenants) => "ALL".to_owned(),
        Ok(TenantScope::Tenants(scope)) => {
            let tenants: Vec<&str> = scope.tenants().iter().map(Tenant::as_str).collect();
            tenants.join(" ")
        }
    }
}

/// A provider's token with some claims added or replaced.
struct Provider {
    signer: Signer,
    header: Value,
    claims: Value,
}

impl Provider {
    fn new(header: Value, claims: Value) -> Self {
        let signer = Signer::rsa("k", CryptoAlgorithm::RS256);
        Self {
            signer,
            header,
            claims,
        }
    }

    fn token(&self, further: &Value) -> String {
        let mut claims = self.claims.clone();
        for (name, value) in further.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut header = self.header.clone();
        header["kid"] = json!(self.signer.kid);
        self.signer.sign(&header.to_string(), &claims.to_string())
    }

    /// The tenants that a sample derives from the token in `Authorization`.
    async fn tenants(&self, sample: &str, further: &Value) -> String {
        let bearer = format!("Bearer {}", self.token(further));
        let authenticator = authenticator(sample, &self.signer);
        tenants(&authenticator, &[("authorization", bearer)]).await
    }
}

/// The headers that Grafana sends: the access token and the ID token.
fn beside(access_token: &str, id_token: String) -> [(&'static str, String); 2] {
    [
        ("authorization", format!("Bearer {access_token}")),
        ("x-id-token", id_token),
    ]
}

fn replaced(sample: &str, from: &str, to: &str) -> String {
    assert_eq!(sample.matches(from).count(), 1, "{from}");
    sample.replace(from, to)
}

#[tokio::test]
async fn google_id_token_beside_its_opaque_access_token_has_the_domains_tenant() {
    let sample = include_str!("../../../config/google.yaml");
    let google = Provider::new(
        json!({"alg": "RS256", "typ": "JWT"}),
        json!({
            "iss": "https://accounts.google.com",
            "azp": "1234987819200.apps.googleusercontent.com",
            "aud": "1234987819200.apps.googleusercontent.com",
            "sub": "10769150350006150715113082368", "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "hd": "acme.example", "email": "jsmith@acme.example", "email_verified": true,
            "name": "J Smith", "given_name": "J", "family_name": "Smith",
            "picture": "https://lh3.googleusercontent.com/a/x", "iat": NOW - 10, "exp": NOW + 3590,
        }),
    );
    let checks = [
        (json!({}), "acme"),
        (json!({"hd": "globex.example"}), "globex initech"),
        (json!({"sub": "10769150350006150715113082367"}), "ALL"),
    ];
    // With the default sources as well, because the access token is skipped.
    let defaults = replaced(sample, "  sources:\n    - header: X-Id-Token\n", "");
    for text in [sample, &defaults] {
        let authenticator = authenticator(text, &google.signer);
        for (further, expected) in &checks {
            let sent = beside("ya29.a0AfH6SMBx-Lk3v_9wQ", google.token(further));
            assert_eq!(tenants(&authenticator, &sent).await, *expected);
        }
        let other = beside("ya29.x", google.token(&json!({"hd": "other.example"})));
        let refused = tenants(&authenticator, &other).await;
        assert!(refused.contains("claim `hd`"), "{refused}");
    }
}

#[tokio::test]
async fn okta_access_token_of_a_custom_server_has_its_groups_tenants() {
    let sample = include_str!("../../../config/okta.yaml");
    let okta = Provider::new(
        json!({"alg": "RS256"}),
        json!({
            "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://example.okta.com/oauth2/default", "aud": "api://default",
            "iat": NOW - 10, "exp": NOW + 3590, "cid": "nmdP1fcyvdVO11AL7ECm",
            "uid": "00ujmkLgagxeRrAg20g3", "scp": ["openid", "groups"], "auth_time": NOW - 20,
            "sub": "jsmith@acme.example", "groups": ["Everyone", "tenant-acme", "tenant-b.c"],
        }),
    );
    assert_eq!(okta.tenants(sample, &json!({})).await, "acme b.c");
    let admin = json!({"groups": ["tenant-admins", "tenant-acme"]});
    assert_eq!(okta.tenants(sample, &admin).await, "ALL");

    // Only Okta can verify the org server's access token, but it looks like a JWT.
    let text = replaced(sample, "/oauth2/default\n", "\n");
    let text = replaced(&text, "[\"api://default\"]", "[nmdP1fcyvdVO11AL7ECm]");
    let org = json!({"iss": "https://example.okta.com", "aud": "https://example.okta.com"});
    let id_token = json!({"iss": "https://example.okta.com", "aud": "nmdP1fcyvdVO11AL7ECm"});
    let foreign = Provider::new(okta.header.clone(), okta.claims.clone()).token(&org);
    let sent = beside(&foreign, okta.token(&id_token));
    let refused = tenants(&authenticator(&text, &okta.signer), &sent).await;
    assert!(
        refused.contains("list x-id-token first in tokens.sources"),
        "{refused}"
    );
    let text = replaced(
        &text,
        "tokens:\n",
        "tokens:\n  sources: [{header: X-Id-Token}]\n",
    );
    let found = tenants(&authenticator(&text, &okta.signer), &sent).await;
    assert_eq!(found, "acme b.c");
}

#[tokio::test]
async fn zitadel_roles_are_the_keys_of_an_object() {
    let sample = include_str!("../../../config/zitadel.yaml");
    let roles = "urn:zitadel:iam:org:project:roles";
    let zitadel = Provider::new(
        json!({"alg": "RS256", "typ": "JWT"}),
        json!({
            "iss": "https://example-k3vq2n.zitadel.cloud", "sub": "259242039378444290",
            "aud": ["259254317079330818", "259254020357488642"], "client_id": "259254317079330818",
            "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 43190, "jti": "259254409320529922",
            roles: {
                "tenant-acme": {"259241944654282754": "acme.zitadel.example"},
                "tenant-beta": {
                    "259241944654282754": "acme.zitadel.example",
                    "259241944654282755": "beta.zitadel.example",
                },
                "viewer": {"259241944654282754": "acme.zitadel.example"},
            },
        }),
    );
    assert_eq!(zitadel.tenants(sample, &json!({})).await, "acme beta");
    let admin = json!({roles: {"observability-admin": {"1": "acme.zitadel.example"}}});
    assert_eq!(zitadel.tenants(sample, &admin).await, "ALL");
    // The usual opaque access token, with the roles in the ID token.
    let opaque = "VjM6MjU5MjU0NDA5MzIwNTI5OTIyOjEyMzQ1Njc4OQkQHqTGJzYV9X0rrQNqfQ4Rp3UHQ0bA";
    let authenticator = authenticator(sample, &zitadel.signer);
    let sent = beside(opaque, zitadel.token(&json!({})));
    assert_eq!(tenants(&authenticator, &sent).await, "acme beta");
    let refused = tenants(&authenticator, &sent[..1]).await;
    assert!(
        refused.contains("opaque") && refused.contains("tokens.sources"),
        "{refused}"
    );
}

#[tokio::test]
async fn keycloak_groups_and_organizations_are_read() {
    let sample = include_str!("../../../config/keycloak.yaml");
    let keycloak = Provider::new(
        json!({"alg": "RS256", "typ": "JWT"}),
        json!({
            "iss": "https://sso.example.com/realms/observability", "aud": ["grafana", "account"],
            "sub": "f1b6d4a6-8f0b-4b6e-a2a0-0b5d6f6a9d10", "typ": "Bearer", "azp": "grafana",
            "iat": NOW - 10, "exp": NOW + 290, "jti": "onrtac:7d9a", "sid": "5e2c", "acr": "1",
            "allowed-origins": ["https://grafana.example.com"],
            "realm_access": {"roles": ["offline_access", "default-roles-observability"]},
            "resource_access": {"account": {"roles": ["manage-account"]}},
            "scope": "openid email profile organization", "email_verified": true,
            "preferred_username": "alice", "groups": ["/tenants/acme", "/staff"],
        }),
    );
    assert_eq!(keycloak.tenants(sample, &json!({})).await, "acme");
    let admin = json!({"realm_access": {"roles": ["observability-admin"]}});
    assert_eq!(keycloak.tenants(sample, &admin).await, "ALL");

    let lines = "  claim: groups\n  pattern: \"/tenants/([^/]+)\"\n";
    let text = replaced(sample, lines, "  claim: organization\n");
    for organization in [
        json!(["acme", "beta"]),
        json!({"acme": {"id": "42c3e46f-2477-44d7-a85b-d3b43f6b31fa"}, "beta": {"id": "1"}}),
        json!({"acme": {"id": "42c3e46f", "plan": ["gold"]}, "beta": {}}),
    ] {
        let claims = json!({ "organization": organization });
        assert_eq!(keycloak.tenants(&text, &claims).await, "acme beta");
    }
}

#[tokio::test]
async fn entra_roles_are_read_and_an_overage_of_groups_is_explained() {
    let sample = include_str!("../../../config/entra.yaml");
    let entra = Provider::new(
        json!({"typ": "JWT", "alg": "RS256"}),
        json!({
            "aud": "11111111-1111-1111-1111-111111111111", "ver": "2.0",
            "iss":
                "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
            "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 3590, "aio": "AXQAi/8TAAAA", "azpacr": "1",
            "azp": "33333333-3333-3333-3333-333333333333", "name": "Abe Lincoln",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "preferred_username": "abeli@acme.example",
            "rh": "I", "roles": ["Tenant.acme"], "scp": "access_as_user",
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "tid": "00000000-0000-0000-0000-000000000000", "uti": "fqiBqXLPj0eQa82S-IYFAA",
        }),
    );
    assert_eq!(entra.tenants(sample, &json!({})).await, "acme");
    let admin = json!({"roles": ["Observability.Admin"]});
    assert_eq!(entra.tenants(sample, &admin).await, "ALL");

    let lines = "  claim: roles\n  pattern: \"Tenant\\\\.(.+)\"\n";
    let by_group = "  claim: groups\n  map:\n    22222222-2222-2222-2222-222222222222: acme\n";
    let text = replaced(sample, lines, by_group);
    let groups = json!({"groups": ["22222222-2222-2222-2222-222222222222", "4"]});
    assert_eq!(entra.tenants(&text, &groups).await, "acme");
    let overage = json!({
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint":
            "https://graph.windows.net/0/users/690222be/getMemberObjects"}},
    });
    for overage in [overage, json!({"hasgroups": true})] {
        let refused = entra.tenants(&text, &overage).await;
        assert!(refused.contains("more than 200 groups"), "{refused}");
        // Nor may a condition on the groups be skipped.
        let text = replaced(&text, "        claim: roles\n", "        claim: groups\n");
        let refused = entra.tenants(&text, &overage).await;
        assert!(refused.contains("more than 200 groups"), "{refused}");
    }
}

#[tokio::test]
async fn auth0_access_token_with_an_audience_has_the_actions_claims() {
    let sample = include_str!("../../../config/auth0.yaml");
    let claim = "https://example.com/tenants";
    let auth0 = Provider::new(
        json!({"alg": "RS256", "typ": "JWT"}),
        json!({
            "iss": "https://example.eu.auth0.com/", "sub": "auth0|60d0fe4f5311236168a109ca",
            "aud": ["https://partywall", "https://example.eu.auth0.com/userinfo"],
            "iat": NOW - 10, "exp": NOW + 86390, "scope": "openid profile",
            "azp": "my_client_id", "permissions": [], claim: ["acme", "beta"],
            "https://example.com/roles": [],
        }),
    );
    assert_eq!(auth0.tenants(sample, &json!({})).await, "acme beta");
    // An action that copies a string: the list as JSON text.
    let text = json!({claim: r#"["acme"]"#});
    assert_eq!(auth0.tenants(sample, &text).await, "acme");
    let admin = json!({"https://example.com/roles": ["observability-admin"]});
    assert_eq!(auth0.tenants(sample, &admin).await, "ALL");
    // Without an audience: an encrypted token, which is never skipped.
    let jwe = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiaXNzIjoiaHR0cHM6Ly9leGFtcGxlLyJ9..a.b.c";
    let authenticator = authenticator(sample, &auth0.signer);
    let refused = tenants(&authenticator, &beside(jwe, auth0.token(&json!({})))).await;
    assert!(
        refused.contains("encrypted") && refused.contains("tokens.sources"),
        "{refused}"
    );
}

#[tokio::test]
async fn dex_and_kubernetes_tokens_are_read() {
    let dex = Provider::new(
        json!({"alg": "RS256"}),
        json!({
            "iss": "https://dex.example.com", "aud": "grafana", "iat": NOW - 10, "exp": NOW + 86390,
            "sub": "CgcyMzQyNzQ5EgZnaXRodWI", "at_hash": "AUsmNNRFVqGYDcwDYIWuXA",
            "email": "jane@acme.example", "email_verified": true, "name": "Jane",
            "groups": ["example", "example:tenant-acme"],
        }),
    );
    let sample = include_str!("../../../config/dex.yaml");
    assert_eq!(dex.tenants(sample, &json!({})).await, "acme");

    let account = "system:serviceaccount:payments:exporter";
    let kubernetes = Provider::new(
        json!({"alg": "RS256"}),
        json!({
            "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["partywall"],
            "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 3590, "sub": account,
            "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
            "kubernetes.io": {
                "namespace": "payments",
                "node": {"name": "n", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
                "pod": {"name": "p", "uid": "5ac7ea8b-8c2e-4b5b-9c5a-7a0f4a0e1f0a"},
                "serviceaccount": {"name": "exporter", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
                "warnafter": NOW + 3000,
            },
        }),
    );
    let sample = include_str!("../../../config/kubernetes.yaml");
    assert_eq!(kubernetes.tenants(sample, &json!({})).await, "payments");
}
