//! A typed reader over the tree that continues after an error, so that all are reported at once.
//!
//! Reading a value returns it or [`ErrorReported`]: the proof that an error was collected.

mod section;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access::Access;
use super::error::{ConfigError, ConfigErrors, Position};
use super::fingerprint::Fingerprint;
use super::warning::{ConfigWarning, WarningCode};
use super::yaml::{self, Entry, Node, Value};

pub(super) use self::section::{Alternative, Section, listed, nearest};

/// There is no value, and an error was collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorReported(());

pub(super) type Read<T> = Result<T, ErrorReported>;

/// One load: what it can access, what it has read, and its errors.
pub(super) struct Reader<'a> {
    access: &'a dyn Access,
    file: Arc<Path>,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigWarning>,
    /// Each file is read once, so that the fingerprint covers the very bytes that were used.
    files: BTreeMap<PathBuf, Result<Arc<[u8]>, String>>,
    /// Every key that was read, by its path without indices.
    #[cfg(test)]
    pub(super) known: std::collections::BTreeSet<String>,
}

/// A value and its dotted path.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    path: Arc<str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &Path, access: &'a dyn Access) -> Self {
        Self {
            access,
            file: file.into(),
            errors: Vec::new(),
            warnings: Vec::new(),
            files: BTreeMap::new(),
            #[cfg(test)]
            known: std::collections::BTreeSet::new(),
        }
    }

    /// The config file itself, as a tree.
    pub(super) fn tree(&mut self) -> Read<Node> {
        let file = Arc::clone(&self.file);
        let content = self
            .content(&file)
            .map_err(|message| self.collect(None, "", message))?;
        yaml::parse(&content).map_err(|error| self.collect(Some(error.at), "", error.message))
    }

    /// Collects an error about a value.
    pub(super) fn error(&mut self, field: &Field<'_>, message: impl Into<String>) -> ErrorReported {
        self.collect(Some(field.node.at), &field.path, message.into())
    }

    /// Warns about a valid value. The message must not show a secret.
    pub(super) fn warn(
        &mut self,
        field: &Field<'_>,
        code: WarningCode,
        message: impl Into<String>,
    ) {
        self.warnings.push(ConfigWarning {
            code,
            file: Arc::clone(&self.file),
            position: field.node.at,
            key: field.path.to_string(),
            message: message.into(),
        });
    }

    fn collect(&mut self, position: Option<Position>, key: &str, message: String) -> ErrorReported {
        self.errors.push(ConfigError {
            file: Arc::clone(&self.file),
            position,
            key: key.to_owned(),
            message,
        });
        ErrorReported(())
    }

    pub(super) fn variable(&self, name: &str) -> Result<String, std::env::VarError> {
        self.access.variable(name)
    }

    /// A path relative to the config file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// A file's content, or why it could not be read.
    pub(super) fn content(&mut self, path: &Path) -> Result<Arc<[u8]>, String> {
        let access = self.access;
        self.files
            .entry(path.to_owned())
            .or_insert_with(|| {
                access
                    .read(path)
                    .map(Arc::from)
                    .map_err(|error| format!("cannot be read: {error}"))
            })
            .clone()
    }

    /// Returns the settings with their warnings, or all errors.
    pub(super) fn finish<T>(
        mut self,
        read: Read<T>,
    ) -> Result<(T, Vec<ConfigWarning>, Fingerprint), ConfigErrors> {
        let mut fingerprint = Fingerprint::default();
        for (path, content) in &self.files {
            fingerprint.record(path, content.as_deref().ok());
        }
        match read {
            Ok(read) if self.errors.is_empty() => {
                self.warnings.sort_by_key(|warning| warning.position);
                Ok((read, self.warnings, fingerprint))
            }
            _ => Err(ConfigErrors::new(self.errors, fingerprint)),
        }
    }

    /// A mapping with known keys.
    pub(super) fn section<'n>(&mut self, field: &Field<'n>) -> Read<Section<'n>> {
        let entries = self.entries(field)?;
        Ok(Section::new(field.clone(), entries))
    }

    /// A mapping's entries; repeated keys are errors.
    pub(super) fn entries<'n>(&mut self, field: &Field<'n>) -> Read<&'n [Entry]> {
        let Value::Map(entries) = &field.node.value else {
            return Err(self.wrong_kind(field, "a mapping"));
        };
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for entry in entries {
            if let Some(line) = lines.get(entry.key.as_str()) {
                let message = format!("is given twice, first in line {line}");
                self.collect(Some(entry.key_at), &field.child_path(&entry.key), message);
            } else {
                lines.insert(&entry.key, entry.key_at.line);
            }
        }
        Ok(entries)
    }

    /// A list; every item is read even if one of them fails.
    pub(super) fn list<'n, T>(
        &mut self,
        field: &Field<'n>,
        mut item: impl FnMut(&mut Self, &Field<'n>) -> Read<T>,
    ) -> Read<Vec<T>> {
        let Value::List(nodes) = &field.node.value else {
            return Err(self.wrong_kind(field, "a list"));
        };
        let read: Vec<Read<T>> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let path = format!("{}[{index}]", field.path).into();
                item(self, &Field { node, path })
            })
            .collect();
        read.into_iter().collect()
    }

    /// A list with at least one item.
    pub(super) fn some_of<'n, T>(
        &mut self,
        field: &Field<'n>,
        item: impl FnMut(&mut Self, &Field<'n>) -> Read<T>,
    ) -> Read<Vec<T>> {
        let items = self.list(field, item)?;
        if items.is_empty() {
            return Err(self.error(field, "must not be empty"));
        }
        Ok(items)
    }

    /// Collects an error with this text for every value that is repeated.
    pub(super) fn distinct<'n, K: Eq + Hash>(
        &mut self,
        rule: &str,
        items: impl IntoIterator<Item = (Field<'n>, K)>,
    ) -> Read<()> {
        let mut lines: HashMap<K, usize> = HashMap::new();
        let mut result = Ok(());
        for (field, key) in items {
            match lines.get(&key) {
                Some(line) => {
                    let message = format!("{rule}; the first is in line {line}");
                    result = Err(self.error(&field, message));
                }
                None => {
                    lines.insert(key, field.line());
                }
            }
        }
        result
    }

    pub(super) fn wrong_kind(&mut self, field: &Field<'_>, wanted: &str) -> ErrorReported {
        let message = if field.node.is_null() {
            format!("has no value: write {wanted}, or leave out the key")
        } else {
            format!("must be {wanted}, not {}", field.node.kind())
        };
        self.error(field, message)
    }
}

impl<'a> Field<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self {
            node,
            path: "".into(),
        }
    }

    pub(super) fn child(&self, entry: &'a Entry) -> Self {
        Self {
            node: &entry.value,
            path: self.child_path(&entry.key).into(),
        }
    }

    /// The line, for errors that refer to another position.
    pub(super) fn line(&self) -> usize {
        self.node.at.line
    }

    fn child_path(&self, key: &str) -> String {
        let key = if is_word(key) { key } else { "…" };
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// Whether a key can be shown in an error. Others may be a value, and a secret, where the space
/// after a colon is missing.
fn is_word(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !key.is_empty() && key.len() <= 64 && key.chars().all(allowed)
}
