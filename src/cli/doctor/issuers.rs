//! Checks of the issuers' keys, and of the token that was given.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::finding::{Finding, Report};
use super::probe::at;
use crate::auth::Authenticator;
use crate::cli::terminal;
use crate::config::Loaded;
use crate::config::settings::{Issuer, KeySource};
use crate::proxy::explain::{ExplainRequest, Explanation, Outcome, explain_request};
use crate::proxy::snapshot::Snapshot;

/// Whether Partywall has keys for each issuer, and whether the token is valid.
pub(super) async fn examine(
    report: &mut Report,
    loaded: &Loaded,
    token: Option<&str>,
    within: Duration,
) -> Result<(), String> {
    let settings = &loaded.settings;
    let tenancy = Arc::new(settings.tenancy.clone());
    let authenticator =
        Authenticator::new(&settings.tokens, tenancy, None).map_err(|e| e.to_string())?;
    terminal::while_waiting("the issuers' keys", authenticator.settle(within)).await;
    for (issuer, status) in settings
        .tokens
        .issuers
        .iter()
        .zip(authenticator.key_status())
    {
        let source = source(&issuer.keys);
        let finding = if status.keys > 0 {
            Finding::ok(format!("{} from {source}", status.keys))
        } else {
            let why = status.failure.as_deref().map(String::as_str);
            let why = why.unwrap_or("none is usable, or they did not arrive in time");
            let fix = "check the network policy, `ca_file`, and that `issuer` is exact; if the \
                       issuer has another name inside this network, set jwks_url";
            Finding::fail(format!("none from {source}: {why}"), fix)
        };
        report.section(&issuer.issuer).add("keys", finding);
        report
            .section(&issuer.issuer)
            .add("lifetime", lifetime(issuer));
    }
    if let Some(token) = token {
        check_token(report, loaded, token, within).await?;
    }
    Ok(())
}

/// Whether a token that its issuer made valid for centuries is trusted for as long.
fn lifetime(issuer: &Issuer) -> Finding {
    match issuer.max_lifetime {
        Some(longest) => Finding::ok(format!("tokens are valid for at most {longest:?}")),
        None => Finding::warn(
            "a token is accepted however far ahead its `exp` is",
            "set `max_lifetime` of the issuer to the longest time that it issues tokens for",
        ),
    }
}

fn source(keys: &KeySource) -> &'static str {
    match keys {
        KeySource::Discovery { .. } => "discovery",
        KeySource::JwksUrl { .. } => "jwks_url",
        KeySource::Jwks(_) => "jwks_file",
        KeySource::Pem(_) => "pem_file",
        KeySource::Hmac(_) => "hmac_secret",
    }
}

/// Verifies the token as it would be verified in a request.
async fn check_token(
    report: &mut Report,
    loaded: &Loaded,
    token: &str,
    within: Duration,
) -> Result<(), String> {
    let settings = &loaded.settings;
    let question = ExplainRequest::new(settings, None, Some("up"), None)
        .and_then(|question| question.with_token(settings, token))
        .map_err(|error| error.to_string())?;
    let snapshot = Snapshot::build(loaded.clone(), None).map_err(|e| e.to_string())?;
    snapshot.rules().authenticator().settle(within).await;
    let explanation = explain_request(&snapshot, question).await;
    let mut report = report.section("token");
    report.add("valid", validity(&explanation));
    if explanation.caller.is_some() {
        report.add("tenants", tenants(&explanation));
        report.add("issued", issued(token));
    }
    Ok(())
}

fn validity(explanation: &Explanation) -> Finding {
    match (&explanation.caller, &explanation.outcome) {
        (Some(caller), _) => {
            let subject = caller.subject.as_deref().unwrap_or("(no subject)");
            Finding::ok(format!("`{subject}` of {}", caller.issuer))
        }
        (None, Outcome::Refused(refused)) => {
            let fix = refused.to_allow.as_deref().unwrap_or("get another token");
            let text = format!("{} {}: {}", refused.status, refused.reason, refused.text);
            Finding::fail(text, fix)
        }
        (None, _) => Finding::skip("the request needs no token"),
    }
}

fn tenants(explanation: &Explanation) -> Finding {
    let dimensions = &explanation.dimensions;
    if let Some(first) = dimensions.first().filter(|first| first.all_tenants) {
        let rule = first.rule.unwrap_or_default();
        return Finding::ok(format!("all, by rule {rule}"));
    }
    if dimensions
        .iter()
        .any(|dimension| dimension.tenants.is_empty())
    {
        let text = "none: every request is refused";
        let fix = "`partywall explain` shows why; change the rules of `tenancy`, or what the \
                   identity provider puts into the token";
        return Finding::fail(text, fix);
    }
    let all: Vec<String> = dimensions.iter().map(|d| d.tenants.join(", ")).collect();
    Finding::ok(all.join("; "))
}

/// The age of the token, which is verified already.
fn issued(token: &str) -> Finding {
    let Some(issued) = issued_at(token) else {
        return Finding::skip("the token has no `iat`");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs_f64();
    if issued > now + 1.0 {
        let text = format!("the issuer's clock is {:.0} s ahead of ours", issued - now);
        return Finding::warn(text, "synchronise both clocks with NTP");
    }
    Finding::ok(format!("{:.0} s ago", now - issued))
}

fn issued_at(token: &str) -> Option<f64> {
    use base64::Engine as _;
    let claims = token.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    at(&claims, "/iat").as_f64()
}
