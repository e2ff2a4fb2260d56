//! Why a caller has no tenants.

use thiserror::Error;

use super::InvalidTenant;

/// Why a caller with a valid token has no tenants, which is a 403. The texts name the claim and the
/// type of its content, never a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScopeRefusal {
    /// No rule's `when` holds.
    #[error(
        "no rule under `tenancy` applies to this token: its issuer and claims meet no `when`. \
         Add a rule for such callers, or give them the claim that a rule requires"
    )]
    NoRule,
    #[error(
        "the token has no claim `{claim}`: let the identity provider add it, or name another \
         claim under `tenancy`"
    )]
    ClaimMissing { claim: String },
    /// The provider has the claim but did not include it in the token.
    #[error(
        "the token has no claim `{claim}` but says that the identity provider has it \
         (`_claim_names` or `hasgroups`): Entra ID leaves the groups out of the tokens of a user in \
         more than 200 groups. Choose `Groups assigned to the application` in the app \
         registration's groups claim, or use app roles (the claim `roles`)"
    )]
    ClaimElsewhere { claim: String },
    /// The claim, or a part of the path to it, has another type.
    #[error(
        "the token's claim `{claim}` is {found} where {expected} is needed: change what the \
         identity provider puts there, or name another claim under `tenancy`"
    )]
    ClaimType {
        /// The claim's path, up to the part with the unexpected type.
        claim: String,
        /// The type that was found, in words.
        found: &'static str,
        /// The types that are accepted, in words.
        expected: &'static str,
    },
    /// The claim holds no value.
    #[error(
        "the token's claim `{claim}` is {found}: the caller has no tenant there. Let the identity \
         provider assign one"
    )]
    ClaimEmpty {
        claim: String,
        /// What is empty, in words.
        found: &'static str,
    },
    /// `pattern` and `map` left no value.
    #[error(
        "none of the {values} values of the token's claim `{claim}` is a tenant by the rule's \
         `pattern` and `map`: let the identity provider assign one that is, or extend the rule"
    )]
    NoValueLeft {
        claim: String,
        /// How many values the claim has.
        values: usize,
    },
    /// A value is not a valid tenant.
    #[error("a value of the token's claim `{claim}` is refused: {why}")]
    NoTenant {
        claim: String,
        /// Why it is not valid.
        why: InvalidTenant,
    },
    #[error(
        "the token's claim `{claim}` names {found} tenants and at most {max} are permitted: give the \
         caller fewer, narrow the rule by `pattern` or `map`, or raise `tenancy.max_tenants`"
    )]
    TooMany {
        claim: String,
        found: usize,
        max: usize,
    },
    /// Their data cannot be selected by one matcher.
    #[error(
        "one of the caller's several tenants has a negative selector (`!=` or `!~` below \
         `tenancy`), and no store can select its data and other data in one matcher: give the caller \
         this tenant alone, or write the selector with `=~`"
    )]
    NegativeAmongSeveral,
    /// PromQL has no "or" between the conditions of a selector.
    #[error(
        "the metrics of the caller's several tenants cannot be selected by one PromQL selector: \
         give the caller fewer tenants, or write their selectors (below `tenancy`) so that they are \
         the same but for the values of one label"
    )]
    NotOneConjunction,
    #[error(
        "the traces of the caller's several tenants are selected by {found} alternatives, and at \
         most {max} are permitted: give the caller fewer tenants, or write their selectors (below \
         `tenancy`) with fewer alternatives"
    )]
    TooManyAlternatives { found: usize, max: usize },
    /// A rule's `tenants` are empty, invalid or too many. A checked config has no such rule.
    #[error(
        "the `tenants` of the rule that applies to this token are not usable: correct the rule"
    )]
    FixedTenants,
    /// `all_tenants` below `and`. A checked config has no such rule.
    #[error(
        "a rule below `tenancy.and` grants all tenants: only the rules of `tenancy` itself can"
    )]
    AllTenantsInFurtherDimension,
}

impl ScopeRefusal {
    /// The reason as a label value, of a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::ClaimMissing { .. } => "claim_missing",
            Self::ClaimElsewhere { .. } => "claim_elsewhere",
            Self::ClaimType { .. } => "claim_type",
            Self::ClaimEmpty { .. } => "claim_empty",
            Self::NoValueLeft { .. } => "no_value_left",
            Self::NoTenant { .. } => "invalid_tenant",
            Self::TooMany { .. } => "too_many_tenants",
            Self::NegativeAmongSeveral => "negative_selector",
            Self::NotOneConjunction => "not_one_conjunction",
            Self::TooManyAlternatives { .. } => "too_many_alternatives",
            Self::FixedTenants | Self::AllTenantsInFurtherDimension => "config",
        }
    }
}
