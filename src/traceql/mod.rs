//! `TraceQL`: a query is parsed exactly as Tempo does and confined to tenants. Pure.
//!
//! Every leaf pipeline of a query gets a leading stage that only passes the tenants' spans:
//! `{ resource.tenant_id = "acme" } | …`. The stage is inserted into the original text, whose
//! other bytes stay as they are; then the result is parsed again and checked. A predicate inside
//! the user's filters is not enough: `by(name)` and `count() > 0` have no filter, and in
//! `{ T && (x || y) }` Tempo evaluates `x` on foreign spans too and returns the errors it meets.
//!
//! | file | what it does |
//! |---|---|
//! | `token`, `lexer`, `number` | text to tokens |
//! | `parser`, `pipeline`, `stage`, `field`, `scalar` | tokens to an outline: where leaf pipelines start |
//! | `predicate` | tenants to the stage |
//! | `root` | what a query says of the roots of traces |
//! | `own_roots` | the same, as conditions on the caller's own root spans |
//! | `confine` | splice and check |
//! | `tags` | the narrower `q` of tag names and values |
//! | `search` | the older search parameters, in `TraceQL` |
//! | `refusal` | why a query is refused |
//!
//! Only one check is left to Tempo: whether a regular expression compiles.

mod confine;
mod field;
mod lexer;
mod number;
mod own_roots;
mod parser;
mod pipeline;
mod predicate;
mod refusal;
mod root;
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
pub use own_roots::{AddedFields, added_fields};
pub use predicate::{TenantPredicate, UnwritableTenant};
pub use refusal::{Position, Refusal, RefusalKind};
pub use search::{TagBasedSearch, go_duration};
pub use size::{measure, measure_tag, measure_tags};
pub use tags::{TagFilter, TagScope, TagScopeError};

/// What to do with `rootName`, `rootServiceName`, `traceDuration`, their `trace:` forms and
/// `span:childCount`. They describe the whole trace, including other tenants' spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceIntrinsics {
    /// In a filter, a root's name and service are those of the caller's own root span. Refuse other
    /// queries that use them, except in the `select()` of a search. A search has no place for what is
    /// selected of them: the results leave them out (`asTraceSearchMetadata` in
    /// `pkg/traceql/engine.go`), as they have fields of their own for it. Exemplars of metrics do have
    /// one, and so has `span:childCount` in both.
    Refuse,
    /// Allow them: the operator asserts that no trace has spans of several tenants.
    Trust,
}
