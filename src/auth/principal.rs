//! Who is asking, once it is proven.

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderName};
use serde_json::{Map, Value};

use crate::config::settings::{Algorithm, Tenancy};
use crate::shares::Holder;
use crate::tenancy::{self, ScopeRefusal, TenantScope};

/// Who a verified token speaks for. Only the verifier makes one, but for
/// [`Caller::supposed`].
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
    /// `alg`
    pub algorithm: Algorithm,
    /// `kid`, if the token names its key.
    pub key_id: Option<Box<str>>,
}

impl Principal {
    /// `iss`, as the config has it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`; some providers leave it out.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Every claim.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `exp`, in seconds since 1970; the issuer's leeway is not in it.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// The header the token came in.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// How the token was signed; `None` where there was none and the claims are supposed.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }
}

/// A principal and what it may see.
#[derive(Debug)]
pub struct Caller {
    pub(super) principal: Principal,
    pub(super) scope: Result<TenantScope, ScopeRefusal>,
    pub(super) holder: Holder,
}

impl Caller {
    /// Someone with these claims, whom nobody proved. It is for telling what would become of a
    /// request of theirs: what is enforced for such a caller may be looked at, never sent.
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

    /// Who.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whose share of permits and memory its requests take from.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// What; or why no tenant's data, which is a 403 on a data path.
    pub fn scope(&self) -> Result<&TenantScope, &ScopeRefusal> {
        self.scope.as_ref()
    }
}
