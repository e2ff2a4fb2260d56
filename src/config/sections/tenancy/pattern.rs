//! `pattern`: the part of a claim's value that is the tenant.

use regex::{Regex, RegexBuilder};

use crate::config::reader::{Field, Read, Reader};
use crate::config::values::text;
use crate::config::warning::WarningCode;

/// A compiled, anchored `pattern`; compared by its source.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl Pattern {
    /// The anchors around the configured pattern.
    pub const ANCHORS: (&str, &str) = (r"\A(?:", r")\z");

    /// The pattern as configured.
    pub fn written(&self) -> &str {
        let (before, after) = Self::ANCHORS;
        let anchored = self.0.as_str();
        anchored
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .unwrap_or(anchored)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// The longest `pattern`, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;

/// The most memory of a compiled `pattern`, in bytes.
const MAX_PATTERN_MEMORY: usize = 1024 * 1024;

pub(super) fn pattern(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Pattern> {
    let source = text(r, field)?;
    if source.len() > MAX_PATTERN_BYTES {
        return Err(r.error(field, format!("is longer than {MAX_PATTERN_BYTES} bytes")));
    }
    let (before, after) = Pattern::ANCHORS;
    // Compiled without anchors first: `a)|(b` must not become valid through them.
    let regex = compile(&source)
        .and_then(|_| compile(&format!("{before}{source}{after}")))
        .map_err(|error| r.error(field, reason(&error)))?;
    one_group(r, field, &regex)?;
    Ok(Pattern(regex))
}

/// The first group must be the tenant, in every value that matches.
fn one_group(r: &mut Reader<'_>, field: &Field<'_>, regex: &Regex) -> Read<()> {
    // The whole match counts as one.
    match regex.captures_len() {
        ..=1 => Ok(()),
        2 if regex.static_captures_len() == Some(2) => Ok(()),
        2 => {
            let message = "a value can match without the group, and is never a tenant then: put \
                           the group into every alternative, or use none";
            Err(r.error(field, message))
        }
        _ => {
            let message = "has several groups, of which the first alone is the tenant, and values \
                           that match without it are left out: write (?:…) for the others";
            r.warn(field, WarningCode::PatternGroups, message);
            Ok(())
        }
    }
}

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source)
        .size_limit(MAX_PATTERN_MEMORY)
        .dfa_size_limit(MAX_PATTERN_MEMORY)
        .build()
}

/// The last line of the regex crate's multi-line error.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::Syntax(picture) => {
            let last = picture.lines().last().unwrap_or_default();
            let reason = last.trim_start_matches("error: ");
            format!("is not a regular expression: {reason}")
        }
        _ => "the regular expression is too big".into(),
    }
}
