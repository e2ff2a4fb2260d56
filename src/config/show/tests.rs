use std::path::Path;

use super::super::{Access, OsAccess, load};
use super::show;
use crate::config::settings::{Settings, UpstreamTimeouts};

/// Nothing at its default, and no secret.
const EVERYTHING: &str = r##"
listeners: [{address: 0.0.0.0:8443}, {address: "[::1]:1"}]
admin: {address: 127.0.0.1:9, hosts: [a.test, b.test]}
upstreams:
  - name: thanos
    api: prometheus
    url: https://thanos.example.com:10902/prometheus
    path_prefix: /europe
    hosts: [eu.example.com, "10.0.0.1"]
    tls: {server_name: thanos.svc, insecure_skip_verify: true}
    health: {path: "/-/healthy?x=1", interval: 1s, timeout: 250ms, gates_readiness: true}
    credentials: {forward_token: true}
    open_to_admins: [status, unknown]
    timeouts: {connect: 1s, response_head: 1m30s, body_idle: 250ms}
    max_idle_connections: 0
    shadow: {until: 2026-01-31T18:00:00Z, tenants_see_each_other: true, compare: 0.25}
  - {name: tempo, api: tempo, url: "http://127.0.0.1:3200"}
  - {name: us, api: prometheus, url: "http://127.0.0.1:1", cluster: us}
tokens:
  sources: [{header: X-Token}, {header: Authorization, scheme: Token}]
  issuers:
    - issuer: https://one.example.com
      audiences: [grafana, "*", "yes", "1"]
      algorithms: [RS256, EdDSA]
      authorized_parties: ["it's \"quoted\" and \u00fcml\u00e4uted"]
      leeway: 0s
      max_lifetime: 1h
      discovery: true
      ca_file: ca.pem
      refresh_interval: 1s
      max_stale: 2s
    - issuer: https://two.example.com
      audiences: [grafana]
      algorithms: [ES256]
      jwks_url: http://two.example.com/keys
  cache_entries: 7
  max_bytes: 2KiB
tenancy:
  rules:
    - when: {issuer: "https://one.example.com", claim: groups, values: [sre, "- x"]}
      all_tenants: true
    - when: {claim: ["https://example.com/t", b], values: ["null"]}
      tenants: ["a|b", "#c", "d: e"]
  claim: realm_access.roles
  separator: ","
  pattern: "team-(.+)"
  map: {a: [b, c], "d:": e}
  metrics: {label: tenant_id}
  traces: {attribute: resource.tenant.id}
  selectors:
    a: {match: "=~", value: "a-.*"}
    "b:": {match: "!~", value: "x\\.y|[\"']"}
    c: {match: "!=", value: "- x"}
  and:
    - claim: env
      selectors: {p: {match: "=~", value: "prod-[0-9]+"}}
      metrics: {label: env}
      traces: {attribute: resource.env}
    - claim: region
      metrics: {label: region}
  clusters:
    rules:
      - {when: {claim: groups, values: [x]}, clusters: [us]}
      - {when: {claim: groups, values: [y]}, all_clusters: true}
    claim: sites
    map: {here: us}
  max_tenants: 9
promql: {foreign_matchers: reject}
traces:
  search_metadata: verify
  foreign_spans: outline
  outline_attributes: ["span:name", resource.service.name, "span.#x: y"]
passthrough: {authentication: none, upstream: tempo}
limits:
  connections: 1
  unauthenticated_connections_per_address: 3
  requests: 2
  header_bytes: 9000
  body_bytes: 4
  query_bytes: 5
  query_depth: 10
  query_nodes: 11
  format_bytes: 12
  query_selectors: 6
  answer_bytes: 7
  answer_bytes_per_second: 10
  rewrite_cache_bytes: 8
timeouts: {first_request: 1s, header: 2s, body_idle: 3s, idle: 4s, unauthenticated_idle: 5s}
compression: {enabled: false, loopback: true, min_bytes: 7, gzip_level: 8, zstd_level: 9}
drain: {min: 5s, max: 6s}
reload: {poll_interval: 7s}
log: {format: json, level: "info,hyper=warn"}
audit: {output: /var/log/audit.jsonl, sampling: 0.25, queries: hash}
metrics: {per_tenant: {max_tenants: 12}}
cache: {ttl: 1m30s, max_answer_bytes: 9, memory_bytes: 2MiB}
"##;

/// Returns this for the config itself, and a certificate for the files that it names.
struct With<'a>(&'a str);

impl Access for With<'_> {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        if path == Path::new("/etc/config") {
            return Ok(self.0.into());
        }
        let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        Ok(ca.cert.pem().into())
    }

    fn variable(&self, _name: &str) -> Result<String, std::env::VarError> {
        Err(std::env::VarError::NotPresent)
    }
}

fn settings(config: &str) -> Settings {
    load(Path::new("/etc/config"), &With(config))
        .unwrap_or_else(|errors| panic!("{errors}\n{config}"))
        .settings
}

#[test]
fn shown_config_loads_to_the_same_settings() {
    let settings_before = settings(EVERYTHING);
    let shown = show(&settings_before);
    assert_eq!(settings(&shown), settings_before, "{shown}");
    assert_eq!(show(&settings(&shown)), shown);
}

#[test]
fn defaults_are_shown() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/minimal.yaml");
    let minimal = load(&path, &OsAccess).unwrap().settings;
    let shown = show(&minimal);
    for line in [
        "  address: \"127.0.0.1:8081\"",
        "  foreign_matchers: intersect",
        "  requests: 2000",
        "  output: log",
        "  sampling: 0",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let default = UpstreamTimeouts::default().connect.as_secs();
    assert!(shown.contains(&format!("connect: {default}s")), "{shown}");
}

#[test]
fn secrets_are_not_shown() {
    const SECRET: &str = "S3CRETS3CRETS3CRETS3CRETS3CRETS3CRET";
    let with_secrets = format!(
        "
listeners: [{{address: 127.0.0.1:1}}]
upstreams:
  - {{name: a, api: prometheus, url: 'http://a', credentials: {{bearer_token: {SECRET}}}}}
  - name: b
    api: tempo
    url: http://b
    credentials: {{basic: {{username: user, password: {SECRET}}}}}
tokens:
  issuers:
    - issuer: one
      audiences: [x]
      algorithms: [HS256]
      hmac_secret: {SECRET}
    - issuer: two
      audiences: [x]
      algorithms: [RS256]
      jwks_url: https://two.example.com/keys?code={SECRET}
tenancy: {{claim: t, metrics: {{label: t}}, traces: {{attribute: resource.t}}}}
"
    );
    let settings = settings(&with_secrets);
    let shown = show(&settings);
    assert!(!shown.contains("S3CRET"), "{shown}");
    assert_eq!(shown.matches("***").count(), 4, "{shown}");
    let debug = format!("{settings:?}").replace(&format!("keys?code={SECRET}"), "");
    assert!(!debug.contains("S3CRET"), "{debug}");
}
