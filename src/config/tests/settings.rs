//! The settings that a config is loaded to.

use std::time::Duration;

use super::super::settings::*;
use super::{Fake, minimal_but, settings_of};

fn tenancy_of(section: &str) -> Tenancy {
    settings_of(&minimal_but("  claim: tenant_id\n", section)).tenancy
}

fn claim(keys: &[&str]) -> ClaimGrant {
    ClaimGrant {
        claim: ClaimPath(keys.iter().map(|key| (*key).to_owned()).collect()),
        separator: None,
        pattern: None,
        map: None,
    }
}

#[test]
#[allow(clippy::too_many_lines)] // Every default there is.
fn minimal_config_has_every_default() {
    let settings = settings_of(super::MINIMAL);
    let expected = Settings {
        listeners: vec![Listener {
            address: "127.0.0.1:8080".parse().unwrap(),
            tls: None,
            cors: None,
        }],
        admin: Admin {
            address: "127.0.0.1:8081".parse().unwrap(),
            hosts: vec![],
        },
        upstreams: vec![Upstream {
            name: "thanos".into(),
            api: Api::Prometheus,
            url: BaseUrl {
                https: false,
                authority: "127.0.0.1:10902".into(),
                path: String::new(),
            },
            cluster: None,
            path_prefix: None,
            hosts: vec![],
            tls: UpstreamTls {
                trust: Trust::System,
                server_name: None,
                identity: None,
            },
            credentials: Credentials::None,
            open_to_admins: vec![],
            timeouts: UpstreamTimeouts {
                connect: Duration::from_secs(5),
                response_head: Duration::from_mins(2),
                body_idle: Duration::from_mins(1),
                keep_alive: Duration::from_secs(50),
            },
            max_idle_connections: 128,
            compressed_answers: false,
            health: HealthCheck {
                path: "/-/ready".into(),
                interval: Duration::from_secs(10),
                timeout: Duration::from_secs(5),
                gates_readiness: false,
            },
            shadow: None,
        }],
        tokens: Tokens {
            sources: vec![
                TokenSource {
                    header: "authorization".into(),
                    scheme: Some("Bearer".into()),
                },
                TokenSource {
                    header: "x-id-token".into(),
                    scheme: None,
                },
            ],
            issuers: vec![Issuer {
                issuer: "https://sso.example.com/realms/observability".into(),
                audiences: vec!["grafana".into()],
                algorithms: vec![Algorithm::RS256],
                authorized_parties: vec![],
                leeway: Duration::from_secs(30),
                max_lifetime: None,
                keys: KeySource::Discovery {
                    ca_file: None,
                    bearer_token_file: None,
                },
                refresh_interval: Duration::from_mins(5),
                max_stale: Duration::from_hours(24),
            }],
            cache_entries: 10_000,
            max_bytes: 16_384,
        },
        tenancy: Tenancy {
            rules: vec![TenantRule {
                when: When::default(),
                grant: Grant::Claim(claim(&["tenant_id"])),
            }],
            metrics_label: Some("tenant_id".into()),
            traces_attribute: None,
            traces_org_id: false,
            selectors: Selectors::default(),
            and: vec![],
            clusters: None,
            max_tenants: 1000,
        },
        traces: Traces {
            search_metadata: SearchMetadata::Exact,
            foreign_spans: ForeignSpans::Redact,
        },
        promql: PromQl {
            foreign_matchers: ForeignMatchers::Intersect,
        },
        passthrough: Passthrough {
            authenticated: true,
            health_authenticated: true,
            methods: None,
            paths: None,
            upstream: Some("thanos".into()),
        },
        limits: Limits {
            connections: 10_000,
            unauthenticated_connections_per_address: Some(2000),
            requests: 2000,
            header_bytes: 65_536,
            uri_bytes: 32_768,
            body_bytes: 2_097_152,
            body_bytes_per_second: 1024,
            incomplete_bodies: 1000,
            query_bytes: 65_536,
            query_depth: 100,
            query_nodes: 4000,
            format_bytes: 262_144,
            query_selectors: 1000,
            answer_bytes: 67_108_864,
            answer_bytes_per_second: 1024,
            buffered_bytes: 536_870_912,
            rewrite_cache_bytes: 8_388_608,
        },
        tenant_limits: TenantLimits::default(),
        cache: None,
        timeouts: Timeouts {
            first_request: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            body_total: Duration::from_mins(1),
            idle: Duration::from_mins(2),
            unauthenticated_idle: Duration::from_secs(10),
        },
        compression: Compression {
            enabled: true,
            loopback: false,
            min_bytes: 1024,
            gzip_level: 3,
            zstd_level: 1,
        },
        drain: Drain {
            min: Duration::ZERO,
            max: Duration::from_secs(30),
        },
        reload: Reload {
            poll_interval: Duration::from_secs(5),
        },
        log: Log {
            json: false,
            level: "info".into(),
        },
        audit: Audit {
            output: AuditOutput::Log,
            sampling: 0.0,
            queries: AuditQueries::None,
        },
        metrics: Metrics { per_tenant: None },
        tracing: None,
    };
    assert_eq!(settings, expected);
}

/// Nothing is at its default.
const FULL: &str = r#"
listeners: [{address: 0.0.0.0:80}, {address: "[::1]:81"}]
admin: {address: 127.0.0.1:82, hosts: [Partywall.monitoring.svc]}
upstreams:
  - name: t
    api: tempo
    url: http://tempo:3200
    credentials: {basic: {username: u, password: p}}
  - name: p
    api: prometheus
    url: https://thanos/base/
    path_prefix: /clusters/eu
    hosts: [EU.example.com, 10.0.0.1]
    tls: {insecure_skip_verify: true, server_name: thanos.svc}
    credentials: {forward_token: true}
    open_to_admins:
      [status, stores, tsdb_admin, write, internals, overrides, mcp, querier, unknown]
    timeouts: {connect: 1s, response_head: 2s, body_idle: 3s, keep_alive: 4s}
    max_idle_connections: 0
    compressed_answers: true
    health: {path: "/healthz?a=b", interval: 4s, timeout: 5s, gates_readiness: true}
  - {name: q, api: prometheus, url: http://q}
tokens:
  sources: [{header: X-Token, scheme: JWT}, {header: Authorization}]
  cache_entries: 1
  max_bytes: 1KiB
  issuers:
    - issuer: shared
      audiences: [a, b]
      algorithms: [HS256]
      authorized_parties: [c]
      leeway: 0s
      max_lifetime: 12h
      hmac_secret: 0123456789abcdef0123456789abcdef
      refresh_interval: 1s
      max_stale: 1s
    - issuer: https://sso.example.com
      audiences: [a]
      algorithms: [ES256, EdDSA]
      jwks_url: https://sso.example.com/keys?x=y
tenancy:
  rules:
    - when: {issuer: shared, claim: sub, values: [x, 7]}
      tenants: [1, 2]
    - when: {issuer: shared}
      claim: [a.b, c]
      separator: ";"
    - when: {claim: groups, values: [sre]}
      all_tenants: true
  claim: a.b
  pattern: "t-(.+)"
  map: {x: y, z: [1, w]}
  metrics: {label: tenant}
  traces: {attribute: resource.k8s.tenant-id}
  and:
    - claim: env
      metrics: {label: env}
  max_tenants: 5
traces: {search_metadata: trust, foreign_spans: deny}
promql: {foreign_matchers: reject}
passthrough: {authentication: none, health_authentication: none, methods: [GET, HEAD], paths: [/graph, /static/*], upstream: q}
limits: {connections: 1, unauthenticated_connections_per_address: 0, requests: 2, header_bytes: 8KiB, uri_bytes: 3, body_bytes: 4, body_bytes_per_second: 10, incomplete_bodies: 13, query_bytes: 5, query_depth: 10, query_nodes: 11, format_bytes: 12, query_selectors: 6, answer_bytes: 7, answer_bytes_per_second: 0, buffered_bytes: 9, rewrite_cache_bytes: 8}
timeouts: {first_request: 1ms, header: 2ms, body_idle: 3ms, body_total: 5ms, idle: 4ms, unauthenticated_idle: 5ms}
compression: {enabled: false, loopback: true, min_bytes: 0, gzip_level: 9, zstd_level: 9}
drain: {min: 5s, max: 0s}
reload: {poll_interval: 1m}
log: {format: json, level: "warn,partywall=debug"}
"#;

#[test]
fn listeners_and_upstreams() {
    let settings = settings_of(FULL);
    let addresses = ["0.0.0.0:80", "[::1]:81"].map(|address| Listener {
        address: address.parse().unwrap(),
        tls: None,
        cors: None,
    });
    assert_eq!(settings.listeners, addresses);
    assert_eq!(settings.admin.address, "127.0.0.1:82".parse().unwrap());
    assert_eq!(
        settings.admin.hosts,
        ["partywall.monitoring.svc".to_owned().into_boxed_str()]
    );
    let [tempo, thanos, _] = <[Upstream; 3]>::try_from(settings.upstreams).unwrap();
    assert_eq!(
        tempo.credentials,
        Credentials::Basic {
            username: "u".into(),
            password: Secret::new("p".into())
        }
    );
    assert_eq!(
        thanos,
        Upstream {
            name: "p".into(),
            api: Api::Prometheus,
            url: BaseUrl {
                https: true,
                authority: "thanos".into(),
                path: "/base".into()
            },
            cluster: None,
            path_prefix: Some("/clusters/eu".into()),
            hosts: vec!["eu.example.com".into(), "10.0.0.1".into()],
            tls: UpstreamTls {
                trust: Trust::Anyone,
                server_name: Some("thanos.svc".try_into().unwrap()),
                identity: None,
            },
            credentials: Credentials::ForwardToken,
            open_to_admins: ClosedGroup::ALL.to_vec(),
            timeouts: UpstreamTimeouts {
                connect: Duration::from_secs(1),
                response_head: Duration::from_secs(2),
                body_idle: Duration::from_secs(3),
                keep_alive: Duration::from_secs(4),
            },
            max_idle_connections: 0,
            compressed_answers: true,
            health: HealthCheck {
                path: "/healthz?a=b".into(),
                interval: Duration::from_secs(4),
                timeout: Duration::from_secs(5),
                gates_readiness: true,
            },
            shadow: None,
        }
    );
    assert_eq!(tempo.health, HealthCheck::of(Api::Tempo));
    assert_eq!(&*tempo.health.path, "/ready");
}

#[test]
fn tokens() {
    let settings = settings_of(FULL);
    let [shared, sso] = <[Issuer; 2]>::try_from(settings.tokens.issuers).unwrap();
    assert_eq!(
        shared,
        Issuer {
            issuer: "shared".into(),
            audiences: vec!["a".into(), "b".into()],
            algorithms: vec![Algorithm::HS256],
            authorized_parties: vec!["c".into()],
            leeway: Duration::ZERO,
            max_lifetime: Some(Duration::from_hours(12)),
            keys: KeySource::Hmac(Secret::new("0123456789abcdef0123456789abcdef".into())),
            refresh_interval: Duration::from_secs(1),
            max_stale: Duration::from_secs(1),
        }
    );
    assert_eq!(sso.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
    assert_eq!(
        sso.keys,
        KeySource::JwksUrl {
            url: "https://sso.example.com/keys?x=y".into(),
            ca_file: None,
            bearer_token_file: None
        }
    );
    assert_eq!(
        settings.tokens.sources,
        [("x-token", "JWT"), ("authorization", "Bearer")].map(|(header, scheme)| TokenSource {
            header: header.into(),
            scheme: Some(scheme.into())
        })
    );
    assert_eq!(
        (settings.tokens.cache_entries, settings.tokens.max_bytes),
        (1, 1024)
    );
}

#[test]
fn drain_reload_and_log_settings() {
    let settings = settings_of(FULL);
    let Passthrough {
        authenticated,
        health_authenticated,
        methods,
        paths,
        upstream,
    } = settings.passthrough;
    assert_eq!((authenticated, health_authenticated), (false, false));
    assert_eq!(methods.unwrap(), ["GET", "HEAD"]);
    let paths = paths.unwrap();
    let is_meant = |path: &str| paths.iter().any(|pattern| pattern.matches(path));
    for (path, expected) in [
        ("/graph", true),
        ("/graph/", false),
        ("/Graph", false),
        ("/static/", true),
        ("/static/js/main.js", true),
        ("/static", false),
        ("/statics", false),
        ("/", false),
    ] {
        assert_eq!(is_meant(path), expected, "{path}");
    }
    assert_eq!(upstream.as_deref(), Some("q"));
    assert_eq!(
        settings.limits,
        Limits {
            connections: 1,
            unauthenticated_connections_per_address: None,
            requests: 2,
            header_bytes: 8192,
            uri_bytes: 3,
            body_bytes: 4,
            body_bytes_per_second: 10,
            incomplete_bodies: 13,
            query_bytes: 5,
            query_depth: 10,
            query_nodes: 11,
            format_bytes: 12,
            query_selectors: 6,
            answer_bytes: 7,
            answer_bytes_per_second: 0,
            buffered_bytes: 9,
            rewrite_cache_bytes: 8
        }
    );
    let ms = Duration::from_millis;
    assert_eq!(
        settings.timeouts,
        Timeouts {
            first_request: ms(1),
            header: ms(2),
            body_idle: ms(3),
            body_total: ms(5),
            idle: ms(4),
            unauthenticated_idle: ms(5)
        }
    );
    assert_eq!(
        settings.compression,
        Compression {
            enabled: false,
            loopback: true,
            min_bytes: 0,
            gzip_level: 9,
            zstd_level: 9,
        }
    );
    assert_eq!(
        settings.drain,
        Drain {
            min: ms(5000),
            max: ms(0)
        }
    );
    assert_eq!(settings.reload.poll_interval, ms(60_000));
    assert_eq!(
        settings.log,
        Log {
            json: true,
            level: "warn,partywall=debug".into()
        }
    );
    assert_eq!(settings.promql.foreign_matchers, ForeignMatchers::Reject);
}

#[test]
fn tenancy() {
    let settings = settings_of(FULL);
    let tenancy = settings.tenancy;
    assert_eq!(tenancy.metrics_label.as_deref(), Some("tenant"));
    assert_eq!(tenancy.traces_attribute.as_deref(), Some("k8s.tenant-id"));
    assert_eq!(tenancy.max_tenants, 5);
    let when = |issuer: Option<&str>, claim: Option<(&str, &[&str])>| When {
        issuer: issuer.map(Into::into),
        claim: claim.map(|(path, values)| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            (ClaimPath(vec![path.into()]), values)
        }),
    };
    let [fixed, by_issuer, admins, short] = <[TenantRule; 4]>::try_from(tenancy.rules).unwrap();
    assert_eq!(
        fixed,
        TenantRule {
            when: when(Some("shared"), Some(("sub", &["x", "7"]))),
            grant: Grant::Tenants(vec!["1".into(), "2".into()]),
        }
    );
    assert_eq!(
        by_issuer,
        TenantRule {
            when: when(Some("shared"), None),
            grant: Grant::Claim(ClaimGrant {
                separator: Some(";".into()),
                ..claim(&["a.b", "c"])
            }),
        }
    );
    assert_eq!(
        admins,
        TenantRule {
            when: when(None, Some(("groups", &["sre"]))),
            grant: Grant::AllTenants,
        }
    );
    assert_eq!(short.when, When::default());
    let Grant::Claim(short) = short.grant else {
        panic!()
    };
    assert_eq!(short.claim, ClaimPath(vec!["a".into(), "b".into()]));
    assert_eq!(
        short.map,
        Some(vec![
            ("x".into(), vec!["y".into()]),
            ("z".into(), vec!["1".into(), "w".into()])
        ])
    );
    let [env] = <[FurtherDimension; 1]>::try_from(tenancy.and).unwrap();
    assert_eq!(
        env,
        FurtherDimension {
            rules: vec![TenantRule {
                when: When::default(),
                grant: Grant::Claim(claim(&["env"])),
            }],
            metrics_label: Some("env".into()),
            traces_attribute: None,
            selectors: Selectors::default(),
        }
    );
}

#[test]
fn pattern_matches_a_whole_value() {
    for pattern in ["team-.+|x", "(?x) team-.+ | x"] {
        let tenancy = tenancy_of(&format!("  claim: t\n  pattern: \"{pattern}\"\n"));
        let [rule] = <[TenantRule; 1]>::try_from(tenancy.rules).unwrap();
        let Grant::Claim(ClaimGrant {
            pattern: Some(Pattern(regex)),
            ..
        }) = rule.grant
        else {
            panic!()
        };
        assert!(regex.is_match("team-a") && regex.is_match("x"));
        for other in ["xteam-a", "team-", "xx", "x\n", "\nx", "y\nx", "team-a\nb"] {
            assert!(!regex.is_match(other), "{other:?}");
        }
    }
}

#[test]
fn variables_are_expanded_where_supported() {
    let text = r#"
listeners: [{address: 127.0.0.1:80}]
upstreams:
  - {name: p, api: prometheus, url: "http://${HOST}:${PORT}/x", credentials: {basic: {username: "${USER}", password: "a${PASS}$b$${c}$"}}}
  - {name: t, api: tempo, url: "http://${HOST}", credentials: {bearer_token: "${PASS}"}}
tokens:
  issuers:
    - {issuer: "https://${HOST}", audiences: ["${AUD}"], algorithms: [RS256], jwks_url: "https://${HOST}/keys"}
    - {issuer: x, audiences: [a], algorithms: [HS256], hmac_secret: "${LONG}"}
tenancy:
  rules: [{when: {issuer: "https://${HOST}"}, tenants: ["${HOST}"]}]
  metrics: {label: t}
  traces: {attribute: resource.t}
"#;
    let long = "x".repeat(32);
    let settings = Fake::config(text)
        .variable("HOST", "example.com")
        .variable("PORT", "99")
        .variable("USER", "me")
        .variable("PASS", "secret")
        .variable("LONG", &long)
        .load()
        .unwrap();
    assert_eq!(settings.upstreams[0].url.authority, "example.com:99");
    assert_eq!(
        settings.upstreams[0].credentials,
        Credentials::Basic {
            username: "me".into(),
            password: Secret::new("asecret$b${c}$".into())
        }
    );
    assert_eq!(
        settings.upstreams[1].credentials,
        Credentials::Bearer(Secret::new("secret".into()))
    );
    let [sso, shared] = <[Issuer; 2]>::try_from(settings.tokens.issuers).unwrap();
    assert_eq!(&*sso.issuer, "https://example.com");
    assert!(
        matches!(sso.keys, KeySource::JwksUrl { url, .. } if url == "https://example.com/keys")
    );
    assert_eq!(shared.keys, KeySource::Hmac(Secret::new(long)));
    // Not expanded elsewhere.
    assert_eq!(sso.audiences, ["${AUD}"]);
    assert_eq!(
        settings.tenancy.rules[0].grant,
        Grant::Tenants(vec!["${HOST}".into()])
    );
    assert_eq!(
        settings.tenancy.rules[0].when.issuer.as_deref(),
        Some("https://example.com")
    );
}

#[test]
fn audit_metrics_and_log_settings() {
    let with = |section: &str| settings_of(&format!("{}{section}\n", super::MINIMAL));
    let output = |output| with(&format!("audit: {{output: {output}}}")).audit.output;
    assert_eq!(output("stdout"), AuditOutput::Stdout);
    assert_eq!(output("none"), AuditOutput::None);
    assert_eq!(
        output("/var/log/audit"),
        AuditOutput::File("/var/log/audit".into())
    );
    assert_eq!(output("./log"), AuditOutput::File("/etc/./log".into()));
    let audit = with("audit: {sampling: 0.5, queries: hash}").audit;
    assert_eq!((audit.sampling, audit.queries), (0.5, AuditQueries::Hash));
    assert_eq!(with("metrics: {}").metrics.per_tenant, None);
    assert_eq!(
        with("metrics: {per_tenant: {}}").metrics.per_tenant,
        Some(100)
    );
    let bounded = with("metrics: {per_tenant: {max_tenants: 7}}");
    assert_eq!(bounded.metrics.per_tenant, Some(7));
}

#[test]
fn tracing_requires_the_otlp_feature() {
    let text = format!(
        "{}tracing: {{otlp_endpoint: 'http://otel:4318/v1/traces'}}\n",
        super::MINIMAL
    );
    let loaded = Fake::config(&text).load();
    if cfg!(feature = "otlp") {
        let tracing = loaded.unwrap().tracing.unwrap();
        assert_eq!(tracing.otlp_endpoint, "http://otel:4318/v1/traces");
        assert!((tracing.sample_ratio - 0.01).abs() < 1e-12);
        assert_eq!(&*tracing.service_name, "partywall");
    } else {
        let error = super::only(loaded.unwrap_err());
        assert!(error.contains("--features otlp"), "{error}");
    }
}

#[test]
fn tenant_override_replaces_only_given_keys() {
    let limits = |section: &str| {
        settings_of(&format!("{}tenant_limits:\n{section}", super::MINIMAL)).tenant_limits
    };
    let rate = |per_second: u32, burst: u32| {
        Some(Rate {
            per_second: per_second.try_into().unwrap(),
            burst: burst.try_into().unwrap(),
        })
    };
    let given = limits(
        "  default: {requests: 2, requests_per_second: 10, max_range: 31d, max_points: 100}
  tenants:
    big: {requests: 5, requests_per_second: 50}
    calm: {burst: 1, min_step: 1m}
    same: {}
",
    );
    let default = TenantLimit {
        requests: Some(2),
        rate: rate(10, 10),
        max_range: Some(Duration::from_hours(31 * 24)),
        max_points: Some(100),
        min_step: None,
    };
    assert_eq!(given.of("anyone"), &default);
    assert_eq!(given.of("same"), &default);
    let big = TenantLimit {
        requests: Some(5),
        rate: rate(50, 50),
        ..default
    };
    assert_eq!(given.of("big"), &big);
    let calm = TenantLimit {
        rate: rate(10, 1),
        min_step: Some(Duration::from_mins(1)),
        ..default
    };
    assert_eq!(given.of("calm"), &calm);
    assert!(given.counts() && given.guards());

    let guarded = limits("  tenants: {a: {max_points: 5}}\n");
    assert!(guarded.guards() && !guarded.counts());
    assert_eq!(guarded.of("b"), &TenantLimit::default());
    assert_eq!(limits("  {}\n"), TenantLimits::default());
}
