//! Caches confined queries: dashboards send the same few over and over.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::prometheus::form::Encoded;
use crate::promql::{Agreements, Confined, Refusal};
use crate::tenancy::Matchers;

/// What kind of text it is: the two are confined by different rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TextKind {
    /// A complete expression.
    Query,
    /// One `match[]`.
    Selector,
}

/// A confined query, and what is forwarded of it.
#[derive(Clone)]
pub(super) struct Rewrite {
    pub(super) confined: Arc<Confined>,
    pub(super) sent: Encoded,
}

/// Bounded by bytes; belongs to one snapshot, since confinement depends on its rules. It is shared
/// by all upstreams.
pub(super) struct Rewrites {
    cache: Cache<Key, Rewrite, ByBytes>,
    agreements: Agreements,
}

impl Rewrites {
    /// Holds about `max_bytes`, a quarter of them shapes of queries.
    pub(super) fn new(max_bytes: usize) -> Self {
        /// The size of a typical dashboard query with its confined form.
        const TYPICAL_ENTRY: usize = 768;
        let of_shapes = max_bytes / 4;
        let of_texts = max_bytes - of_shapes;
        let items = (of_texts / TYPICAL_ENTRY).max(1);
        Self {
            cache: Cache::with_weighter(items, of_texts as u64, ByBytes),
            agreements: Agreements::new(of_shapes),
        }
    }

    /// Shapes of queries that were verified by these rules.
    pub(super) fn agreements(&self) -> &Agreements {
        &self.agreements
    }

    /// The confined form, and whether it was cached; if not, `confine` makes it. Refusals are not
    /// cached.
    pub(super) fn get_or_confine(
        &self,
        text: TextKind,
        original: &str,
        matchers: &Matchers,
        confine: impl FnOnce() -> Result<Confined, Refusal>,
    ) -> Result<(Rewrite, bool), Refusal> {
        let wanted = KeyRef {
            text,
            matchers: matchers.promql(),
            original,
        };
        if let Some(rewrite) = self.cache.get(&wanted) {
            return Ok((rewrite, true));
        }
        let confined = confine()?;
        let rewrite = Rewrite {
            sent: Encoded::new(confined.shared_text()),
            confined: Arc::new(confined),
        };
        let key = Key {
            text,
            matchers: matchers.shared_promql(),
            original: original.into(),
        };
        self.cache.insert(key, rewrite.clone());
        Ok((rewrite, false))
    }
}

/// Everything that the result depends on, compared in full: a hash alone could collide.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    text: TextKind,
    matchers: Arc<str>,
    original: Box<str>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        KeyRef {
            text: self.text,
            matchers: &self.matchers,
            original: &self.original,
        }
        .hash(state);
    }
}

#[derive(Hash)]
struct KeyRef<'a> {
    text: TextKind,
    matchers: &'a str,
    original: &'a str,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.text == key.text && self.original == &*key.original && self.matchers == &*key.matchers
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Rewrite> for ByBytes {
    fn weight(&self, key: &Key, rewrite: &Rewrite) -> u64 {
        /// For the structures around the texts.
        const OVERHEAD: usize = 192;
        (key.original.len() + key.matchers.len() + rewrite.sent.bytes() + OVERHEAD) as u64
    }
}
