//! Which resources belong to the caller's tenants.

use std::sync::Arc;

use super::TraceError;
use crate::tenancy::Values;

/// What makes a resource ours: it has each of these attributes exactly once, with a value that is a
/// string and one of the tenants'.
///
/// Everything else is foreign: no such attribute, two of them, an array, a number, bytes, an
/// empty string, and anything ambiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOwner {
    attributes: Box<[(Arc<str>, Values)]>,
}

impl TraceOwner {
    /// An owner by one or more attributes, all of which must match. Attributes are named without
    /// their scope: `tenant_id`, not `resource.tenant_id`.
    pub fn new(
        first: (Arc<str>, Values),
        rest: impl IntoIterator<Item = (Arc<str>, Values)>,
    ) -> Self {
        Self {
            attributes: std::iter::once(first).chain(rest).collect(),
        }
    }

    /// Each attribute and the values it may have.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.attributes
            .iter()
            .map(|(name, values)| (&**name, values))
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
