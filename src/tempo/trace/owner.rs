//! Which resources belong to the caller's tenants.

use std::sync::Arc;

use super::TraceError;
use crate::tenancy::{Attribute, AttributeValue, Resources, Values};

/// What makes a resource ours: it fulfils all conditions of an alternative. It has each of their
/// attributes exactly once, with a value of the type and among those of the condition.
///
/// Everything else is foreign: no such attribute, two of them, an array, bytes, an empty string, a
/// value of another type, and anything ambiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOwner(Arc<Resources>);

impl From<Arc<Resources>> for TraceOwner {
    fn from(resources: Arc<Resources>) -> Self {
        Self(resources)
    }
}

impl TraceOwner {
    /// An owner by one or more attributes, all of which must match. Attributes are named without
    /// their scope: `tenant_id`, not `resource.tenant_id`.
    pub fn new(
        first: (Arc<str>, Values),
        rest: impl IntoIterator<Item = (Arc<str>, Values)>,
    ) -> Self {
        let condition = |(name, values)| Attribute::text(name, values);
        let rest = rest.into_iter().map(condition);
        Self(Arc::new(Resources::all_of(condition(first), rest)))
    }

    /// Whether an attribute decides whose a resource is.
    pub fn has(&self, name: &str) -> bool {
        self.0.has(name)
    }

    /// Whether the resource with these attributes is ours; see [`Resources::admit`].
    pub(super) fn admits<'v, E>(
        &self,
        value_of: impl FnMut(&str) -> Result<Option<AttributeValue<'v>>, E>,
    ) -> Result<bool, E> {
        self.0.admit(value_of)
    }

    #[cfg(test)]
    pub(super) fn resources(&self) -> &Resources {
        &self.0
    }
}

/// Caches the last resource that was ours and the last that was foreign, byte for byte. A trace has
/// many `ResourceSpans` of few resources, and parsing each again costs more than skipping its spans.
#[derive(Default)]
pub(super) struct Verdicts {
    ours: Vec<u8>,
    foreign: Vec<u8>,
}

/// In bytes. Longer resources are judged every time.
const MAX_CACHED: usize = 16 << 10;

impl Verdicts {
    /// Whether this resource is ours, from the cache or else from `judge`.
    pub(super) fn is_ours(
        &mut self,
        resource: &[u8],
        judge: impl FnOnce() -> Result<bool, TraceError>,
    ) -> Result<bool, TraceError> {
        if !resource.is_empty() && resource == self.ours {
            return Ok(true);
        }
        if !resource.is_empty() && resource == self.foreign {
            return Ok(false);
        }
        let ours = judge()?;
        if resource.len() <= MAX_CACHED {
            let last = if ours {
                &mut self.ours
            } else {
                &mut self.foreign
            };
            last.clear();
            last.extend_from_slice(resource);
        }
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_cached_for_identical_bytes_only() {
        let mut verdicts = Verdicts::default();
        let judge = |verdict| move || Ok(verdict);
        assert_eq!(verdicts.is_ours(b"", judge(false)), Ok(false));
        assert_eq!(verdicts.is_ours(b"a", judge(true)), Ok(true));
        assert_eq!(verdicts.is_ours(b"b", judge(false)), Ok(false));
        assert_eq!(
            verdicts.is_ours(b"a", judge(false)),
            Ok(true),
            "not judged again"
        );
        assert_eq!(
            verdicts.is_ours(b"b", judge(true)),
            Ok(false),
            "not judged again"
        );
        assert_eq!(verdicts.is_ours(b"c", judge(false)), Ok(false));
        assert_eq!(verdicts.is_ours(b"b", judge(true)), Ok(true), "forgotten");
        assert_eq!(
            verdicts.is_ours(b"", judge(true)),
            Ok(true),
            "never remembered"
        );

        let long = vec![b'x'; MAX_CACHED + 1];
        assert_eq!(verdicts.is_ours(&long, judge(true)), Ok(true));
        assert_eq!(verdicts.is_ours(&long, judge(false)), Ok(false));
    }
}
