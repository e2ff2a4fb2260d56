//! Whose spans are ours.

use std::sync::Arc;

use super::TraceError;
use crate::tenancy::TenantSet;

/// What a resource must say to be ours: of each of these attributes it has exactly one, and its
/// value is exactly a string, one of the tenants.
///
/// Everything else is foreign: no such attribute, two of them, an array, a number, bytes, an
/// empty string, and whatever can be read in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOwner {
    attributes: Box<[(Arc<str>, TenantSet)]>,
}

impl TraceOwner {
    /// The conjunction of an attribute and its tenants with further ones. An attribute is named
    /// without its scope: `tenant_id`, not `resource.tenant_id`.
    pub fn new(
        first: (Arc<str>, TenantSet),
        rest: impl IntoIterator<Item = (Arc<str>, TenantSet)>,
    ) -> Self {
        Self {
            attributes: std::iter::once(first).chain(rest).collect(),
        }
    }

    /// Each attribute and the tenants it may name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TenantSet)> {
        self.attributes
            .iter()
            .map(|(name, tenants)| (&**name, tenants))
    }
}

/// The resource last found ours and the one last found foreign, byte for byte. A trace has many
/// `ResourceSpans` of few resources; reading each again costs more than passing over its spans.
#[derive(Default)]
pub(super) struct Verdicts {
    ours: Vec<u8>,
    foreign: Vec<u8>,
}

/// Longer resources are judged anew each time.
const MAX_REMEMBERED: usize = 16 << 10;

impl Verdicts {
    /// Whether this resource is ours, as it was last time or as `judge` says.
    pub(super) fn of(
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
        if resource.len() <= MAX_REMEMBERED {
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
    fn a_verdict_is_remembered_for_the_same_bytes_only() {
        let mut verdicts = Verdicts::default();
        let judge = |verdict| move || Ok(verdict);
        assert_eq!(verdicts.of(b"", judge(false)), Ok(false));
        assert_eq!(verdicts.of(b"a", judge(true)), Ok(true));
        assert_eq!(verdicts.of(b"b", judge(false)), Ok(false));
        assert_eq!(
            verdicts.of(b"a", judge(false)),
            Ok(true),
            "not judged again"
        );
        assert_eq!(
            verdicts.of(b"b", judge(true)),
            Ok(false),
            "not judged again"
        );
        assert_eq!(verdicts.of(b"c", judge(false)), Ok(false));
        assert_eq!(verdicts.of(b"b", judge(true)), Ok(true), "forgotten");
        assert_eq!(verdicts.of(b"", judge(true)), Ok(true), "never remembered");

        let long = vec![b'x'; MAX_REMEMBERED + 1];
        assert_eq!(verdicts.of(&long, judge(true)), Ok(true));
        assert_eq!(verdicts.of(&long, judge(false)), Ok(false));
    }
}
