//! Helpers for the tests of several modules.

#[path = "../tests/e2e/kit/evidence.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the end-to-end tests"
)]
pub(crate) mod evidence;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::config::settings::{Selector, Selectors};
use crate::config::{self, Loaded, OsAccess};
use crate::tenancy::{self, Resources, ScopeRefusal, Tenant, TenantScope, TenantSet, Values};
use crate::value_pattern::ValuePattern;

/// The selectors of tenants: name, operator and value.
pub(crate) fn selectors(all: &[(&str, &str, &str)]) -> Selectors {
    let selector = |op: &str, value: &str| match op {
        "=~" => Selector::Matches(Arc::new(ValuePattern::new(value).unwrap())),
        "!~" => Selector::MatchesNot(Arc::new(ValuePattern::new(value).unwrap())),
        "!=" => Selector::Not(Tenant::new(value).unwrap()),
        _ => panic!("{op}"),
    };
    let all = all.iter();
    all.map(|(tenant, op, value)| ((*tenant).into(), selector(op, value)))
        .collect()
}

/// The values of a tenant with this selector, beside tenants without one.
pub(crate) fn selected(op: &str, value: &str, others: &[&str]) -> Values {
    let tenants = others.iter().chain(&["selected"]);
    let tenants = TenantSet::new(tenants.map(|name| Tenant::new(name).unwrap()));
    Values::of(&tenants.unwrap(), &selectors(&[("selected", op, value)])).unwrap()
}

/// The resources of these tenants, one of which, `t`, has this selector.
pub(crate) fn resources(selector: &str, tenants: &[&str]) -> Arc<Resources> {
    let scope = scope_of(
        "traces, api: tempo",
        "traces: {attribute: resource.tenant_id}",
        selector,
        tenants,
    );
    let TenantScope::Tenants(scope) = scope.unwrap() else {
        panic!("all tenants");
    };
    Arc::clone(scope.traces().unwrap())
}

/// The scope of these tenants, one of which, `t`, has this selector.
pub(crate) fn scope_of(
    upstream: &str,
    names: &str,
    selector: &str,
    tenants: &[&str],
) -> Result<TenantScope, ScopeRefusal> {
    let tenancy = format!("{{claim: tenant_id, {names}, selectors: {{t: {{{selector}}}}}}}");
    let settings = loaded_with(upstream, &tenancy, "").settings;
    let claims = serde_json::json!({ "tenant_id": tenants });
    let issuer = "https://sso.example.com";
    tenancy::resolve(&settings.tenancy, issuer, claims.as_object().unwrap())
}

/// A config of one metrics upstream, with `rest` as further top-level YAML.
pub(crate) fn loaded(rest: &str) -> Loaded {
    let tenancy = "{claim: tenant_id, metrics: {label: tenant_id}}";
    loaded_with("metrics, api: prometheus", tenancy, rest)
}

fn loaded_with(upstream: &str, tenancy: &str, rest: &str) -> Loaded {
    let config = format!(
        "
listeners: [{{address: 127.0.0.1:1}}]
upstreams: [{{name: {upstream}, url: http://127.0.0.1:1}}]
tokens:
  issuers:
    - issuer: https://sso.example.com
      audiences: [grafana]
      algorithms: [HS256]
      hmac_secret: 0123456789abcdef0123456789abcdef
tenancy: {tenancy}
{rest}"
    );
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("partywall.yaml");
    std::fs::write(&path, config).unwrap();
    config::load(&path, &OsAccess).unwrap()
}

/// Runs `work`, and returns its result with the CPU time of this thread, whatever else the machine
/// did meanwhile.
pub(crate) fn cpu_time_of<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = cpu_time();
    let done = work();
    (done, cpu_time().saturating_sub(before))
}

/// The first field of `/proc/pid/schedstat` (`proc(5)`); where the kernel lacks it, the clock.
fn cpu_time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    match std::fs::read_to_string("/proc/thread-self/schedstat") {
        Ok(stat) => Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap()),
        Err(_) => START.elapsed(),
    }
}
