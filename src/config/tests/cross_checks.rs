//! Parts that are valid alone and conflict with each other.

use super::{Fake, error_of, minimal_but, settings_of};
use crate::config::settings::CacheStore;

const LISTENER: &str = "  - address: 127.0.0.1:8080\n";
const UPSTREAM: &str = "    url: http://127.0.0.1:10902\n";
const KEYS: &str = "      discovery: true\n";
const LABEL: &str = "  metrics:\n    label: tenant_id\n";

/// The key and message of the only error, without its position.
pub(super) fn message(from: &str, to: &str) -> String {
    let error = error_of(&minimal_but(from, to));
    let (_, message) = error.split_once(": ").unwrap();
    message.to_owned()
}

#[test]
fn addresses_are_bound_once() {
    for (listeners, error) in [
        (
            "  - address: 127.0.0.1:8081\n",
            "listeners[0].address: 127.0.0.1:8081 is already in use by `admin`, by default",
        ),
        (
            "  - address: 0.0.0.0:8081\n",
            "listeners[0].address: 127.0.0.1:8081 is already in use by `admin`, by default",
        ),
        (
            "  - address: 127.0.0.1:80\n  - address: 127.0.0.1:80\n",
            "listeners[1].address: 127.0.0.1:80 is already in use in line 3",
        ),
        (
            "  - address: 127.0.0.1:80\nadmin: {address: 0.0.0.0:80}\n",
            "admin.address: 127.0.0.1:80 is already in use in line 3",
        ),
        ("  []\n", "listeners: must not be empty"),
    ] {
        assert_eq!(message(LISTENER, listeners), error);
    }
    settings_of(&minimal_but(
        LISTENER,
        "  - address: 127.0.0.1:0\n  - address: 127.0.0.1:0\n  - address: '[::1]:80'\n  - address: 127.0.0.1:80\n",
    ));
}

#[test]
fn upstreams() {
    const KINDS: &str = "`bearer_token`, `bearer_token_file`, `basic` and `forward_token`";
    for (rest, error) in [
        (
            "  - {name: b, api: prometheus, url: http://x}\n",
            "upstreams[1].api: there can be one upstream of each api without path_prefix and \
             hosts; the first is in line 6"
                .to_owned(),
        ),
        (
            "    tls: {server_name: x}\n",
            "upstreams[0].tls: has no effect: the url is not https".to_owned(),
        ),
        (
            "    credentials: {}\n",
            format!("upstreams[0].credentials: one of {KINDS} is required"),
        ),
        (
            "    credentials: {forward_token: false}\n",
            "upstreams[0].credentials.forward_token: can only be true: leave out the key instead"
                .to_owned(),
        ),
        (
            "    credentials: {forward_token: true, bearer_token: x}\n",
            format!("upstreams[0].credentials.forward_token: only one of {KINDS} may be given"),
        ),
        (
            "    open_to_admins: [store]\n",
            "upstreams[0].open_to_admins[0]: \"store\" is unknown; did you mean `stores`?"
                .to_owned(),
        ),
        (
            "passthrough: {upstream: other}\n",
            "passthrough.upstream: \"other\" is not the name of an upstream".to_owned(),
        ),
    ] {
        assert_eq!(message(UPSTREAM, &format!("{UPSTREAM}{rest}")), error);
    }
}

#[test]
fn second_upstream() {
    let second = format!("{UPSTREAM}  - {{name: thanos, api: tempo, url: http://x}}\n");
    let errors = Fake::config(&minimal_but(UPSTREAM, &second))
        .load()
        .unwrap_err();
    assert_eq!(
        errors,
        [
            "/etc/p.yaml:8:12: upstreams[1].name: names must be unique; the first is in line 5",
            "/etc/p.yaml:16:3: tenancy.traces.attribute: is required",
        ]
    );
}

#[test]
fn names_of_upstreams() {
    for name in ["Thanos", "a_b", "a.b", "\"\"", &"a".repeat(64)] {
        let error = message("name: thanos", &format!("name: {name}"));
        assert!(error.starts_with("upstreams[0].name: must"), "{error}");
    }
}

#[test]
fn issuers() {
    for (keys, error) in [
        (
            "",
            "tokens.issuers[0]: one of `discovery`, `jwks_url`, `jwks_file`, `pem_file`, `hmac_secret` and `hmac_secret_file` is required",
        ),
        (
            "      discovery: false\n",
            "tokens.issuers[0].discovery: can only be true: leave out the key instead",
        ),
        (
            "      discovery: true\n      jwks_url: https://x/\n",
            "tokens.issuers[0].jwks_url: only one of `discovery`, `jwks_url`, `jwks_file`, `pem_file`, `hmac_secret` and `hmac_secret_file` may be given",
        ),
        (
            "      hmac_secret: 0123456789abcdef0123456789abcdef\n",
            "tokens.issuers[0]: an HMAC secret needs HMAC algorithms (HS…)",
        ),
        (
            "      jwks_url: http://x/\n      ca_file: ca.pem\n",
            "tokens.issuers[0].ca_file: has no effect: the jwks_url is not https",
        ),
        (
            "      jwks_url: /keys\n",
            "tokens.issuers[0].jwks_url: must be an absolute URL: http://… or https://…",
        ),
        (
            "      jwks_url: https://x/#f\n",
            "tokens.issuers[0].jwks_url: the URL must not have a fragment (`#…`)",
        ),
        (
            "      discovery: true\n      max_stale: 4m\n",
            "tokens.issuers[0].max_stale: must not be shorter than refresh_interval",
        ),
        (
            "      discovery: true\n      refresh_interval: 0s\n",
            "tokens.issuers[0].refresh_interval: must be longer than zero",
        ),
        (
            "      discovery: true\n      authorized_parties: []\n",
            "tokens.issuers[0].authorized_parties: must not be empty",
        ),
        (
            "      discovery: true\n    - {issuer: 'https://sso.example.com/realms/observability', audiences: [a], algorithms: [RS256], discovery: true}\n",
            "tokens.issuers[1].issuer: issuers must be unique; the first is in line 10",
        ),
    ] {
        assert_eq!(message(KEYS, keys), error);
    }
    assert_eq!(
        message(
            "issuer: https://sso.example.com/realms/observability",
            "issuer: sso"
        ),
        "tokens.issuers[0].issuer: discovery needs an issuer that is an http or https URL without a query"
    );
    assert_eq!(
        message("[grafana]", "[]"),
        "tokens.issuers[0].audiences: must not be empty"
    );
}

#[test]
fn hmac_only_with_hmac() {
    let hmac = |algorithms: &str, length: usize| {
        let secret = "x".repeat(length);
        minimal_but("[RS256]", algorithms)
            .replace("discovery: true", &format!("hmac_secret: {secret}"))
    };
    for (algorithms, length) in [("[HS256]", 32), ("[HS256, HS384]", 48), ("[HS512]", 64)] {
        settings_of(&hmac(algorithms, length));
        assert_eq!(
            error_of(&hmac(algorithms, length - 1)),
            format!(
                "10:7: tokens.issuers[0]: the HMAC secret must have at least {length} bytes for these algorithms"
            )
        );
    }
    for (algorithms, error) in [
        (
            "[HS256]",
            "tokens.issuers[0]: HMAC algorithms (HS…) need `hmac_secret` or `hmac_secret_file`",
        ),
        (
            "[RS256, HS256]",
            "tokens.issuers[0].algorithms: HMAC algorithms (HS…) and public key algorithms must not be mixed",
        ),
        (
            "[None]",
            "tokens.issuers[0].algorithms[0]: unsigned tokens are never accepted",
        ),
        (
            "[rs256]",
            "tokens.issuers[0].algorithms[0]: \"rs256\" is unknown; did you mean `RS256`?",
        ),
        (
            "[RS256, RS256]",
            "tokens.issuers[0].algorithms[1]: algorithms must be unique; the first is in line 12",
        ),
        ("[]", "tokens.issuers[0].algorithms: must not be empty"),
    ] {
        assert_eq!(message("[RS256]", algorithms), error);
    }
}

#[test]
fn token_sources() {
    for (sources, error) in [
        ("[]", "tokens.sources: must not be empty"),
        (
            "[{header: X-A}, {header: x-a}]",
            "tokens.sources[1]: each header can be looked at once; the first is in line 9",
        ),
        (
            "[{header: 'X A'}]",
            "tokens.sources[0].header: must be letters, digits and hyphens, at most 128",
        ),
        ("[{scheme: X}]", "tokens.sources[0].header: is required"),
    ] {
        let error = error.replace("[1]: each", "[1].header: each");
        assert_eq!(
            message(
                "  issuers:\n",
                &format!("  sources: {sources}\n  issuers:\n")
            ),
            error
        );
    }
}

#[test]
fn labels_and_attributes() {
    for (names, error) in [
        ("", "tenancy.metrics.label: is required"),
        ("  metrics: {}\n", "tenancy.metrics.label: is required"),
        (
            "  metrics: {label: tenant-id}\n",
            "tenancy.metrics.label: must be a label name: letters, digits and _, no digit first",
        ),
        (
            "  metrics: {label: 1}\n",
            "tenancy.metrics.label: must be a label name: letters, digits and _, no digit first",
        ),
        (
            "  metrics: {label: ä}\n",
            "tenancy.metrics.label: must be a label name: letters, digits and _, no digit first",
        ),
        (
            "  metrics: {label: __name__}\n",
            "tenancy.metrics.label: __name__ is the metric's name and tells no tenants apart",
        ),
        (
            "  metrics: {label: t}\n  and: [{claim: a, metrics: {label: t}}]\n",
            "tenancy.and[0].metrics.label: each dimension needs its own label; the first is in line 16",
        ),
        (
            "  metrics: {label: t}\n  and: [{claim: a, metrics: {label: x}}, {claim: b, metrics: {label: x}}]\n",
            "tenancy.and[1].metrics.label: each dimension needs its own label; the first is in line 17",
        ),
        (
            "  metrics: {label: t}\n  and: [{claim: a}]\n",
            "tenancy.and[0]: one of `metrics` and `traces` is required",
        ),
        (
            "  metrics: {label: t}\n  traces: {attribute: tenant}\n",
            "tenancy.traces.attribute: must be an attribute of the resource: resource.tenant_id",
        ),
        (
            "  metrics: {label: t}\n  traces: {attribute: span.tenant}\n",
            "tenancy.traces.attribute: must be an attribute of the resource: resource.tenant_id",
        ),
        (
            "  metrics: {label: t}\n  traces: {attribute: 'resource.a b'}\n",
            "tenancy.traces.attribute: the attribute's name must be letters, digits, `_`, `.` and `-`, with a letter or `_` first",
        ),
        (
            "  metrics: {label: t}\n  traces: {attribute: resource.}\n",
            "tenancy.traces.attribute: the attribute's name must be letters, digits, `_`, `.` and `-`, with a letter or `_` first",
        ),
        (
            "  metrics: {label: t}\n  traces: {attribute: resource.a}\n  and: [{claim: a, traces: {attribute: resource.a}}]\n",
            "tenancy.and[0].traces.attribute: each dimension needs its own attribute; the first is in line 17",
        ),
    ] {
        assert_eq!(message(LABEL, names), error);
    }
}

#[test]
fn outline_shows_no_tenants() {
    let with = |rest: &str| {
        let tenancy = "  traces: {attribute: resource.a}\n  and: [{claim: c, traces: {attribute: resource.b}}]\n";
        message(
            LABEL,
            &format!("  metrics: {{label: t}}\n{tenancy}traces: {rest}\n"),
        )
    };
    for (rest, error) in [
        (
            "{outline_attributes: [span.x]}",
            "traces.outline_attributes: is only for `foreign_spans: outline`",
        ),
        (
            "{foreign_spans: deny, outline_attributes: []}",
            "traces.outline_attributes: is only for `foreign_spans: outline`",
        ),
        (
            "{foreign_spans: outline, outline_attributes: [resource.x, resource.a]}",
            "traces.outline_attributes[1]: tenants are told apart by this attribute: it would name the other tenants",
        ),
        (
            "{foreign_spans: outline, outline_attributes: [span.b]}",
            "traces.outline_attributes[0]: tenants are told apart by this attribute: it would name the other tenants",
        ),
        (
            "{foreign_spans: outline, outline_attributes: [span.x, span.x]}",
            "traces.outline_attributes[1]: is given twice; the first is in line 19",
        ),
        (
            "{foreign_spans: outline, outline_attributes: [service.name]}",
            "traces.outline_attributes[0]: \"service.name\" is neither an attribute with its place (resource.service.name, scope.…, span.…, event.…) nor one of span:name, span:statusMessage, event:name, scope:name and scope:version",
        ),
        (
            "{foreign_spans: outlines}",
            "traces.foreign_spans: \"outlines\" is unknown; did you mean `outline`?",
        ),
    ] {
        assert_eq!(with(rest), error);
    }
}

/// One cause, one error: a value that could not be read is not reported missing elsewhere.
#[test]
fn cache_sizes_fit_their_store() {
    let with = |rest: &str| format!("{}{rest}\n", super::MINIMAL);
    for (rest, error) in [
        ("cache: {ttl: 0s}", "cache.ttl: must be longer than zero"),
        (
            "cache: {ttl: 61m}",
            "cache.ttl: must be at most an hour (1h)",
        ),
        (
            "limits: {buffered_bytes: 3MiB}\ncache: {memory_bytes: 2MiB}",
            "cache.memory_bytes: must be at most half of limits.buffered_bytes",
        ),
        (
            "cache: {memory_bytes: 4MiB, max_answer_bytes: 2MiB}",
            "cache.max_answer_bytes: must be at most a quarter of memory_bytes",
        ),
        (
            "cache: {memory_bytes: 2MiB, redis: {url: 'redis://r'}}",
            "cache.memory_bytes: has no effect with `redis`, where responses are cached instead",
        ),
        (
            "cache: {redis: {database: 1}}",
            "cache.redis: one of `url` and `url_file` is required",
        ),
        (
            "cache: {redis: {url: 'redis://r', ca_file: ca.pem}}",
            "cache.redis.ca_file: has no effect: the url is not rediss://",
        ),
        (
            "cache: {redis: {url: 'redis://r', cluster: 'a:b'}}",
            "cache.redis.cluster: must be made of a-z, 0-9 and -, at most 63 characters",
        ),
    ] {
        let found = error_of(&with(rest));
        assert!(found.ends_with(error), "{rest}: {found}");
    }
    let no_url = "must be a Redis URL: redis://host:port or, with TLS, rediss://host:port; a user, \
                  a password and a database may be in it";
    for url in [
        "http://r",
        "r:6379",
        "unix:///r",
        "rediss://r/#insecure",
        "redis://:secret@r/x",
    ] {
        let error = error_of(&with(&format!("cache: {{redis: {{url: '{url}'}}}}")));
        assert!(
            error.ends_with(no_url) && !error.contains("secret"),
            "{error}"
        );
    }
    let whole = settings_of(&with("cache: {}")).cache.unwrap();
    assert_eq!(whole.ttl.as_secs(), 30);
    assert_eq!(whole.max_answer_bytes, 4 << 20);
    assert_eq!(whole.store, CacheStore::Memory(64 << 20));
    // Defaults fit as well.
    let small = "limits: {buffered_bytes: 4MiB}\ncache: {}";
    let small = settings_of(&with(small)).cache.unwrap();
    assert_eq!(small.store, CacheStore::Memory(2 << 20));
    assert_eq!(small.max_answer_bytes, 512 << 10);
}

#[test]
fn redis_url_may_come_from_a_file_or_the_environment() {
    let text = |redis: &str| format!("{}cache: {{redis: {redis}}}\n", super::MINIMAL);
    let from_file = Fake::config(&text("{url_file: url, database: 3, timeout: 1s}"))
        .file("/etc/url", "redis://u:p@r:1/2\n")
        .load()
        .unwrap();
    let variable = "{url: 'redis://u:${P}@r:1/2', database: 3, timeout: 1s}";
    let from_variable = Fake::config(&text(variable))
        .variable("P", "p")
        .load()
        .unwrap();
    assert_eq!(from_file, from_variable);
    let Some(CacheStore::Redis(redis)) = from_file.cache.map(|cache| cache.store) else {
        panic!("not Redis");
    };
    assert_eq!(redis.url.expose(), "redis://u:p@r:1/2");
    assert_eq!((redis.database, &*redis.cluster), (Some(3), "default"));
}

#[test]
fn errors_cause_no_further_errors() {
    for (from, to, count) in [
        // The rule's issuer may be the one that cannot be read.
        (
            "issuer: https://sso.example.com/realms/observability",
            "issuer: ${UNSET}",
            1,
        ),
        ("algorithms: [RS256]", "algorithms: [x]", 1),
        ("name: thanos", "name: THANOS", 1),
        ("url: http://127.0.0.1:10902", "url: x", 1),
        ("    label: tenant_id", "    label: 1", 1),
    ] {
        let text = minimal_but(from, to).replace(
            "  claim: tenant_id\n",
            "  rules:\n    - when: {issuer: https://sso.example.com/realms/observability}\n      claim: t\n",
        ) + "passthrough: {upstream: thanos}\n";
        let errors = Fake::config(&text).load().unwrap_err();
        assert_eq!(errors.len(), count, "{errors:?}");
    }
}
