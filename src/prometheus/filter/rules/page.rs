//! Pages of rule groups, counted over what the tenant sees (`web/api/v1/api.go`, `rules`).

use std::collections::HashMap;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

use super::super::super::json::{self, Unreadable};
use super::super::super::params::GroupPage;
use super::shape::Group;
use super::{Kept, file_of, has_own, name_of_file};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RulesError {
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// The groups have changed.
    #[error("no group has the token that the page is to begin with")]
    UnknownToken,
}

/// Leaves the groups of one page, and returns the token of the next one, if there is one.
pub(super) fn cut<'a>(
    groups: &mut Vec<(&Group<'a>, Vec<Kept<'a>>)>,
    page: &GroupPage,
) -> Result<Option<String>, RulesError> {
    let mut names = Vec::with_capacity(groups.len());
    for (group, rules) in &*groups {
        let file = match file_of(group)? {
            file if has_own(rules) => file,
            file => name_of_file(&file).to_owned().into(),
        };
        names.push((file, json::text(group.name, "a group has no name")?));
    }
    let mut tokens = tokens(names.iter().map(|(file, name)| (&**file, &**name)));
    if let Some(wanted) = &page.first {
        let first = tokens.iter().position(|token| token == wanted);
        let first = first.ok_or(RulesError::UnknownToken)?;
        tokens.drain(..first);
        groups.drain(..first);
    }
    groups.truncate(page.limit.get());
    Ok(tokens.into_iter().nth(page.limit.get()))
}

/// A token for each group, of its file and name as they are shown: where the file is shown in full it is
/// that of Prometheus, and it tells nothing that is hidden.
///
/// Files whose folders are hidden may look the same, with groups of the same
/// name; the second one needs a token of its own, or a client would never reach the end.
fn tokens<'n>(names: impl Iterator<Item = (&'n str, &'n str)>) -> Vec<String> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    names
        .map(|(file, name)| {
            let earlier = seen.entry((file, name)).or_default();
            let mut text = format!("{file};{name}");
            if *earlier > 0 {
                // Writing to a string cannot fail.
                let _ = write!(text, ";{earlier}");
            }
            *earlier += 1;
            hex(&text)
        })
        .collect()
}

fn hex(text: &str) -> String {
    let mut hex = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
