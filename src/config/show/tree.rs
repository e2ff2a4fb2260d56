//! YAML, written. Blocks for people, texts quoted as JSON does, which every YAML reader
//! understands.

use std::fmt::Display;

use crate::config::settings::Secret;

/// What stands behind a key.
pub(super) enum Tree {
    /// Not there: the key is left out.
    Absent,
    /// A scalar as it is written.
    Scalar(String),
    /// Scalars on one line.
    Inline(Vec<Self>),
    /// One item a block.
    List(Vec<Self>),
    /// One key a line.
    Map(Vec<(String, Self)>),
}

/// A mapping with these keys.
pub(super) fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Tree)>) -> Tree {
    Tree::Map(
        entries
            .into_iter()
            .map(|(key, tree)| (key.to_owned(), tree))
            .collect(),
    )
}

/// A list, each item shown so.
pub(super) fn list<'t, T: 't>(
    items: impl IntoIterator<Item = &'t T>,
    shown: impl FnMut(&'t T) -> Tree,
) -> Tree {
    let items: Vec<Tree> = items.into_iter().map(shown).collect();
    if items.iter().all(|item| matches!(item, Tree::Scalar(_))) {
        Tree::Inline(items)
    } else {
        Tree::List(items)
    }
}

impl Tree {
    /// A number or boolean, as it prints.
    pub(super) fn plain(value: impl Display) -> Self {
        Self::Scalar(value.to_string())
    }

    /// A text, quoted where it could be read as something else.
    pub(super) fn text(value: impl Display) -> Self {
        Self::Scalar(quoted(&value.to_string()))
    }

    /// A secret: never what it holds.
    pub(super) fn secret(secret: &Secret) -> Self {
        Self::text(format_args!("{secret:?}"))
    }

    /// The text of a whole file.
    pub(super) fn yaml(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    /// Writes a block of lines.
    fn write(&self, out: &mut String, indent: usize) {
        match self {
            Self::Absent => {}
            Self::Scalar(_) | Self::Inline(_) => {
                out.push_str(&self.inline());
                out.push('\n');
            }
            Self::List(items) => {
                for item in items {
                    pad(out, indent);
                    out.push_str("- ");
                    item.write_after_dash(out, indent + 2);
                }
            }
            Self::Map(entries) => {
                for (key, value) in entries.iter().filter(|(_, value)| value.is_there()) {
                    pad(out, indent);
                    write_entry(out, key, value, indent);
                }
            }
        }
    }

    /// The first line of an item stands behind its dash.
    fn write_after_dash(&self, out: &mut String, indent: usize) {
        let Self::Map(entries) = self else {
            self.write(out, indent);
            return;
        };
        let there = entries.iter().filter(|(_, value)| value.is_there());
        for (index, (key, value)) in there.enumerate() {
            if index > 0 {
                pad(out, indent);
            }
            write_entry(out, key, value, indent);
        }
    }

    fn inline(&self) -> String {
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Inline(items) => {
                let items: Vec<String> = items.iter().map(Self::inline).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Absent | Self::List(_) | Self::Map(_) => String::new(),
        }
    }

    /// A mapping of which nothing is there is not there either.
    fn is_there(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::Map(entries) => entries.iter().any(|(_, value)| value.is_there()),
            Self::Scalar(_) | Self::Inline(_) | Self::List(_) => true,
        }
    }
}

fn write_entry(out: &mut String, key: &str, value: &Tree, indent: usize) {
    out.push_str(&quoted(key));
    out.push(':');
    match value {
        Tree::List(_) | Tree::Map(_) => {
            out.push('\n');
            value.write(out, indent + 2);
        }
        _ => {
            out.push(' ');
            value.write(out, indent);
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// The text itself where it is a word or a path that no reader takes for anything else, or else
/// as a JSON string.
fn quoted(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || "/_".contains(c);
    let is_plain = text.starts_with(first)
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !is_special(text);
    if is_plain {
        return text.to_owned();
    }
    // A text always is JSON.
    serde_json::to_string(text).unwrap_or_default()
}

/// Words that some YAML reader takes for a boolean or for nothing.
fn is_special(text: &str) -> bool {
    const SPECIAL: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    SPECIAL.iter().any(|word| text.eq_ignore_ascii_case(word))
}
