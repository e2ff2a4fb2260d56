//! How single values are serialised: as in the config file, and without secrets.
#![allow(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "the signature of serde's serialize_with"
)]

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Replaces secrets, and the content of files.
pub(super) const HIDDEN: &str = "***";

/// As in the config file, down to milliseconds.
pub(super) fn duration<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    if duration.subsec_millis() == 0 {
        to.collect_str(&format_args!("{}s", duration.as_secs()))
    } else {
        to.collect_str(&format_args!("{}ms", duration.as_millis()))
    }
}

/// As [`duration`].
pub(super) fn optional_duration<S: Serializer>(
    optional: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match optional {
        Some(known) => duration(known, to),
        None => to.serialize_none(),
    }
}

/// One of a few keywords.
pub(super) fn choice<T: PartialEq, S: Serializer>(
    choices: &[(&str, T)],
    value: &T,
    to: S,
) -> Result<S::Ok, S::Error> {
    let word = choices.iter().find(|(_, known)| known == value);
    word.map(|(word, _)| *word).serialize(to)
}

/// The content of a file.
pub(super) fn hidden<T, S: Serializer>(_: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(HIDDEN)
}

/// The content of a file, if there is one.
pub(super) fn hidden_if_any<T, S: Serializer>(
    content: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    content.as_ref().map(|_| HIDDEN).serialize(to)
}

/// A URL without its query, in which some services put keys. The config accepts none with a user
/// name or password.
pub(super) fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((before, _)) => format!("{before}?{HIDDEN}"),
        None => url.to_owned(),
    }
}

/// As [`without_query`].
pub(super) fn url<S: Serializer>(url: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&without_query(url))
}
