//! The caller of a request, once its token is verified.

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderName};
use serde_json::{Map, Value};

use crate::config::settings::{Algorithm, Tenancy};
use crate::shares::Holder;
use crate::tenancy::{self, ScopeRefusal, TenantScope};

/// The subject of a verified token. Only the verifier makes one, and [`Caller::supposed`] for
/// explanations.
#[derive(Debug)]
pub struct Principal {
    pub(super) issuer: Arc<str>,
    pub(super) subject: Option<Box<str>>,
    pub(super) claims: Map<String, Value>,
    pub(super) expires_at: u64,
    pub(super) header: HeaderName,
    pub(super) signature: Option<Signature>,
}

/// How a verified token was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub algorithm: Algorithm,
    /// `kid`, if the token names its key.
    pub key_id: Option<Box<str>>,
}

impl Principal {
    /// `iss`, as in the config.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`; some providers omit it.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `exp`, in seconds since 1970, without the issuer's leeway.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// The header that had the token.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// How the token was signed; `None` for supposed claims without a token.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }
}

/// A principal with its tenants.
#[derive(Debug)]
pub struct Caller {
    pub(super) principal: Principal,
    pub(super) scope: Result<TenantScope, ScopeRefusal>,
    pub(super) holder: Holder,
}

impl Caller {
    /// A caller with these claims, which nothing verified. Only for explaining what would happen to a
    /// request: what is enforced for such a caller may be shown, and is never sent.
    pub(crate) fn supposed(
        tenancy: &Tenancy,
        issuer: Arc<str>,
        claims: Map<String, Value>,
    ) -> Self {
        let scope = tenancy::resolve(tenancy, &issuer, &claims);
        let subject = claims.get("sub").and_then(Value::as_str).map(Into::into);
        let principal = Principal {
            issuer,
            subject,
            claims,
            expires_at: u64::MAX,
            header: AUTHORIZATION,
            signature: None,
        };
        Self {
            principal,
            scope,
            holder: Holder::alone(),
        }
    }

    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The holder whose share of permits and memory its requests use.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The tenants, or why there are none, which is a 403 on a data path.
    pub fn scope(&self) -> Result<&TenantScope, &ScopeRefusal> {
        self.scope.as_ref()
    }
}
