//! Valid settings that are probably a mistake, and grant more than intended.
//!
//! What can never be intended is an error. A warning prevents nothing; it is shown in every place
//! where an operator looks: by `partywall check`, in the log at each load, as a metric and on
//! `/-/config`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::error::{OneLine, Position};

/// The subject of a warning: a closed set, for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningCode {
    /// `upstreams[].tls.insecure_skip_verify`: any certificate is trusted.
    InsecureSkipVerify,
    /// `upstreams[].shadow`: nothing is enforced there, or its time has passed.
    ShadowMode,
    /// A rule with `all_tenants` checks a claim without naming its issuer, and there are several.
    AllTenantsOfAnyIssuer,
    /// A rule takes tenants from a claim that is not about the caller's tenant.
    ClaimNotOfTenant,
    /// `sub` is unique only within its issuer (RFC 7519 §4.1.2), and there are several.
    SubjectOfAnyIssuer,
    /// A `pattern` has several groups, of which only the first is the tenant.
    PatternGroups,
    /// The label that identifies tenants is set by the scraping Prometheus, or by the target.
    ScrapeLabel,
}

impl WarningCode {
    pub const ALL: [Self; 7] = [
        Self::InsecureSkipVerify,
        Self::ShadowMode,
        Self::AllTenantsOfAnyIssuer,
        Self::ClaimNotOfTenant,
        Self::SubjectOfAnyIssuer,
        Self::PatternGroups,
        Self::ScrapeLabel,
    ];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::InsecureSkipVerify => "insecure_skip_verify",
            Self::ShadowMode => "shadow_mode",
            Self::AllTenantsOfAnyIssuer => "all_tenants_of_any_issuer",
            Self::ClaimNotOfTenant => "claim_not_of_tenant",
            Self::SubjectOfAnyIssuer => "subject_of_any_issuer",
            Self::PatternGroups => "pattern_groups",
            Self::ScrapeLabel => "scrape_label",
        }
    }
}

/// One warning. Its text never contains the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    pub code: WarningCode,
    pub file: Arc<Path>,
    pub position: Position,
    /// The dotted path of the key, `upstreams[0].tls.insecure_skip_verify`.
    pub key: String,
    /// What it grants, and what to do.
    pub message: String,
}

/// `config/partywall.yaml:12:5: warning: tenancy.rules[0]: …`, always one line.
impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(
            f,
            "{}:{line}:{column}: warning: {}: {}",
            self.file.display(),
            OneLine(&self.key),
            OneLine(&self.message)
        )
    }
}
