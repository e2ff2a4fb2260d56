//! `TraceQL`, read exactly and confined to tenants. Pure.
//!
//! Every leaf pipeline of a query gets a leading stage that lets only the tenants' spans
//! through: `{ resource.tenant_id = "acme" } | …`. The stage is spliced into the original text,
//! whose other bytes stay; then the result is read again and checked. A predicate within the
//! user's filters would not do: `by(name)` and `count() > 0` have no filter, and in
//! `{ T && (x || y) }` Tempo evaluates `x` on foreign spans too, whose errors it answers.
//!
//! | file | what is in it |
//! |---|---|
//! | `token`, `lexer`, `number` | text to tokens |
//! | `reader`, `pipeline`, `stage`, `field`, `scalar` | tokens to an outline: where leaf pipelines start |
//! | `predicate` | tenants to the stage |
//! | `confine` | splice and check |
//! | `tags` | the narrower `q` of tag names and values |
//! | `search` | the older search parameters, in `TraceQL` |
//! | `refusal` | why not |
//!
//! What is left to Tempo's own validation: whether a regular expression compiles.

mod confine;
mod field;
mod lexer;
mod number;
mod pipeline;
mod predicate;
mod reader;
mod refusal;
mod scalar;
mod search;
mod size;
mod stage;
mod tags;
mod token;

/// The longest confined query in tests.
#[cfg(test)]
const MAX_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod grammar_tests;

pub use confine::{ConfinedMetrics, confine_metrics, confine_search, is_metrics, leaf_pipelines};
pub use predicate::{TenantPredicate, UnwritableTenant};
pub use refusal::{Place, Refusal, RefusalKind};
pub use search::{OldSearch, go_duration};
pub use size::{measure, measure_tag, measure_tags};
pub use tags::tag_filter;

/// What to do with `rootName`, `rootServiceName`, `traceDuration` and their `trace:` forms.
/// They describe the whole trace, whoever its spans belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceIntrinsics {
    /// Refuse queries that use them.
    Refuse,
    /// Let them through: the operator asserts that no trace has spans of several tenants.
    Trust,
}
