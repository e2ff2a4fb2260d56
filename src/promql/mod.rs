//! PromQL: a query is confined to a tenant scope. Pure.
//!
//! # Splice
//!
//! The scanner (`scan`) reads a query token by token as Prometheus' lexer does, with one bit of
//! state (operand or operator next), and finds every selector. `splice` inserts our matchers into
//! the original text: after every `{`, and in new braces after every metric name without any. All
//! other bytes stay as they are, so nothing is lost by parsing and printing. The query's own
//! matchers stay beside ours, even those on the tenant label: in a private store
//! `{tenant_id="other"}` is simply empty.
//!
//! Why no selector is missed: in Prometheus' grammar a `vector_selector` has braces, or it is a
//! lone `metric_identifier`, a word in operand position; no selector is followed by `(`, `by` or
//! `without`. So it is enough to take *every* brace and *every* word in operand position that is
//! not followed by one of these, whatever the word is: keywords are metric names there (`sum`,
//! `offset`, `by`), and no list of functions or aggregations is needed. The scanner skips only
//! what the grammar defines as labels or numbers, and checks that it contains nothing else:
//! the lists of `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`, the number of
//! `fill`, what is between `[` and `]`, `bool`, `inf` and `nan`. If the scanner takes a word for a
//! selector and Prometheus does not, the confined query is invalid PromQL: too many matchers
//! cause an error upstream, never a leak. All else is refused.
//!
//! This holds for Prometheus and Thanos. Dialects may extend the language in ways that break the
//! argument (`or` between matchers, `WITH`), so syntax that Prometheus does not have is refused.
//!
//! # Verify
//!
//! `verify` scans and parses the result again, and refuses it if the readings differ. The parser is
//! asked once for all queries of the same shape (`agreements`).
//!
//! # Where more matchers would change the answer
//!
//! - `{}` and `{tenant_id=~".*"}` are an error in Prometheus ("at least one non-empty matcher"), and
//!   with our matcher they no longer would be. So they are refused here, in the same words.
//! - `absent(x)` and `absent_over_time(x)` make a label of each label that has a single matcher with
//!   `=`; a regular expression never makes one, be it `=~` or `!~`. So inside of these calls ours is
//!   one for a single tenant too (`tenant_id=~"acme"`), and comes first: it has no part in the result's labels, and
//!   those of the query's own matchers are the same as without it.
//! - `info()` is confined in one form only, see [`InfoHint`].

mod agreements;
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

pub use agreements::Agreements;
pub use duration::{parse_duration, parse_seconds, parse_unix_time};
pub use lookback::{Lookback, lookback};
pub use refusal::{InfoHint, Position, Problem, Refusal, RefusalKind};
pub use shared::{ResultLabels, SharedExpression, analyze_shared};
pub use size::measure;
pub use splice::{Confined, Insertion};

use crate::tenancy::{LabelMatcher, Matchers};
use matcher::Matcher;
use scan::{Kind, scan};
use splice::splice;
use verify::verify;

/// What to do with a query whose own matchers name a tenant outside the caller's scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignMatchers {
    /// The selector matches nothing, as in a private store.
    Intersect,
    /// The query is refused with a 403 that names the matcher: `=` with a foreign value, or `=~`
    /// with a plain list of values (`a|b`) that has one. Other regexes, `!=` and `!~` do not ask
    /// for a certain tenant and are intersected.
    Reject,
    /// It is refused with a 403 only if a matcher is matched by none of the caller's tenants, so
    /// that the selector cannot find anything: `tenant="other"`, `tenant=""`, `tenant!="own"`. A list
    /// with an own tenant in it is intersected. This is what prom-label-proxy's `-error-on-replace`
    /// does.
    RejectDisjoint,
}

/// Inserts the matchers into every selector of a query and verifies that they are there.
///
/// This takes microseconds, most of them for verification where `agreements` has not seen the
/// query's shape, so the result is worth caching. The query's size is checked before, by
/// [`query_size`](crate::query_size), because callers who are not confined are bounded too.
pub fn confine(
    query: &str,
    matchers: &Matchers,
    foreign: ForeignMatchers,
    max_selectors: usize,
    agreements: &Agreements,
) -> Result<Confined, Refusal> {
    let kind = Kind::Expression;
    confine_kind(query, kind, matchers, foreign, max_selectors, agreements)
}

/// Like [`confine`], for one `match[]`: exactly one selector, and no other token. (Prometheus
/// joins several `match[]` by "or", so each has to be confined.)
pub fn confine_selector(
    selector: &str,
    matchers: &Matchers,
    foreign: ForeignMatchers,
    max_selectors: usize,
    agreements: &Agreements,
) -> Result<Confined, Refusal> {
    let kind = Kind::Selector;
    confine_kind(selector, kind, matchers, foreign, max_selectors, agreements)
}

/// Checks that a `match[]` is exactly one selector, for endpoints where it is forwarded unmodified
/// because the answer is filtered.
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
    agreements: &Agreements,
) -> Result<Confined, Refusal> {
    let scan = scan(text, kind, max_selectors, |matcher| {
        let at = || Position::at_offset(text, matcher.at);
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
    if let (Kind::Expression, Some(at)) = (kind, scan.unselective) {
        return Err(Refusal::Malformed {
            problem: Problem::Unselective,
            at: Position::at_offset(text, at),
        });
    }
    let confined = splice(text, &scan, matchers)?;
    verify(text, kind, &confined, matchers, agreements)?;
    Ok(confined)
}

/// Whether the matcher is on a tenant label and `test` holds for that label's tenants.
fn is_any<'q>(
    matcher: &Matcher<'q>,
    matchers: &Matchers,
    test: impl Fn(&Matcher<'q>, &LabelMatcher) -> bool,
) -> bool {
    matchers
        .iter()
        .any(|own| matcher.is_on_label(own.label()) && test(matcher, own))
}

#[cfg(test)]
mod tests;
