//! What is known of traces in search results: Tempo is not asked again for each page.
//!
//! A verdict is about a trace as a page has described it: the key has the description itself, with
//! the caller's scope. "This is the caller's own" is only found out after the page was made, so the
//! description that was checked has nothing of others. Spans of others that arrive later change the
//! description, and the verdict is not found any more. If they do not change it, then showing it
//! again reveals nothing of them.
//!
//! What was computed has only the caller's own spans at any time; it expires because some may be
//! added that do not change the description of the whole. "Shared" only hides.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::cache::{KeyHash, KeyHasher};
use super::enforce::VerifyTraces;
use crate::telemetry::log::Throttle;
use crate::tempo::search::{Listed, Metadata};
use crate::tempo::trace::TraceSummary;

/// The most bytes of all verdicts.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// How long a computed summary is used, and that a trace is shared.
const EXPIRES: Duration = Duration::from_mins(1);

/// Bounded by bytes; belongs to one snapshot, since verdicts depend on its rules.
pub(super) struct TraceVerdicts {
    known: Cache<KeyHash, Entry, ByBytes>,
    /// Limits log lines about what could not be found out: each page can bring about some.
    pub(super) failures: Throttle,
}

/// A trace as one page describes it, for the callers of one scope.
#[derive(Clone, Copy)]
pub(super) struct VerdictKey(KeyHash);

#[derive(Clone)]
enum Entry {
    Own,
    Shared(Instant),
    Computed(Arc<TraceSummary>, Instant),
}

impl Entry {
    fn is_expired(&self) -> bool {
        match self {
            Self::Own => false,
            Self::Shared(made) | Self::Computed(_, made) => made.elapsed() >= EXPIRES,
        }
    }

    fn into_metadata(self) -> Metadata {
        match self {
            Self::Own => Metadata::Own,
            Self::Shared(_) => Metadata::Masked,
            Self::Computed(summary, _) => Metadata::Computed(summary),
        }
    }
}

impl Default for TraceVerdicts {
    fn default() -> Self {
        /// An entry without a summary.
        const TYPICAL: u64 = 128;
        let items = usize::try_from(MAX_BYTES / TYPICAL).unwrap_or(usize::MAX);
        Self {
            known: Cache::with_weighter(items, MAX_BYTES, ByBytes),
            failures: Throttle::default(),
        }
    }
}

impl VerdictKey {
    /// `None` if verdicts are not cached.
    pub(super) fn of(verify: &VerifyTraces, listed: &Listed<'_>) -> Option<Self> {
        let (upstream, scope) = verify.cache_scope()?;
        let mut hasher = KeyHasher::new();
        hasher.field(upstream);
        hasher.field(scope);
        hasher.field(listed.canonical_id().as_bytes());
        hasher.field(&listed.metadata);
        hasher.key().map(Self)
    }
}

impl TraceVerdicts {
    /// What is known: of a trace that is shared and is not to be described, [`Metadata::Masked`].
    pub(super) fn get(&self, key: VerdictKey) -> Option<Metadata> {
        let found = self.known.get(&key.0)?;
        if found.is_expired() {
            self.known.remove_if(&key.0, Entry::is_expired);
            return None;
        }
        Some(found.into_metadata())
    }

    /// The trace was found to have nothing but the caller's spans, after the page was made.
    pub(super) fn is_own(&self, key: VerdictKey) {
        self.known.insert(key.0, Entry::Own);
    }

    /// The trace has spans of other tenants, and is not described.
    pub(super) fn is_shared(&self, key: VerdictKey) {
        self.known.insert(key.0, Entry::Shared(Instant::now()));
    }

    /// This describes the trace by the caller's spans.
    pub(super) fn is_computed(&self, key: VerdictKey, summary: Arc<TraceSummary>) {
        let entry = Entry::Computed(summary, Instant::now());
        self.known.insert(key.0, entry);
    }

    /// The summary, or what is known already. Of simultaneous calls for the same trace, one computes
    /// it, and the others wait; if it fails, the next one tries.
    pub(super) async fn get_or_compute<E>(
        &self,
        key: VerdictKey,
        compute: impl Future<Output = Result<Option<TraceSummary>, E>>,
    ) -> Result<Metadata, E> {
        let guard = match self.known.get_value_or_guard_async(&key.0).await {
            Ok(known) => return Ok(known.into_metadata()),
            Err(guard) => guard,
        };
        let Some(summary) = compute.await?.map(Arc::new) else {
            return Ok(Metadata::Masked);
        };
        let entry = Entry::Computed(Arc::clone(&summary), Instant::now());
        // Fails only if the entry was removed in the meantime.
        let _ = guard.insert(entry);
        Ok(Metadata::Computed(summary))
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<KeyHash, Entry> for ByBytes {
    fn weight(&self, _: &KeyHash, entry: &Entry) -> u64 {
        /// For the key and the structures around it.
        const OVERHEAD: usize = 128;
        let summary = match entry {
            Entry::Own | Entry::Shared(_) => 0,
            Entry::Computed(summary, _) => summary.bytes(),
        };
        (OVERHEAD + summary) as u64
    }
}
