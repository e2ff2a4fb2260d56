//! Shows settings as a config file, including defaults, and without secrets.

use serde_json::Value;

use super::sections::Settings;

/// The settings as YAML. Without secrets and keys from files it can be loaded again.
pub fn show(settings: &Settings) -> String {
    let mut out = String::new();
    // The keys are strings, so they can always be JSON.
    let tree = serde_json::to_value(settings).unwrap_or_default();
    write(&tree, 0, &mut out);
    out
}

/// Writes a block of lines: one item or key each, strings quoted as in JSON, which every YAML
/// parser supports. Null means absent.
fn write(tree: &Value, indent: usize, out: &mut String) {
    match tree {
        Value::Array(items) if !is_inline(tree) => {
            for item in items {
                pad(out, indent);
                out.push_str("- ");
                write_after_dash(item, indent + 2, out);
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries.iter().filter(|(_, value)| is_there(value)) {
                pad(out, indent);
                write_entry(key, value, indent, out);
            }
        }
        _ => {
            out.push_str(&inline(tree));
            out.push('\n');
        }
    }
}

/// The first line of an item follows its dash.
fn write_after_dash(item: &Value, indent: usize, out: &mut String) {
    let Value::Object(entries) = item else {
        write(item, indent, out);
        return;
    };
    let there = entries.iter().filter(|(_, value)| is_there(value));
    for (index, (key, value)) in there.enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        write_entry(key, value, indent, out);
    }
}

fn write_entry(key: &str, value: &Value, indent: usize, out: &mut String) {
    out.push_str(&quoted(key));
    out.push(':');
    if is_inline(value) {
        out.push(' ');
        write(value, indent, out);
    } else {
        out.push('\n');
        write(value, indent + 2, out);
    }
}

/// Scalars, and lists of them, are on one line.
fn is_inline(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(items) => items
            .iter()
            .all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // 0 instead of 0.0.
            Some(number) => number.to_string(),
            None => number.to_string(),
        },
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Object(_) => String::new(),
    }
}

/// A mapping without any values is absent too.
fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(entries) => entries.values().any(is_there),
        _ => true,
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// The text itself if it is a word or a path that no parser treats specially, otherwise a JSON
/// string.
fn quoted(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || "/_".contains(c);
    let is_plain = text.starts_with(first)
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !is_special(text);
    if is_plain || is_duration(text) {
        return text.to_owned();
    }
    // A string can always be JSON.
    serde_json::to_string(text).unwrap_or_default()
}

/// Words that some YAML parser reads as a boolean or null.
fn is_special(text: &str) -> bool {
    const SPECIAL: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    SPECIAL.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Digits and a unit, which every parser reads as a string.
fn is_duration(text: &str) -> bool {
    let digits = text.trim_end_matches('s').trim_end_matches('m');
    let unit = text.strip_prefix(digits).unwrap_or_default();
    matches!(unit, "s" | "ms")
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
