//! The tenants that inputs are confined to.

use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use partywall::config::{self, Access};
use partywall::tenancy::{
    LabelMatcher, Matchers, Resources, Tenant, TenantScope, TenantSet, Values, resolve,
};
use serde_json::json;

/// These tenants.
pub fn tenants(names: &[&str]) -> Values {
    let tenants = names
        .iter()
        .map(|name| Tenant::new(name).expect("a tenant"));
    TenantSet::new(tenants).expect("not empty").into()
}

/// One tenant, several, or two labels.
pub fn matchers(choice: u8) -> Matchers {
    let matcher = |label: &str, names| LabelMatcher::new(label.into(), tenants(names));
    match choice % 3 {
        0 => Matchers::new(matcher("tenant_id", &["acme"]), []),
        1 => Matchers::new(matcher("tenant_id", &["acme", "b.c", "d\"\\e"]), []),
        _ => Matchers::new(
            matcher("tenant_id", &["acme"]),
            [matcher("env", &["prod", "test"])],
        ),
    }
}

/// Whose resources are the caller's, as Partywall has it and as a reference has it.
pub struct Scope {
    pub resources: Arc<Resources>,
    /// A resource must fulfil all conditions of one of these. Written by hand beside the config that
    /// `resources` is made from, not derived from it.
    pub any: Vec<Vec<Condition>>,
}

/// An attribute of a resource, and what its value must be.
pub type Condition = (&'static str, Is);

#[derive(Clone, Copy)]
pub enum Is {
    Text(fn(&str) -> bool),
    Bool(bool),
    /// As an integer or as a float.
    Number(i64),
}

/// The value of an attribute, if it is one that a condition can hold for.
pub enum Value<'v> {
    Text(&'v str),
    Bool(bool),
    Int(i64),
    Float(f64),
}

impl Is {
    fn holds_for(self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Text(is_own), Value::Text(text)) => is_own(text),
            (Self::Bool(own), Value::Bool(value)) => own == *value,
            (Self::Number(own), Value::Int(value)) => own == *value,
            (Self::Number(own), Value::Float(value)) => own as f64 == *value,
            _ => false,
        }
    }
}

impl Scope {
    /// Whether a resource is the caller's. `value_of` has none for an attribute that is missing or
    /// given twice.
    pub fn has<'v>(&self, value_of: impl Fn(&str) -> Option<Value<'v>>) -> bool {
        self.any.iter().any(|all| {
            let mut all = all.iter();
            all.all(|(name, is)| value_of(name).is_some_and(|value| is.holds_for(&value)))
        })
    }
}

/// Conditions on several attributes, unions of these, and values that are no texts.
const CONFIG: &str = r#"
listeners: [{address: "127.0.0.1:1"}]
upstreams: [{name: traces, api: tempo, url: "http://127.0.0.1:1"}]
tokens:
  issuers:
    - issuer: https://sso.example.com
      audiences: [grafana]
      algorithms: [HS256]
      hmac_secret: 0123456789abcdef0123456789abcdef
tenancy:
  claim: tenant_id
  traces: {attribute: resource.tenant_id}
  selectors:
    front:
      traces:
        any:
          - - {attribute: resource.env, match: "=", value: prod}
            - {attribute: resource.team, match: "=~", value: "A|B.*"}
          - - {attribute: resource.team, match: "=", value: prod}
    typed:
      traces:
        - {attribute: resource.shared, match: "=", value: true}
        - {attribute: resource.level, match: "=", value: 5}
    either:
      traces:
        any:
          - - {attribute: resource.shared, match: "=", value: false}
          - - {attribute: resource.level, match: "=", value: 9007199254740992}
          - - {attribute: resource.env, match: "!=", value: prod}
            - {attribute: resource.tenant_id, match: "=~", value: "[AB]"}
"#;

/// Only the config.
struct Only;

impl Access for Only {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(CONFIG.as_bytes().to_vec())
    }

    fn variable(&self, _: &str) -> Result<String, std::env::VarError> {
        Err(std::env::VarError::NotPresent)
    }
}

/// The scopes that the config gives to tenants.
static SCOPES: LazyLock<Vec<Scope>> = LazyLock::new(|| {
    let a: Condition = ("tenant_id", Is::Text(|it| it == "A"));
    let b: Condition = ("tenant_id", Is::Text(|it| it == "B"));
    let front = [
        vec![
            ("env", Is::Text(|it| it == "prod")),
            ("team", Is::Text(|it| it == "A" || it.starts_with('B'))),
        ],
        vec![("team", Is::Text(|it| it == "prod"))],
    ];
    let typed = [vec![("shared", Is::Bool(true)), ("level", Is::Number(5))]];
    let either = [
        vec![("shared", Is::Bool(false))],
        vec![("level", Is::Number(9_007_199_254_740_992))],
        vec![
            ("env", Is::Text(|it| !it.is_empty() && it != "prod")),
            ("tenant_id", Is::Text(|it| it == "A" || it == "B")),
        ],
    ];
    let scope = |names: &[&str], any: Vec<Vec<Condition>>| Scope {
        resources: granted(names),
        any,
    };
    vec![
        scope(&["A"], vec![vec![a]]),
        scope(&["A", "B"], vec![vec![a], vec![b]]),
        scope(&["front"], front.to_vec()),
        scope(&["typed"], typed.to_vec()),
        scope(&["either"], either.to_vec()),
        scope(
            &["front", "A", "B"],
            [&front[..], &[vec![a], vec![b]]].concat(),
        ),
        scope(&["typed", "B"], [&typed[..], &[vec![b]]].concat()),
        scope(
            &["either", "front", "typed", "A"],
            [&either[..], &front, &typed, &[vec![a]]].concat(),
        ),
    ]
});

/// One of the scopes for traces.
pub fn of_traces(choice: u8) -> &'static Scope {
    &SCOPES[usize::from(choice) % SCOPES.len()]
}

fn granted(names: &[&str]) -> Arc<Resources> {
    let loaded = config::load(Path::new("/partywall.yaml"), &Only).expect("valid");
    let claims = json!({ "tenant_id": names });
    let claims = claims.as_object().expect("claims");
    let scope = resolve(&loaded.settings.tenancy, "https://sso.example.com", claims);
    let TenantScope::Tenants(tenants) = scope.expect("granted") else {
        panic!("all tenants");
    };
    Arc::clone(tenants.traces().expect("selectable"))
}
