//! The templates of a rule's labels and annotations (Go's `text/template` with the functions of
//! Prometheus' `template/template.go`), as far as their output is certain.
//!
//! A template is understood if it is plain text with actions that write the alert's value or one of
//! its labels, optionally through a function of the lists below. Nothing else is: not variables,
//! `if`, `with`, `range`, `query`, comparisons, or string literals other than a format without
//! words. The output that Prometheus made of an understood template is then compared with the
//! alert's own labels, so that a text is shown only if it contains nothing but these, numbers, and
//! the template's words.

mod number;

use std::borrow::Cow;

use number::numbers_of;

/// An understood template.
pub(super) struct Template<'t> {
    parts: Vec<Part<'t>>,
}

/// A part of the output.
#[derive(Clone, Copy)]
enum Part<'t> {
    Text(&'t str),
    Label(&'t str, Function),
    Number,
}

/// A function applied to a label's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    None,
    ToUpper,
    ToLower,
    Title,
    StripPort,
    StripDomain,
}

/// The most parts of a template: comparison is linear in them.
const MAX_PARTS: usize = 32;

impl<'t> Template<'t> {
    /// Parses a template; `None` if it is not understood.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut trims = false;
        // Each action has at least one part.
        if text.matches("{{").take(MAX_PARTS + 1).count() > MAX_PARTS {
            return None;
        }
        while let Some((literal, after)) = rest.split_once("{{") {
            let (action, after) = after.split_once("}}")?;
            let begins = action.strip_prefix('-').filter(|a| a.starts_with(is_space));
            let literal = trimmed(literal, trims, begins.is_some());
            if !literal.is_empty() {
                parts.push(Part::Text(literal));
            }
            let action = begins.unwrap_or(action);
            let ends = action.strip_suffix('-').filter(|a| a.ends_with(is_space));
            trims = ends.is_some();
            read_action(ends.unwrap_or(action), &mut parts)?;
            rest = after;
        }
        let literal = trimmed(rest, trims, false);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        // It would be ambiguous where one number ends and the next begins.
        let touch = |pair: &[Part<'_>]| matches!(pair, [Part::Number, Part::Number]);
        let is_simple = parts.len() <= MAX_PARTS && !parts.windows(2).any(touch);
        is_simple.then_some(Self { parts })
    }

    /// Whether it is just the value of this label.
    pub(super) fn is_label(&self, name: &str) -> bool {
        matches!(&*self.parts, [Part::Label(label, Function::None)] if *label == name)
    }

    /// Whether the template produces this text for an alert with these labels. Without `numbers`,
    /// one that writes the alert's value does not.
    pub(super) fn makes<'l>(
        &self,
        text: &str,
        label: impl Fn(&str) -> Option<&'l str>,
        numbers: bool,
    ) -> bool {
        // The offsets in the text at which the parts so far may end.
        let mut ends = vec![0];
        for part in &self.parts {
            let after = |end: &usize| text.get(*end..).unwrap_or_default();
            ends = match *part {
                Part::Number if !numbers => return false,
                Part::Number => {
                    let mut longer: Vec<usize> = ends
                        .iter()
                        .flat_map(|end| numbers_of(after(end)).map(move |length| end + length))
                        .collect();
                    longer.sort_unstable();
                    longer.dedup();
                    longer
                }
                Part::Text(literal) => advance(&ends, text, literal),
                Part::Label(name, function) => advance(
                    &ends,
                    text,
                    &function.apply(label(name).unwrap_or_default()),
                ),
            };
            if ends.is_empty() {
                return false;
            }
        }
        ends.contains(&text.len())
    }
}

/// The offsets that `literal` follows, moved past it.
fn advance(ends: &[usize], text: &str, literal: &str) -> Vec<usize> {
    let follows = |end: &&usize| {
        let rest = text.get(**end..);
        rest.is_some_and(|rest| rest.starts_with(literal))
    };
    ends.iter()
        .filter(follows)
        .map(|end| end + literal.len())
        .collect()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// A literal between actions whose markers trim it (`{{- ` and ` -}}`).
fn trimmed(literal: &str, start: bool, end: bool) -> &str {
    let literal = if start {
        literal.trim_start_matches(is_space)
    } else {
        literal
    };
    if end {
        literal.trim_end_matches(is_space)
    } else {
        literal
    }
}

/// One word of an action.
enum Token<'t> {
    Word(&'t str),
    /// The content of a string without escapes.
    Format(&'t str),
}

/// A command of a pipeline.
type Command<'t> = Vec<Token<'t>>;

fn read_action<'t>(action: &'t str, parts: &mut Vec<Part<'t>>) -> Option<()> {
    let mut commands = pipeline(action)?.into_iter();
    let mut value = evaluate(&commands.next()?, None)?;
    for command in commands {
        value = evaluate(&command, Some(value))?;
    }
    parts.extend(value);
    Some(())
}

fn pipeline(action: &str) -> Option<Vec<Command<'_>>> {
    let mut commands = vec![Vec::new()];
    let mut rest = action.trim_matches(is_space);
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..)?;
        rest = match first {
            '|' => {
                commands.push(Vec::new());
                after
            }
            '"' | '`' => {
                let (inside, after) = after.split_once(first)?;
                if inside.contains(['\\', '\n']) {
                    return None;
                }
                commands.last_mut()?.push(Token::Format(inside));
                // Go requires a space between operands.
                if !after.is_empty() && !after.starts_with(|c| is_space(c) || c == '|') {
                    return None;
                }
                after
            }
            _ => {
                let end = rest
                    .find(|c| is_space(c) || matches!(c, '|' | '"' | '`'))
                    .unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end)?;
                if after.starts_with(['"', '`']) {
                    return None;
                }
                commands.last_mut()?.push(Token::Word(word));
                after
            }
        }
        .trim_start_matches(is_space);
    }
    Some(commands)
}

/// The result of a command with its operands and the value piped into it.
fn evaluate<'t>(command: &[Token<'t>], piped: Option<Vec<Part<'t>>>) -> Option<Vec<Part<'t>>> {
    let (first, operands) = command.split_first()?;
    let Token::Word(word) = first else {
        return None;
    };
    if operands.is_empty() && piped.is_none() {
        return field(word).map(|field| vec![field]);
    }
    if *word == "printf" {
        let (Token::Format(format), operands) = operands.split_first()? else {
            return None;
        };
        let mut values = Vec::new();
        for operand in operands {
            values.push(operand_field(operand)?);
        }
        if let Some(piped) = piped {
            values.push(single(&piped)?);
        }
        return printed(format, &values);
    }
    let value = match (operands, piped) {
        ([], Some(piped)) => single(&piped)?,
        ([one], None) => operand_field(one)?,
        _ => return None,
    };
    Some(vec![call(word, value)?])
}

fn single<'t>(parts: &[Part<'t>]) -> Option<Part<'t>> {
    match parts {
        [one @ (Part::Label(..) | Part::Number)] => Some(*one),
        _ => None,
    }
}

fn operand_field<'t>(token: &Token<'t>) -> Option<Part<'t>> {
    match token {
        Token::Word(word) => field(word),
        Token::Format(_) => None,
    }
}

fn field(word: &str) -> Option<Part<'_>> {
    if matches!(word, "$value" | ".Value") {
        return Some(Part::Number);
    }
    let name = word
        .strip_prefix("$labels.")
        .or_else(|| word.strip_prefix(".Labels."))?;
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(Part::Label(name, Function::None))
}

fn call<'t>(function: &str, value: Part<'t>) -> Option<Part<'t>> {
    match (function, value) {
        (
            "humanize" | "humanize1024" | "humanizeDuration" | "humanizePercentage"
            | "humanizeTimestamp",
            Part::Number,
        ) => Some(Part::Number),
        (function, Part::Label(name, Function::None)) => {
            let function = match function {
                "toUpper" => Function::ToUpper,
                "toLower" => Function::ToLower,
                "title" => Function::Title,
                "stripPort" => Function::StripPort,
                "stripDomain" => Function::StripDomain,
                _ => return None,
            };
            Some(Part::Label(name, function))
        }
        _ => None,
    }
}

/// The output of `printf`: labels for `%s` and `%v`, the value for numeric verbs. The format must
/// not contain words.
fn printed<'t>(format: &'t str, values: &[Part<'t>]) -> Option<Vec<Part<'t>>> {
    let mut parts = Vec::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (literal, verb) = rest.split_at_checked(at)?;
        push_wordless(literal, &mut parts)?;
        let verb = verb.get(1..)?;
        let flags = verb
            .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-' | ' '))
            .filter(|length| *length <= 8)?;
        let (flags, verb) = verb.split_at_checked(flags)?;
        let kind = verb.chars().next()?;
        rest = verb.get(kind.len_utf8()..)?;
        if kind == '%' && flags.is_empty() {
            parts.push(Part::Text("%"));
            continue;
        }
        match (kind, values.next()?) {
            ('f' | 'F' | 'g' | 'G' | 'e' | 'E' | 'v', Part::Number) => parts.push(Part::Number),
            ('s' | 'v', label @ Part::Label(..)) if flags.is_empty() => parts.push(*label),
            _ => return None,
        }
    }
    push_wordless(rest, &mut parts)?;
    values.next().is_none().then_some(parts)
}

fn push_wordless<'t>(literal: &'t str, parts: &mut Vec<Part<'t>>) -> Option<()> {
    if literal.contains(|c: char| c.is_ascii_alphanumeric() || !c.is_ascii()) {
        return None;
    }
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Some(())
}

impl Function {
    /// The result of Prometheus' function for a value, as far as ASCII goes. Where the two differ,
    /// a text is not recognised and so not shown.
    fn apply(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(value),
            Self::ToUpper => Cow::Owned(value.to_ascii_uppercase()),
            Self::ToLower => Cow::Owned(value.to_ascii_lowercase()),
            Self::Title => Cow::Owned(title(value)),
            Self::StripPort => Cow::Borrowed(host_and_port(value).map_or(value, |(host, _)| host)),
            Self::StripDomain => strip_domain(value),
        }
    }
}

fn title(value: &str) -> String {
    let mut is_inside = false;
    let capital = |c: char| {
        let is_first = !is_inside;
        is_inside = c.is_ascii_alphanumeric() || matches!(c, '_' | '\'' | '.' | ':');
        if is_first { c.to_ascii_uppercase() } else { c }
    };
    value.chars().map(capital).collect()
}

/// Go's `net.SplitHostPort`, without its rarer errors.
fn host_and_port(value: &str) -> Option<(&str, &str)> {
    let (host, port) = value.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(bare) => Some((bare, port)),
        None if host.contains([':', '[', ']']) => None,
        None => Some((host, port)),
    }
}

fn strip_domain(value: &str) -> Cow<'_, str> {
    let (host, port) = host_and_port(value).unwrap_or((value, ""));
    // An address is unmodified. Some host names look like one: their text is not recognised.
    let is_address = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if host.contains(':') || host.bytes().all(is_address) {
        return Cow::Borrowed(value);
    }
    let name = host.split('.').next().unwrap_or_default();
    if port.is_empty() {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("{name}:{port}"))
    }
}

#[cfg(test)]
mod tests;
