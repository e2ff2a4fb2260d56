//! What a valid config says that is probably not meant, and gives more than is meant.
//!
//! What can never be meant is an error. A warning stops nothing; it is shown wherever an operator
//! looks: by `partywall check`, in the log at each load, as a metric and on `/-/config`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::error::{OneLine, Position};

/// What is warned of: a closed set, for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningCode {
    /// `upstreams[].tls.insecure_skip_verify`: any certificate is trusted.
    InsecureSkipVerify,
    /// `upstreams[].shadow`: nothing is enforced there, or the block has served its time.
    ShadowMode,
    /// A rule with `all_tenants` asks for a claim of no particular issuer, and there are several.
    AllTenantsOfAnyIssuer,
    /// A rule takes tenants from a claim that is not about the tenant of the caller.
    ClaimNotOfTenant,
    /// `sub` is unique within its issuer only (RFC 7519 §4.1.2), and there are several.
    SubjectOfAnyIssuer,
    /// A `pattern` has several groups, and the first alone is the tenant.
    PatternGroups,
    /// The label that tells tenants apart is set by whoever scrapes, or by the target.
    ScrapeLabel,
}

impl WarningCode {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::InsecureSkipVerify,
        Self::ShadowMode,
        Self::AllTenantsOfAnyIssuer,
        Self::ClaimNotOfTenant,
        Self::SubjectOfAnyIssuer,
        Self::PatternGroups,
        Self::ScrapeLabel,
    ];

    /// As in logs and metrics.
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

/// One warning. Its text never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// What it is about.
    pub code: WarningCode,
    /// The config file.
    pub file: Arc<Path>,
    /// Where in the file.
    pub position: Position,
    /// The dotted path of the key, `upstreams[0].tls.insecure_skip_verify`.
    pub key: String,
    /// What is given away, and what to do.
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
