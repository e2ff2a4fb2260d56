//! Who is asking, once it is proven.

use std::sync::Arc;

use hyper::header::HeaderName;
use serde_json::{Map, Value};

use crate::tenancy::{ScopeRefusal, TenantScope};

/// Who a verified token speaks for. Only the verifier makes one.
#[derive(Debug)]
pub struct Principal {
    pub(super) issuer: Arc<str>,
    pub(super) subject: Option<Box<str>>,
    pub(super) claims: Map<String, Value>,
    pub(super) expires_at: u64,
    pub(super) header: HeaderName,
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
}

/// A principal and what it may see.
#[derive(Debug)]
pub struct Caller {
    pub(super) principal: Principal,
    pub(super) scope: Result<TenantScope, ScopeRefusal>,
}

impl Caller {
    /// Who.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What; or why no tenant's data, which is a 403 on a data path.
    pub fn scope(&self) -> Result<&TenantScope, &ScopeRefusal> {
        self.scope.as_ref()
    }
}
