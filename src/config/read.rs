//! A typed reader over the tree that goes on after an error, so that all are told at once.
//!
//! Whoever reads a value gets it or [`Reported`]: the proof that an error was collected.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access::Access;
use super::error::{ConfigError, ConfigErrors, Position};
use super::fingerprint::Fingerprint;
use super::suggest::nearest;
use super::warning::{ConfigWarning, WarningCode};
use super::yaml::{self, Entry, Node, Value};

/// There is no value, and an error says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported(());

pub(super) type Read<T> = Result<T, Reported>;

/// One load: what it reaches, what it read and what is wrong.
pub(super) struct Reader<'a> {
    access: &'a dyn Access,
    file: Arc<Path>,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigWarning>,
    /// Each file is read once, so that the fingerprint tells of the very bytes that were used.
    files: BTreeMap<PathBuf, Result<Arc<[u8]>, String>>,
    /// Every key that was asked for, by its path without indices.
    #[cfg(test)]
    pub(super) known: std::collections::BTreeSet<String>,
}

/// A value and the dotted path that leads to it.
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
    pub(super) fn error(&mut self, field: &Field<'_>, message: impl Into<String>) -> Reported {
        self.collect(Some(field.node.at), &field.path, message.into())
    }

    /// Warns of a value that is valid. The message must not show a secret.
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

    fn collect(&mut self, position: Option<Position>, key: &str, message: String) -> Reported {
        self.errors.push(ConfigError {
            file: Arc::clone(&self.file),
            position,
            key: key.to_owned(),
            message,
        });
        Reported(())
    }

    /// An environment variable.
    pub(super) fn variable(&self, name: &str) -> Result<String, std::env::VarError> {
        self.access.variable(name)
    }

    /// A path as it is meant: relative to the config file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// A file's content, or why there is none.
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

    /// What was read and what to warn of: with any error, only the errors count.
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
        Ok(Section {
            field: field.clone(),
            entries,
            asked: Vec::new(),
        })
    }

    /// A mapping's entries, each key once.
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

    /// A list, every item read even if one of them fails.
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

    /// Collects an error, which tells the broken rule, for everything that is there a second time.
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

    pub(super) fn wrong_kind(&mut self, field: &Field<'_>, wanted: &str) -> Reported {
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

    /// The line, for errors that point to another place.
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

/// Whether a key can be shown. Others may be a value, and a secret, for want of a blank after a
/// colon.
fn is_word(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !key.is_empty() && key.len() <= 64 && key.chars().all(allowed)
}

/// How one of several keys is read.
pub(super) type Alternative<T> = fn(&mut Reader<'_>, &Field<'_>) -> Read<T>;

/// A mapping that is being read. What is asked for is known; the rest is an error.
pub(super) struct Section<'a> {
    field: Field<'a>,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The mapping as a whole, for errors about it.
    pub(super) fn field(&self) -> &Field<'a> {
        &self.field
    }

    /// The value of a key, if the key is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| self.field.child(entry))
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'_>, &Field<'a>) -> Read<T>,
    ) -> Read<T> {
        match self.get(key) {
            Some(field) => read(reader, &field),
            None => Err(self.missing(reader, key)),
        }
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'_>, &Field<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.get(key).map(|field| read(reader, &field)).transpose()
    }

    /// The value of a key, or its default.
    pub(super) fn or<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        default: T,
        read: impl FnOnce(&mut Reader<'_>, &Field<'a>) -> Read<T>,
    ) -> Read<T> {
        self.get(key)
            .map_or(Ok(default), |field| read(reader, &field))
    }

    /// The value of the one of these keys that is there; it must be exactly one.
    pub(super) fn exactly_one<T>(
        &mut self,
        reader: &mut Reader<'_>,
        alternatives: &[(&'static str, Alternative<T>)],
    ) -> Read<T> {
        let names = || {
            let names: Vec<&str> = alternatives.iter().map(|(key, _)| *key).collect();
            listed(&names)
        };
        let mut chosen = None;
        for (key, read) in alternatives {
            let Some(field) = self.get(key) else { continue };
            let value = read(reader, &field);
            chosen = Some(if chosen.is_none() {
                value
            } else {
                let message = format!("only one of {} may be given", names());
                Err(reader.error(&field, message))
            });
        }
        chosen.unwrap_or_else(|| {
            let message = format!("one of {} is required", names());
            Err(reader.error(&self.field, message))
        })
    }

    pub(super) fn missing(&self, reader: &mut Reader<'_>, key: &str) -> Reported {
        reader.collect(
            Some(self.field.node.at),
            &self.field.child_path(key),
            "is required".into(),
        )
    }

    /// Ends the section: keys that nobody asked for are errors.
    pub(super) fn finish(self, reader: &mut Reader<'_>) -> Read<()> {
        #[cfg(test)]
        reader.known.extend(self.asked.iter().map(|key| {
            let path = self.field.child_path(key);
            path.replace(|c: char| c.is_ascii_digit(), "")
        }));
        let mut known: Vec<&str> = self.asked;
        known.sort_unstable();
        known.dedup();
        let listing = OnceCell::new();
        let unknown = self
            .entries
            .iter()
            .filter(|entry| known.binary_search(&entry.key.as_str()).is_err())
            .map(|entry| {
                let (path, message) = if let Some(near) = nearest(&entry.key, known.iter().copied())
                {
                    let message = format!("unknown key; did you mean `{near}`?");
                    (self.field.child_path(&entry.key), message)
                } else if let Some(key) = without_blank(&entry.key, &known) {
                    let message = format!("a blank is missing after `{key}:`");
                    (self.field.child_path(key), message)
                } else {
                    // A key without a value may be a value that lost its key.
                    let shown = if entry.value.is_null() {
                        ""
                    } else {
                        &entry.key
                    };
                    let listing = listing.get_or_init(|| listed(&known));
                    let message = format!("unknown key; known here are {listing}");
                    (self.field.child_path(shown), message)
                };
                reader.collect(Some(entry.key_at), &path, message)
            })
            .last();
        unknown.map_or(Ok(()), Err)
    }
}

/// The known key in `key:value`, which YAML takes for one word.
fn without_blank<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let (key, _) = text.split_once(':')?;
    known.iter().copied().find(|known| *known == key)
}

/// "`a`, `b` and `c`", for errors.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
