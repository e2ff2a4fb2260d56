//! The caller, its tenants, and which rules grant them.

use serde_json::{Map, Value};

use super::explanation::{CallerView, ConditionsView, Dimension, KeyView, SelectorView};
use crate::auth::{Caller, Signature};
use crate::config::settings::{Algorithm, KeySource, Settings};
use crate::tenancy::{self, Reason};

pub(super) fn view(settings: &Settings, caller: &Caller) -> CallerView {
    let principal = caller.principal();
    let key = principal
        .signature()
        .map(|signature| key(settings, principal.issuer(), signature));
    CallerView {
        verified: key.is_some(),
        issuer: principal.issuer().to_owned(),
        subject: principal.subject().map(str::to_owned),
        expires_at: key.is_some().then(|| principal.expires_at()),
        key,
    }
}

/// Which tenants a caller with these claims has, and why.
pub fn dimensions(
    settings: &Settings,
    issuer: &str,
    claims: &Map<String, Value>,
) -> Vec<Dimension> {
    tenancy::reasons(&settings.tenancy, issuer, claims)
        .into_iter()
        .map(dimension)
        .collect()
}

fn dimension(reason: Reason) -> Dimension {
    let rule = reason.rule();
    let selectors = reason.selectors.into_iter();
    let selectors = selectors.map(|(tenant, op, value)| SelectorView { tenant, op, value });
    let conditions = reason.conditions.into_iter();
    let conditions = conditions.map(|(tenant, text)| ConditionsView { tenant, text });
    Dimension {
        label: reason.label.map(|label| label.to_string()),
        attribute: reason.attribute.map(|name| format!("resource.{name}")),
        of_clusters: reason.of_clusters,
        all_tenants: reason.tenants.is_none(),
        tenants: reason.tenants.unwrap_or_default(),
        selectors: selectors.collect(),
        conditions: conditions.collect(),
        rule,
        rules: reason.rules,
        grant: reason.grant,
        values: reason.values,
        read_as: reason.read_as,
        passed_over: reason.passed_over,
    }
}

fn key(settings: &Settings, issuer: &str, signature: &Signature) -> KeyView {
    let mut issuers = settings.tokens.issuers.iter();
    let source = issuers
        .find(|known| &*known.issuer == issuer)
        .map_or("", |known| match known.keys {
            KeySource::Discovery { .. } => "discovery",
            KeySource::JwksUrl { .. } => "jwks_url",
            KeySource::Jwks(_) => "jwks_file",
            KeySource::Pem(_) => "pem_file",
            KeySource::Hmac(_) => "hmac_secret",
        });
    let mut names = Algorithm::ALL.iter();
    let algorithm = names.find(|(_, algorithm)| *algorithm == signature.algorithm);
    KeyView {
        algorithm: algorithm.map_or("", |(name, _)| name).to_owned(),
        id: signature.key_id.as_deref().map(str::to_owned),
        source,
    }
}
