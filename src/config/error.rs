//! Errors of a config: all at once, each with its position.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::fingerprint::Fingerprint;

/// Errors beyond this number are counted, not listed.
const MAX_LISTED: usize = 100;

/// A position in the YAML file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// One error. Its text never contains the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: Arc<Path>,
    /// The position in the file; `None` if it could not be read at all.
    pub position: Option<Position>,
    /// The dotted path of the key, `upstreams[0].url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// `config/partywall.yaml:12:5: upstreams[0].url: …`, always one line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", OneLine(&self.key))?;
        }
        write!(f, " {}", OneLine(&self.message))
    }
}

/// Text with its control characters escaped.
pub(super) struct OneLine<'a>(pub(super) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() {
                write!(f, "{}", c.escape_debug())
            } else {
                write!(f, "{c}")
            }
        })
    }
}

/// All errors of a config, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    unlisted: usize,
    fingerprint: Fingerprint,
}

impl ConfigErrors {
    pub(super) fn new(mut errors: Vec<ConfigError>, fingerprint: Fingerprint) -> Self {
        errors.sort_by_key(|error| error.position);
        let unlisted = errors.len().saturating_sub(MAX_LISTED);
        errors.truncate(MAX_LISTED);
        Self {
            errors,
            unlisted,
            fingerprint,
        }
    }

    /// The errors, at most the first hundred.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// The fingerprint of the files read until the load failed: while it is current, retrying is
    /// pointless.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// One error a line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.unlisted > 0 {
            write!(f, "\n… and {} more errors", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
