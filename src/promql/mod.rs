//! PromQL: a query is confined to a tenant scope. Pure.
//!
//! # Splice
//!
//! The scanner (`scan`) reads a query token by token as Prometheus' lexer does, keeps one bit
//! of state (operand or operator next) and finds every selector; our matchers are written into
//! the original text there (`splice`): after every `{`, and in braces after every metric's name
//! that has none. Every other byte stays, so nothing the query says is lost in a round trip
//! through a tree. Matchers of the query's own, on the tenant label too, stay beside ours: in a
//! private store `{tenant_id="other"}` is simply empty.
//!
//! Why no selector is missed: in Prometheus' grammar a `vector_selector` has braces, or it is a
//! lone `metric_identifier`, a word in operand position; no selector is followed by `(`, `by` or
//! `without`. So it is enough to take *every* brace and *every* word in operand position that is
//! not followed by one of these, whatever the word is: keywords are metric names there (`sum`,
//! `offset`, `by`), and no list of functions or aggregations is needed. What is passed over is
//! only what the grammar makes labels or numbers, and what stands in it is checked to be no more:
//! the lists of `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`, the number of
//! `fill`, what is between `[` and `]`, `bool`, `inf` and `nan`. Where the scanner takes a word
//! for a selector that Prometheus takes for something else, the result is no valid PromQL: too
//! many matchers make an error upstream, never a leak. All else is refused.
//!
//! This holds for Prometheus and Thanos. Dialects that extend the language are another matter
//! (`or` between matchers, `WITH`), so what is not Prometheus' is refused here, too.
//!
//! # Prove
//!
//! `verify` then reads the result again, and refuses it should two readings differ.
//!
//! # What differs from a private store
//!
//! - `{}` and `{tenant_id=~".*"}` are a 400 in Prometheus ("at least one non-empty matcher").
//!   Here our matcher is that one, so they mean "all my series".
//! - `absent(x)` and `absent_over_time(x)` make labels of equality matchers, so their answers
//!   have the caller's own tenant label.
//! - `info()` is confined in one form only, see [`InfoHint`].

mod cursor;
mod duration;
mod lookback;
mod matcher;
mod refusal;
mod scan;
mod shared;
mod size;
mod skip;
mod splice;
mod verify;

pub use duration::{duration, seconds, unix_time};
pub use lookback::{Lookback, lookback};
pub use refusal::{Fault, InfoHint, Position, Problem, Refusal};
pub use shared::{ResultLabels, SharedExpression, read_shared};
pub use size::size;
pub use splice::{Confined, Insertion};

use crate::tenancy::{LabelMatcher, Matchers};
use matcher::Matcher;
use scan::{Kind, scan};
use splice::splice;
use verify::verify;

/// What happens to a query that itself names a tenant the caller does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignMatchers {
    /// It finds nothing there, as in a private store.
    Intersect,
    /// It is refused with a 403 that says so: `=` with a value, or `=~` with a plain list of
    /// values (`a|b`), one of which is foreign. Other regexes, `!=` and `!~` do not ask for a
    /// tenant and are intersected.
    Reject,
    /// It is refused with a 403 only if a matcher is fulfilled by none of the caller's tenants, so
    /// that the selector cannot find anything: `tenant="other"`, `tenant=""`, `tenant!="own"`. A list
    /// with an own tenant in it is intersected. This is what prom-label-proxy's `-error-on-replace`
    /// does.
    RejectDisjoint,
}

/// Writes the matchers into every selector of a query and proves that they are there.
///
/// It takes microseconds, most of them for the proof, so the result is worth keeping. How large a
/// query may be is checked before, by [`query_size`](crate::query_size): callers who are not
/// confined are bounded too.
pub fn confine(
    query: &str,
    matchers: &Matchers,
    foreign: ForeignMatchers,
    max_selectors: usize,
) -> Result<Confined, Refusal> {
    confine_kind(query, Kind::Expression, matchers, foreign, max_selectors)
}

/// Like [`confine`], for one `match[]`: exactly one selector, and no other token. (Prometheus
/// joins several `match[]` by "or", so each has to be confined.)
pub fn confine_selector(
    selector: &str,
    matchers: &Matchers,
    foreign: ForeignMatchers,
    max_selectors: usize,
) -> Result<Confined, Refusal> {
    confine_kind(selector, Kind::Selector, matchers, foreign, max_selectors)
}

/// Checks that a `match[]` is exactly one selector, for where it goes up as it is because the
/// answer is filtered.
pub fn check_selector(selector: &str) -> Result<(), Refusal> {
    scan(selector, Kind::Selector, 1, |_| Ok(()))?;
    Ok(())
}

fn confine_kind(
    text: &str,
    kind: Kind,
    matchers: &Matchers,
    foreign: ForeignMatchers,
    max_selectors: usize,
) -> Result<Confined, Refusal> {
    let scan = scan(text, kind, max_selectors, |matcher| {
        let at = || Position::of(text, matcher.at);
        match foreign {
            ForeignMatchers::Reject if is_any(matcher, matchers, Matcher::asks_for_foreign) => {
                Err(Refusal::ForeignTenant { at: at() })
            }
            ForeignMatchers::RejectDisjoint
                if is_any(matcher, matchers, Matcher::excludes_all_own) =>
            {
                Err(Refusal::DisjointTenants { at: at() })
            }
            _ => Ok(()),
        }
    })?;
    let confined = splice(text, &scan.sites, matchers)?;
    verify(text, kind, &confined, matchers)?;
    Ok(confined)
}

/// Whether the matcher is of a tenant label and the test holds for that label's tenants.
fn is_any<'q>(
    matcher: &Matcher<'q>,
    matchers: &Matchers,
    test: impl Fn(&Matcher<'q>, &LabelMatcher) -> bool,
) -> bool {
    matchers
        .iter()
        .any(|own| matcher.is_of(own.label()) && test(matcher, own))
}

#[cfg(test)]
mod tests;
