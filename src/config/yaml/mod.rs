//! Parses YAML into a small tree with positions. The only file that uses the YAML library.
//!
//! Anchors, aliases, tags, directives and further documents are refused: no key needs them, and
//! without them there are no bombs. Nesting is bounded, so the tree may be dropped and walked by
//! recursion.

use granit_parser::{Event, Marker, Parser, ScalarStyle, options};

use super::error::Position;

/// The keys nest seven deep at most.
const MAX_DEPTH: usize = 16;

/// A value and its position.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    Scalar {
        text: String,
        /// Written without quotes, so that `true`, `12` and an empty value have a meaning.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One `key: value`, as written: keys may be repeated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Position,
    pub(super) value: Node,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: Position,
    pub(super) message: String,
}

/// YAML of other programs as JSON, in which every scalar is a string.
pub(crate) fn as_json(text: &str) -> Result<serde_json::Value, String> {
    parse(text.as_bytes())
        .map(json_of)
        .map_err(|error| error.message)
}

fn json_of(node: Node) -> serde_json::Value {
    match node.value {
        Value::Scalar { text, .. } => text.into(),
        Value::List(all) => all.into_iter().map(json_of).collect(),
        Value::Map(all) => all
            .into_iter()
            .map(|entry| (entry.key, json_of(entry.value)))
            .collect(),
    }
}

/// Parses a file's bytes. An empty file is an empty mapping.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, SyntaxError> {
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
    // The library counts a byte order mark as a column.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = options! {
        emit_comments: false,
        disallow_directives: true,
        // Refused below, with advice.
        emit_unresolved_aliases: true,
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| SyntaxError {
            at: position(*error.marker()),
            message: error.kind().to_string(),
        })?;
        let at = position(span.start);
        if let Err(message) = builder.take(event, at) {
            return Err(SyntaxError { at, message });
        }
    }
    Ok(builder.root.unwrap_or(Node {
        at: Position::START,
        value: Value::Map(Vec::new()),
    }))
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn not_utf8(bytes: &[u8], valid: usize) -> SyntaxError {
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    SyntaxError {
        at: Position {
            line: before.matches('\n').count() + 1,
            column: last_line.chars().count() + 1,
        },
        message: "the file is not UTF-8 from here on".into(),
    }
}

/// Builds the tree from events, with the open collections on a stack.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

struct Open {
    at: Position,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    /// With the key whose value is next.
    Map(Vec<Entry>, Option<(String, Position)>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), String> {
        refuse_decoration(&event)?;
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document (`---`) is not allowed".into());
                }
                Ok(())
            }
            Event::Scalar(text, style, ..) => self.place(Node {
                at,
                value: Value::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                },
            }),
            Event::SequenceStart(..) => self.open(at, Content::List(Vec::new())),
            Event::MappingStart(..) => self.open(at, Content::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn open(&mut self, at: Position, content: Content) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} deep"));
        }
        self.open.push(Open { at, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(Open { at, content }) = self.open.pop() else {
            return Ok(());
        };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map(entries, _) => Value::Map(entries),
        };
        self.place(Node { at, value })
    }

    fn place(&mut self, mut node: Node) -> Result<(), String> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map(entries, waiting)) => match waiting.take() {
                Some((key, key_at)) => {
                    // A missing value has no position of its own.
                    if node.is_null() {
                        node.at = key_at;
                    }
                    entries.push(Entry {
                        key,
                        key_at,
                        value: node,
                    });
                }
                None => match node.value {
                    Value::Scalar { text, .. } => *waiting = Some((text, node.at)),
                    _ => return Err("a key must be a plain text, not a collection".into()),
                },
            },
        }
        Ok(())
    }
}

fn refuse_decoration(event: &Event<'_>) -> Result<(), String> {
    if event.is_alias() {
        return Err("aliases (`*name`) are not supported: write the value out, or quote it".into());
    }
    if event.anchor_id().is_some() {
        return Err("anchors (`&name`) are not supported: leave it out, or quote the value".into());
    }
    if event.tag().is_some() {
        return Err("tags (`!name`) are not supported: leave it out, or quote the value".into());
    }
    Ok(())
}

impl Node {
    /// Whether it is YAML's null: nothing, `~` or `null` (YAML 1.2 §10.2.1.1).
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// A boolean in the core schema of YAML 1.2 (§10.2.1.2): `yes` and `on` are strings.
    pub(super) fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Its name in errors.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            _ if self.as_bool().is_some() => "true or false",
            Value::Scalar { text, plain: true } if text.parse::<u64>().is_ok() => "a number",
            Value::Scalar { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

#[cfg(test)]
mod tests;
