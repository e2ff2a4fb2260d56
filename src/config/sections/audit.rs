//! `audit`: one record per request.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::{choice, path, share, text};

const QUERIES: [(&str, AuditQueries); 3] = [
    ("full", AuditQueries::Full),
    ("hash", AuditQueries::Hash),
    ("none", AuditQueries::None),
];

/// `audit`: one record per request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// `output`: default `log`.
    pub output: AuditOutput,
    /// `sampling`: the share of permitted requests that is recorded, from 0 (default) to 1.
    /// Refusals and callers with all tenants are always recorded.
    pub sampling: f64,
    /// `queries`: `full`, `hash` or `none` (default).
    #[serde(serialize_with = "queries")]
    pub queries: AuditQueries,
}

/// `audit.output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// `log`: in the log, with the target `partywall::audit`.
    Log,
    /// `stdout`: JSON lines on standard output.
    Stdout,
    /// A path: JSON lines appended to a file.
    File(PathBuf),
    /// `none`: no records.
    None,
}

/// `audit.queries`: how the texts of queries are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditQueries {
    /// `full`: unmodified.
    Full,
    /// `hash`: their SHA-256, so that equal queries can be recognised.
    Hash,
    /// `none`: not at all.
    None,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            output: AuditOutput::Log,
            sampling: 0.0,
            queries: AuditQueries::None,
        }
    }
}

pub(super) fn audit(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Audit> {
    let default = Audit::default();
    let mut section = r.section(field)?;
    let output = section.or(r, "output", default.output, output);
    let sampling = section.or(r, "sampling", default.sampling, share);
    let queries = section.or(r, "queries", default.queries, |r, field| {
        choice(r, field, &QUERIES)
    });
    section.finish(r)?;
    Ok(Audit {
        output: output?,
        sampling: sampling?,
        queries: queries?,
    })
}

/// The output that a keyword selects.
type Word = fn() -> AuditOutput;

/// A keyword, or a path: a value with a slash.
fn output(r: &mut Reader<'_>, field: &Field<'_>) -> Read<AuditOutput> {
    if text(r, field)?.contains('/') {
        return path(r, field).map(AuditOutput::File);
    }
    let words: [(&str, Word); 3] = [
        ("log", || AuditOutput::Log),
        ("stdout", || AuditOutput::Stdout),
        ("none", || AuditOutput::None),
    ];
    choice(r, field, &words).map(|output| output())
}

impl Serialize for AuditOutput {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Log => to.serialize_str("log"),
            Self::Stdout => to.serialize_str("stdout"),
            Self::File(file) => to.collect_str(&file.display()),
            Self::None => to.serialize_str("none"),
        }
    }
}

fn queries<S: Serializer>(value: &AuditQueries, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&QUERIES, value, to)
}
