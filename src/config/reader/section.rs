//! A mapping with known keys.

use std::cell::OnceCell;

use super::{ErrorReported, Field, Read, Reader};
use crate::config::yaml::Entry;

/// Reads one of several alternative keys.
pub(in crate::config) type Alternative<T> = fn(&mut Reader<'_>, &Field<'_>) -> Read<T>;

/// A mapping that is being read. Keys that are not read are unknown, and errors.
pub(in crate::config) struct Section<'a> {
    field: Field<'a>,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(in crate::config) fn new(field: Field<'a>, entries: &'a [Entry]) -> Self {
        Self {
            field,
            entries,
            known: Vec::new(),
        }
    }

    /// The mapping as a whole, for errors about it.
    pub(in crate::config) fn field(&self) -> &Field<'a> {
        &self.field
    }

    /// The value of a key, if present.
    pub(in crate::config) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| self.field.child(entry))
    }

    /// The value of a required key.
    pub(in crate::config) fn required<T>(
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

    /// The value of an optional key.
    pub(in crate::config) fn optional<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'_>, &Field<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.get(key).map(|field| read(reader, &field)).transpose()
    }

    /// The value of a key, or its default.
    pub(in crate::config) fn or<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        default: T,
        read: impl FnOnce(&mut Reader<'_>, &Field<'a>) -> Read<T>,
    ) -> Read<T> {
        self.get(key)
            .map_or(Ok(default), |field| read(reader, &field))
    }

    /// The value of the one of these keys that is present; exactly one must be.
    pub(in crate::config) fn exactly_one<T>(
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

    pub(in crate::config) fn missing(&self, reader: &mut Reader<'_>, key: &str) -> ErrorReported {
        reader.collect(
            Some(self.field.node.at),
            &self.field.child_path(key),
            "is required".into(),
        )
    }

    /// Ends the section: keys that were not read are errors.
    pub(in crate::config) fn finish(self, reader: &mut Reader<'_>) -> Read<()> {
        #[cfg(test)]
        reader.known.extend(self.known.iter().map(|key| {
            let path = self.field.child_path(key);
            path.replace(|c: char| c.is_ascii_digit(), "")
        }));
        let mut known: Vec<&str> = self.known;
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
                } else if let Some(key) = without_space(&entry.key, &known) {
                    let message = format!("a space is missing after `{key}:`");
                    (self.field.child_path(key), message)
                } else {
                    // A key without a value may be a value whose key is missing.
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

/// The known key in `key:value`, which YAML parses as one word.
fn without_space<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let (key, _) = text.split_once(':')?;
    known.iter().copied().find(|known| *known == key)
}

/// "`a`, `b` and `c`", for errors.
pub(in crate::config) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// The known word that is at most two typos away, ignoring case, if there is one.
pub(in crate::config) fn nearest<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // No known word is that long, and the distance takes time proportional to the product of both
    // lengths.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|known| {
            (
                strsim::levenshtein(&word, &known.to_ascii_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= known.len().div_ceil(4))
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_similar_words_are_suggested() {
        let known = ["issuer", "issuers", "audiences", "url", "ES256", "RS256"];
        assert_eq!(nearest("isuers", known), Some("issuers"));
        assert_eq!(nearest("audience", known), Some("audiences"));
        assert_eq!(nearest("uri", known), Some("url"));
        assert_eq!(nearest("rs256", known), Some("RS256"));
        assert_eq!(nearest("tenant", known), None);
        assert_eq!(nearest(&"u".repeat(100_000), known), None);
    }
}
