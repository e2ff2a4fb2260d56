//! `promql`: how queries are confined.

use serde::{Serialize, Serializer};

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::choice;
use crate::promql::ForeignMatchers;

const FOREIGN_MATCHERS: [(&str, ForeignMatchers); 3] = [
    ("intersect", ForeignMatchers::Intersect),
    ("reject", ForeignMatchers::Reject),
    ("reject_disjoint", ForeignMatchers::RejectDisjoint),
];

/// `promql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PromQl {
    /// `foreign_matchers`: `intersect` (default), `reject` or `reject_disjoint`.
    #[serde(serialize_with = "foreign_matchers")]
    pub foreign_matchers: ForeignMatchers,
}

impl Default for PromQl {
    fn default() -> Self {
        Self {
            foreign_matchers: ForeignMatchers::Intersect,
        }
    }
}

pub(super) fn promql(r: &mut Reader<'_>, field: &Field<'_>) -> Read<PromQl> {
    let default = PromQl::default();
    let mut section = r.section(field)?;
    let foreign_matchers = section.or(
        r,
        "foreign_matchers",
        default.foreign_matchers,
        |r, field| choice(r, field, &FOREIGN_MATCHERS),
    );
    section.finish(r)?;
    Ok(PromQl {
        foreign_matchers: foreign_matchers?,
    })
}

fn foreign_matchers<S: Serializer>(value: &ForeignMatchers, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&FOREIGN_MATCHERS, value, to)
}
