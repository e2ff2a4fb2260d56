//! Authentication of one request: header, cache, signature, claims, scope.

use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;

use super::cache::{self, TokenCache};
use super::claims;
use super::clock::{Clock, SystemClock};
use super::error::{AuthError, InvalidTokens};
use super::jws::{self, Jws};
use super::keys::Verdict;
use super::principal::{Caller, Principal, Signature};
use super::shared::Pacing;
use super::source::{Found, Sources};
use super::store::{KeyStatus, KeyStore};
use crate::config::settings::{Issuer, Tenancy, Tokens};
use crate::shares::{Holder, Shares};
use crate::tenancy::{self, ScopeRefusal, Tenant, TenantScope};

/// Authenticates requests. There is one for each snapshot of the config.
pub struct Authenticator {
    sources: Sources,
    max_bytes: usize,
    issuers: Vec<TrustedIssuer>,
    tenancy: Arc<Tenancy>,
    cache: TokenCache,
    shares: Arc<Shares>,
    clock: Arc<dyn Clock>,
}

struct TrustedIssuer {
    settings: Issuer,
    keys: Arc<KeyStore>,
}

impl Authenticator {
    /// Reads, or starts to fetch, every issuer's keys. `reuse` is the authenticator of the previous
    /// config: the keys of an issuer whose settings are unchanged are reused, so that no request
    /// waits for them. Verified tokens are not reused, because the rules may have changed.
    ///
    /// Keys are fetched in tasks of the current tokio runtime until the last authenticator that uses
    /// the issuer is dropped.
    ///
    /// # Errors
    /// [`InvalidTokens`] if keys in the config are not usable.
    pub fn new(
        tokens: &Tokens,
        tenancy: Arc<Tenancy>,
        reuse: Option<&Self>,
    ) -> Result<Self, InvalidTokens> {
        Self::with(tokens, tenancy, reuse, Arc::new(SystemClock), Pacing::USUAL)
    }

    fn with(
        tokens: &Tokens,
        tenancy: Arc<Tenancy>,
        reuse: Option<&Self>,
        clock: Arc<dyn Clock>,
        pacing: Pacing,
    ) -> Result<Self, InvalidTokens> {
        let reused = |settings: &Issuer| {
            let before = reuse?.issuers.iter();
            before
                .map(|issuer| &issuer.keys)
                .find(|keys| keys.serves(settings))
                .cloned()
        };
        let issuers = tokens.issuers.iter().map(|settings| {
            let keys = match reused(settings) {
                Some(keys) => keys,
                None => Arc::new(KeyStore::new(settings, clock.clone(), pacing)?),
            };
            Ok(TrustedIssuer {
                settings: settings.clone(),
                keys,
            })
        });
        Ok(Self {
            sources: Sources::new(&tokens.sources)?,
            max_bytes: tokens.max_bytes,
            issuers: issuers.collect::<Result<_, _>>()?,
            tenancy,
            cache: TokenCache::new(tokens.cache_entries),
            shares: reuse
                .map(|reuse| Arc::clone(&reuse.shares))
                .unwrap_or_default(),
            clock,
        })
    }

    /// The caller of a request. The token is searched in headers only, never in the URL.
    ///
    /// # Errors
    /// [`AuthError`] for a 401 with its challenge, or a 503. A valid token without tenants is not an
    /// error here: see [`Caller::scope`].
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, AuthError> {
        let found = self.sources.find(headers)?;
        let caller = self.caller_of(&found).await;
        caller.map_err(|error| self.sources.refusal(error, &found, headers))
    }

    async fn caller_of(&self, found: &Found<'_>) -> Result<Arc<Caller>, AuthError> {
        if found.token.len() > self.max_bytes {
            return Err(AuthError::TooLong {
                max: self.max_bytes,
            });
        }
        let key = cache::Key::for_token(found.token, found.header);
        if let Some(known) = self.cached(&key)? {
            return Ok(known);
        }
        let entry = self.verify(found).await?;
        let caller = entry.caller.clone();
        self.cache.insert(key, entry);
        Ok(caller)
    }

    /// `None` if every issuer has keys, or else what is missing, for the operator.
    pub fn not_ready(&self) -> Option<String> {
        let missing: Vec<String> = self
            .key_status()
            .into_iter()
            .filter(|status| status.keys == 0)
            .map(|status| {
                let failure = status.failure.as_deref();
                let why = failure.map_or("not fetched yet, or none is usable", String::as_str);
                format!("no keys of issuer {}: {why}", status.issuer)
            })
            .collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }

    /// The state of every issuer's keys.
    pub fn key_status(&self) -> Vec<KeyStatus> {
        let now = self.clock.now();
        let issuers = self.issuers.iter();
        issuers.map(|issuer| issuer.keys.status(now)).collect()
    }

    /// How many verified tokens are cached.
    pub fn cached_tokens(&self) -> usize {
        self.cache.len()
    }

    /// The holder whose share of permits and memory a request uses. It outlives a reload.
    pub fn holder_of<'a>(&'a self, caller: Option<&'a Caller>) -> &'a Holder {
        caller.map_or_else(|| self.shares.anonymous(), Caller::holder)
    }

    fn holder(&self, principal: &Principal, scope: &Result<TenantScope, ScopeRefusal>) -> Holder {
        let (issuer, subject) = (principal.issuer(), principal.subject());
        match scope {
            Ok(TenantScope::Tenants(tenants)) => {
                let tenants = tenants.tenants().iter().map(Tenant::as_str);
                self.shares.of_tenants(issuer, subject, tenants)
            }
            Ok(TenantScope::AllTenants) => self.shares.of_all_tenants(issuer, subject),
            Err(_refusal) => self.shares.of_no_tenants(issuer, subject),
        }
    }

    /// Returns when a fetch of every issuer's keys has succeeded or failed, or when the time is up. A
    /// reload waits for this before it replaces another authenticator, so that no request fails.
    pub async fn settle(&self, at_most: Duration) {
        let all = async {
            for issuer in &self.issuers {
                issuer.keys.first_fetch().await;
            }
        };
        // `not_ready` reports whether there are keys.
        let _ = tokio::time::timeout(at_most, all).await;
    }

    /// The caller of a cached token, if the issuer still has the keys that verified it.
    fn cached(&self, key: &cache::Key) -> Result<Option<Arc<Caller>>, AuthError> {
        let Some(entry) = self.cache.get(key) else {
            return Ok(None);
        };
        let now = self.clock.now();
        let Some(issuer) = self.issuers.get(entry.issuer) else {
            return Ok(None);
        };
        let current = issuer.keys.usable(now).ok_or(AuthError::KeysUnavailable)?;
        if current.generation != entry.generation {
            return Ok(None);
        }
        if let Err(refusal) = entry.validity.check(now) {
            self.cache.remove(key);
            return Err(refusal);
        }
        Ok(Some(entry.caller.clone()))
    }

    async fn verify(&self, found: &Found<'_>) -> Result<cache::Entry, AuthError> {
        let jws = jws::parse(found.token)?;
        let named = claims::issuer(&jws.claims).ok_or(AuthError::Issuer)?;
        let (index, issuer) = self
            .issuers
            .iter()
            .enumerate()
            .find(|(_, issuer)| &*issuer.settings.issuer == named)
            .ok_or(AuthError::Issuer)?;
        let generation = self.check_signature(issuer, &jws).await?;
        let validity = claims::check(&jws.claims, &issuer.settings)?;
        validity.check(self.clock.now())?;
        let subject = claims::subject(&jws.claims)?.map(Into::into);
        let scope = tenancy::resolve(&self.tenancy, &issuer.settings.issuer, &jws.claims);
        let principal = Principal {
            issuer: issuer.settings.issuer.clone(),
            subject,
            claims: jws.claims,
            expires_at: validity.expires_at,
            header: found.header.clone(),
            signature: Some(Signature {
                algorithm: jws.algorithm,
                key_id: jws.kid.map(Into::into),
            }),
        };
        Ok(cache::Entry {
            caller: Arc::new(Caller {
                holder: self.holder(&principal, &scope),
                principal,
                scope,
            }),
            validity,
            issuer: index,
            generation,
        })
    }

    /// Verifies the signature with the keys of the issuer alone, and returns their generation. If none
    /// of them signed it, the keys are fetched once more, since the issuer may have a new one.
    async fn check_signature(
        &self,
        issuer: &TrustedIssuer,
        jws: &Jws<'_>,
    ) -> Result<u64, AuthError> {
        if !issuer.settings.algorithms.contains(&jws.algorithm) {
            return Err(AuthError::Algorithm);
        }
        let mut may_refresh = true;
        loop {
            let verdict = {
                let usable = issuer.keys.usable(self.clock.now());
                let current = usable.ok_or(AuthError::KeysUnavailable)?;
                match current.keys.verify(jws) {
                    Verdict::Good => return Ok(current.generation),
                    verdict => verdict,
                }
            };
            match verdict {
                Verdict::NoKey if may_refresh && issuer.keys.refresh().await => may_refresh = false,
                Verdict::Good | Verdict::NoKey => return Err(AuthError::UnknownKey),
                Verdict::Bad => return Err(AuthError::Signature),
                Verdict::TooMany => return Err(AuthError::Ambiguous),
            }
        }
    }
}

#[cfg(test)]
mod provider_tests;
#[cfg(test)]
mod tests;
