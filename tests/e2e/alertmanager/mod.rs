//! Alertmanager: a shared one behind Partywall, beside a private one with one tenant's data.
//!
//! | file | one idea |
//! |---|---|
//! | `law` | what a tenant reads is what a private Alertmanager answers |
//! | `writes` | silences and alerts that a tenant posts, changes and expires |
//! | `hostile` | what a tenant does to see or change others' |
//! | `grafana` | what Grafana's data source sends |
//! | `tools` | explain, doctor, shadow mode, amtool |

mod grafana;
mod hostile;
mod law;
mod tools;
mod writes;

use hyper::Method;
use serde_json::{Value, json};

use crate::kit::alertmanager::{Alertmanager, call, equal};
use crate::kit::client::Answer;
use crate::kit::partywall::{Partywall, Setup};

/// Partywall before a shared Alertmanager.
pub struct Stage {
    pub shared: Alertmanager,
    pub proxy: Partywall,
    pub acme: String,
    pub globex: String,
    /// Silences of `acme`, of `globex`, and one that matches all tenants' alerts of a name.
    pub silences: [String; 3],
}

/// The labels of the alerts of `acme`.
pub fn acme_alerts() -> Vec<Value> {
    let alert = |name: &str, severity: &str, job: &str| json!({"alertname": name, "tenant_id": "acme", "severity": severity, "job": job});
    vec![
        alert("Down", "critical", "api"),
        alert("Slow", "warning", "api"),
        alert("Slow", "warning", "db"),
        alert("Full", "info", "db"),
        alert("Odd \"name\" {é}\\", "info", "x"),
    ]
}

/// What is no tenant's, or `globex`': the same names, others, and an alert without a tenant.
fn other_alerts() -> Vec<Value> {
    vec![
        json!({"alertname": "Down", "tenant_id": "globex", "severity": "critical", "job": "api"}),
        json!({"alertname": "Slow", "tenant_id": "globex", "severity": "warning", "job": "api"}),
        json!({"alertname": "GlobexOnly", "tenant_id": "globex", "severity": "info", "job": "globex-db"}),
        json!({"alertname": "Down", "tenant_id": "acme-globex", "severity": "critical", "job": "api"}),
        json!({"alertname": "Nobodys", "severity": "info", "job": "globex"}),
    ]
}

/// The matchers of `acme`'s silence.
pub fn acme_silence() -> Vec<Value> {
    vec![equal("alertname", "Full"), equal("tenant_id", "acme")]
}

/// A config with one upstream, an Alertmanager at this address.
pub fn setup_of(url: &str) -> Setup {
    let mut setup = Setup::new("");
    setup.more = vec![format!("{{name: alerts, api: alertmanager, url: {url}}}")];
    setup.tenancy.push_str("\n  metrics:\n    label: tenant_id");
    setup
}

impl Stage {
    pub async fn new() -> Option<Self> {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Setup)) -> Option<Self> {
        let shared = Alertmanager::start("shared").await?;
        shared.fire(&acme_alerts()).await;
        shared.fire(&other_alerts()).await;
        let silences = [
            shared.silence(&acme_silence()).await,
            shared
                .silence(&[equal("alertname", "Slow"), equal("tenant_id", "globex")])
                .await,
            shared.silence(&[equal("alertname", "Nobodys")]).await,
        ];
        let mut setup = setup_of(&shared.url);
        change(&mut setup);
        let proxy = Partywall::start(setup).await;
        let (acme, globex) = (proxy.signer.tenant("acme"), proxy.signer.tenant("globex"));
        Some(Self {
            shared,
            proxy,
            acme,
            globex,
            silences,
        })
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(token, Method::GET, path, &Value::Null).await
    }

    pub async fn send(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        call(&self.proxy.url, Some(token), method, path, body).await
    }
}
