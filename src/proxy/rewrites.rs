//! Confined queries, remembered: dashboards send the same few over and over.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::promql::{Agreements, Confined, Refusal};
use crate::tenancy::Matchers;

/// What was read: the two are confined by different rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Text {
    /// A whole expression.
    Query,
    /// One `match[]`.
    Selector,
}

/// Bounded by bytes; belongs to one snapshot, since the rules of confinement do. They are the same
/// for every upstream.
pub(super) struct Rewrites {
    cache: Cache<Key, Arc<Confined>, ByBytes>,
    agreements: Agreements,
}

impl Rewrites {
    /// Keeps about `max_bytes`, a quarter of them shapes of queries.
    pub(super) fn new(max_bytes: usize) -> Self {
        /// A query and its confined form, as they are on dashboards.
        const TYPICAL_ENTRY: usize = 512;
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

    /// The confined form and whether it was remembered; `confine` makes it if not. Refusals are
    /// not remembered.
    pub(super) fn get_or_confine(
        &self,
        text: Text,
        original: &str,
        matchers: &Matchers,
        confine: impl FnOnce() -> Result<Confined, Refusal>,
    ) -> Result<(Arc<Confined>, bool), Refusal> {
        let wanted = KeyRef {
            text,
            matchers: matchers.promql(),
            original,
        };
        if let Some(confined) = self.cache.get(&wanted) {
            return Ok((confined, true));
        }
        let confined = Arc::new(confine()?);
        let key = Key {
            text,
            matchers: matchers.shared_promql(),
            original: original.into(),
        };
        self.cache.insert(key, Arc::clone(&confined));
        Ok((confined, false))
    }
}

/// The whole of what decides the result, compared in full: a hash alone could collide.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    text: Text,
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
    text: Text,
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

impl Weighter<Key, Arc<Confined>> for ByBytes {
    fn weight(&self, key: &Key, confined: &Arc<Confined>) -> u64 {
        /// Of the structures around the texts.
        const OVERHEAD: usize = 160;
        (key.original.len() + key.matchers.len() + confined.text().len() + OVERHEAD) as u64
    }
}
