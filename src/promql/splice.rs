//! Inserts matchers into a query and leaves every other byte as it is.

use std::sync::Arc;

use super::refusal::Refusal;
use super::scan::{Form, Scan, Site};
use crate::tenancy::Matchers;

/// The longest confined query. A thousand tenants in a thousand selectors are too much for a
/// cache, and for the upstream, whose limit for a form is 10 MB (Go's `ParseForm`).
const MAX_CONFINED_BYTES: usize = 4 * 1024 * 1024;

/// A query with our matchers in every selector. Only [`confine`](super::confine) and
/// [`confine_selector`](super::confine_selector) make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    text: Arc<str>,
    insertions: Box<[Insertion]>,
    is_unselective: bool,
}

/// One insertion into a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// The byte offset in the original query.
    pub at: usize,
    /// How many bytes were inserted there.
    pub len: usize,
}

impl Confined {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// What was inserted, in order.
    pub fn insertions(&self) -> &[Insertion] {
        &self.insertions
    }

    /// Whether the empty value fulfilled all matchers of a selector of the original. Of queries, which
    /// are refused then, it never did.
    pub fn was_unselective(&self) -> bool {
        self.is_unselective
    }

    /// How many selectors there are.
    pub fn selectors(&self) -> usize {
        self.insertions.len()
    }

    /// Maps an offset in [`text`](Self::text) to the original query. Offsets in insertions and
    /// past the end map to the nearest original one.
    pub fn original_offset(&self, spliced: usize) -> usize {
        let spliced = spliced.min(self.text.len());
        let mut inserted = 0;
        for insertion in &self.insertions {
            if spliced < insertion.at + inserted + insertion.len {
                return insertion.at.min(spliced - inserted);
            }
            inserted += insertion.len;
        }
        spliced - inserted
    }

    /// The query without the insertions.
    pub fn original(&self) -> String {
        self.original_parts().collect()
    }

    /// The parts of [`text`](Self::text) between the insertions.
    pub(super) fn original_parts(&self) -> impl Iterator<Item = &str> {
        let ends = self.insertions.iter().map(|insertion| insertion.at);
        let mut inserted = 0;
        let mut start = 0;
        ends.zip(self.insertions.iter().map(|insertion| insertion.len))
            .chain([(usize::MAX, 0)])
            .map(move |(at, len)| {
                let end = at.saturating_add(inserted).min(self.text.len());
                let part = self.text.get(start..end).unwrap_or_default();
                inserted += len;
                start = end + len;
                part
            })
    }
}

/// The matchers as they are inserted at a site.
pub(super) fn inserted(site: Site, matchers: &Matchers) -> &str {
    if site.in_absent {
        matchers.promql_without_equality()
    } else {
        matchers.promql()
    }
}

/// Inserts the matchers at the sites of a scan, which are in order.
pub(super) fn splice(query: &str, scan: &Scan, matchers: &Matchers) -> Result<Confined, Refusal> {
    let sites = &scan.sites;
    let longest = matchers.promql_without_equality().len() + "{}".len();
    let bytes = query.len() + sites.len() * longest;
    if bytes > MAX_CONFINED_BYTES {
        return Err(Refusal::ConfinedTooLong {
            bytes,
            limit: MAX_CONFINED_BYTES,
        });
    }
    let mut text = String::with_capacity(bytes);
    let mut insertions = Vec::with_capacity(sites.len());
    let mut copied = 0;
    for site in sites {
        text.push_str(query.get(copied..site.at).unwrap_or_default());
        copied = site.at;
        let matchers = inserted(*site, matchers);
        let start = text.len();
        match site.form {
            Form::Bare => {
                text.push('{');
                text.push_str(matchers);
                text.push('}');
            }
            // A comma before `}` is allowed, so the same text fits `{}` and `{a="b"}`.
            Form::Braced => {
                text.push_str(matchers);
                text.push(',');
            }
        }
        insertions.push(Insertion {
            at: site.at,
            len: text.len() - start,
        });
    }
    text.push_str(query.get(copied..).unwrap_or_default());
    Ok(Confined {
        text: text.into(),
        insertions: insertions.into(),
        is_unselective: scan.unselective.is_some(),
    })
}
