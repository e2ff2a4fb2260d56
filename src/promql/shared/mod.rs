//! What a tenant may see of a shared rule's expression, which is evaluated over all tenants' series.

mod functions;

use std::borrow::Cow;

use super::cursor::{Cursor, is_keyword, is_word_start};
use super::matcher::Matcher;
use super::refusal::{Problem, Refusal};
use super::scan::{Kind, scan};
use super::skip;
use crate::query_size::unquote;
use crate::tenancy::{LabelMatcher, Matchers};
use functions::{
    AGGREGATIONS, Argument, MERGING_FUNCTIONS, OPERATORS, SEPARATE_FUNCTIONS, argument,
};

/// What a tenant may see of a shared rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedExpression {
    /// The text names no other tenant, as far as its structure shows: matchers on a tenant label
    /// have the caller's values alone, and every string outside matchers is in a known position.
    /// Metric names, label names and values of other labels are the rule author's own words.
    pub shows_text: bool,
    /// Each value of the result is computed from one tenant's series alone, or all selected
    /// series are the caller's. So a value with the caller's tenant label reveals nothing of
    /// other tenants.
    pub shows_values: bool,
    /// Which labels of a result with the caller's tenant label come from the caller's series.
    pub labels: ResultLabels,
}

/// Where the labels of a result come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResultLabels {
    /// From the series that has the tenant label.
    OwnSeries,
    /// From that series, except these, which the expression writes.
    OwnSeriesExcept(Vec<String>),
    /// The expression writes the tenant label itself, or unknown labels.
    #[default]
    NotKnown,
}

/// Analyzes the expression of a shared rule. One that cannot be read shows nothing.
///
/// Whether each value comes from one tenant is decided construct by construct: every aggregation
/// must keep the tenant labels, every vector matching must compare them, and no function may merge
/// or make series. An expression of only such parts treats each tenant as if there were no other.
pub fn analyze_shared(query: &str, matchers: &Matchers) -> SharedExpression {
    // Prometheus and Thanos print rules from their tree, without comments.
    if query.contains('#') {
        return SharedExpression::default();
    }
    let Ok(scan) = scan(query, Kind::Expression, usize::MAX, |_| Ok(())) else {
        return SharedExpression::default();
    };
    let mut reader = Reader {
        cursor: Cursor::new(query),
        matchers,
        calls: Vec::new(),
        confined_selectors: 0,
        is_harmless: true,
        is_separate: true,
        has_unknown_string: false,
        written: Written {
            labels: Some(Vec::new()),
            are_copied: false,
        },
    };
    if reader.analyze().is_err() {
        return SharedExpression::default();
    }
    let is_confined = !scan.sites.is_empty() && reader.confined_selectors == scan.sites.len();
    let shows_values = reader.is_separate || is_confined;
    let is_foreign = reader.has_unknown_string || (reader.written.are_copied && !shows_values);
    SharedExpression {
        shows_text: reader.is_harmless,
        shows_values,
        labels: match reader.written.labels {
            None => ResultLabels::NotKnown,
            Some(written) if is_foreign => ResultLabels::OwnSeriesExcept(written),
            Some(_) => ResultLabels::OwnSeries,
        },
    }
}

struct Call<'q> {
    /// Empty for a plain parenthesis.
    name: &'q str,
    argument: usize,
    /// An aggregation whose `by` or `without` must follow the closing parenthesis.
    is_ungrouped: bool,
}

struct Reader<'q, 'm> {
    cursor: Cursor<'q>,
    matchers: &'m Matchers,
    calls: Vec<Call<'q>>,
    confined_selectors: usize,
    is_harmless: bool,
    is_separate: bool,
    /// A string outside matchers has an unknown meaning: a label may be made from it.
    has_unknown_string: bool,
    written: Written,
}

/// Which labels of the result the expression writes.
struct Written {
    /// The labels; `None` if they are not known, or a tenant label is among them.
    labels: Option<Vec<String>>,
    /// Some are copied from other series, or made from sample values.
    are_copied: bool,
}

impl<'q> Reader<'q, '_> {
    /// Analyzes an expression that the scanner has accepted.
    fn analyze(&mut self) -> Result<(), Refusal> {
        loop {
            self.cursor.skip_gap();
            let Some(byte) = self.cursor.peek() else {
                return Ok(());
            };
            match byte {
                b'"' | b'\'' | b'`' => self.string()?,
                b'{' => self.braces()?,
                b'[' => {
                    skip::range(&mut self.cursor)?;
                }
                b'(' => self.open("", false),
                b')' => self.close()?,
                b',' => {
                    self.cursor.advance(1);
                    if let Some(call) = self.calls.last_mut() {
                        call.argument += 1;
                    }
                }
                _ if is_word_start(byte) => self.word()?,
                _ if self.cursor.at_number() => {
                    self.cursor.number();
                }
                _ => self.cursor.advance(1),
            }
        }
    }

    fn string(&mut self) -> Result<(), Refusal> {
        let quoted = self.cursor.string()?;
        let value = unquote(quoted);
        let value = value.as_deref().and_then(|v| std::str::from_utf8(v).ok());
        let (name, position) = match self.calls.last() {
            Some(call) => (call.name, call.argument),
            None => ("", 0),
        };
        let argument = argument(name, position);
        let is_understood = value.is_some_and(|value| match argument {
            Argument::Destination | Argument::Source => is_label_name(value),
            Argument::Pattern => holds_no_word(value),
            Argument::NotKnown => false,
        });
        self.is_harmless &= is_understood;
        self.has_unknown_string |= !is_understood;
        if argument == Argument::NotKnown {
            // It may be in extra parentheses and name a label that is written: the tenant label.
            self.is_separate = false;
            self.written.labels = None;
        }
        if argument == Argument::Destination {
            self.is_separate &= value.is_some_and(|label| self.matchers.of_label(label).is_none());
            self.written.are_copied |= !matches!(name, "label_replace" | "label_join");
            self.write(value);
        }
        Ok(())
    }

    /// Records that this label is written.
    fn write(&mut self, label: Option<&str>) {
        let label = label.filter(|label| self.matchers.of_label(label).is_none());
        match (&mut self.written.labels, label) {
            (Some(written), Some(label)) => written.push(label.to_owned()),
            _ => self.written.labels = None,
        }
    }

    fn braces(&mut self) -> Result<(), Refusal> {
        self.cursor.advance(1);
        let mut all = Vec::new();
        loop {
            self.cursor.skip_gap();
            if self.cursor.take(b'}') {
                break;
            }
            all.extend(Matcher::parse(&mut self.cursor)?);
            self.cursor.skip_gap();
            self.cursor.take(b',');
        }
        let reveals = |own: &LabelMatcher| {
            let mut all = all.iter();
            all.any(|matcher| is_on_label_or_copy(matcher, own) && matcher.may_reveal_foreign(own))
        };
        self.is_harmless &= !self.matchers.iter().any(reveals);
        let confines = |own: &LabelMatcher| {
            let mut all = all.iter();
            all.any(|matcher| matcher.is_on_label(own.label()) && matcher.holds_only_own(own))
        };
        self.confined_selectors += usize::from(self.matchers.iter().all(confines));
        Ok(())
    }

    fn word(&mut self) -> Result<(), Refusal> {
        let word = self.cursor.word();
        let is_aggregation = is_keyword(word, AGGREGATIONS);
        if is_aggregation && self.grouping()? {
            self.cursor.skip_gap();
            if self.cursor.peek() != Some(b'(') {
                return Err(self.cursor.malformed(Problem::LeftParenthesis));
            }
            self.open(word, false);
            return Ok(());
        }
        self.cursor.skip_gap();
        if self.cursor.peek() != Some(b'(') || is_keyword(word, OPERATORS) {
            return Ok(());
        }
        if is_aggregation {
            self.open(word, true);
        } else if is_keyword(word, &["on", "ignoring"]) {
            let labels = self.labels()?;
            self.is_separate &= if is_keyword(word, &["on"]) {
                self.has_all_tenant_labels(&labels)
            } else {
                self.has_no_tenant_label(&labels)
            };
        } else if is_keyword(word, &["group_left", "group_right"]) {
            let labels = self.labels()?;
            self.is_separate &= self.has_no_tenant_label(&labels);
            self.written.are_copied |= !labels.is_empty();
            for label in labels {
                self.write(std::str::from_utf8(&label).ok());
            }
        } else {
            let is_separate = SEPARATE_FUNCTIONS.contains(&word);
            self.is_separate &= is_separate;
            if !is_separate && !MERGING_FUNCTIONS.contains(&word) {
                self.written.labels = None;
            }
            self.open(word, false);
        }
        Ok(())
    }

    /// Moves over a `by (…)` or `without (…)` if one is next.
    fn grouping(&mut self) -> Result<bool, Refusal> {
        if self.cursor.take_called_keyword(&["by"]) {
            let labels = self.labels()?;
            self.is_separate &= self.has_all_tenant_labels(&labels);
        } else if self.cursor.take_called_keyword(&["without"]) {
            let labels = self.labels()?;
            self.is_separate &= self.has_no_tenant_label(&labels);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn open(&mut self, name: &'q str, is_ungrouped: bool) {
        self.cursor.advance(1);
        self.calls.push(Call {
            name,
            argument: 0,
            is_ungrouped,
        });
    }

    fn close(&mut self) -> Result<(), Refusal> {
        self.cursor.advance(1);
        if self.calls.pop().is_some_and(|call| call.is_ungrouped) {
            self.is_separate &= self.grouping()?;
        }
        Ok(())
    }

    /// The names in a list of labels.
    fn labels(&mut self) -> Result<Vec<Cow<'q, [u8]>>, Refusal> {
        let mut labels = Vec::new();
        self.cursor.skip_gap();
        self.cursor.take(b'(');
        loop {
            self.cursor.skip_gap();
            match self.cursor.peek() {
                Some(b'"' | b'\'' | b'`') => {
                    let name = unquote(self.cursor.string()?);
                    labels.push(name.ok_or_else(|| self.cursor.malformed(Problem::Labels))?);
                }
                Some(byte) if is_word_start(byte) => {
                    labels.push(Cow::Borrowed(self.cursor.word().as_bytes()));
                }
                Some(b',') => self.cursor.advance(1),
                Some(b')') => {
                    self.cursor.advance(1);
                    return Ok(labels);
                }
                _ => return Err(self.cursor.malformed(Problem::Labels)),
            }
        }
    }

    fn has_all_tenant_labels(&self, labels: &[Cow<'_, [u8]>]) -> bool {
        let is_listed = |own: &LabelMatcher| labels.iter().any(|l| **l == *own.label().as_bytes());
        self.matchers.iter().all(is_listed)
    }

    fn has_no_tenant_label(&self, labels: &[Cow<'_, [u8]>]) -> bool {
        let is_listed = |own: &LabelMatcher| labels.iter().any(|l| **l == *own.label().as_bytes());
        !self.matchers.iter().any(is_listed)
    }
}

/// Whether the matcher is on a tenant label, or on the `exported_` copy of it that scraping makes
/// (`scrape/target.go`).
fn is_on_label_or_copy(matcher: &Matcher<'_>, own: &LabelMatcher) -> bool {
    matcher.is_on_label(own.label())
        || matcher.name().is_some_and(|name| {
            let mut name = &*name;
            while let Some(rest) = name.strip_prefix(b"exported_") {
                name = rest;
                if name == own.label().as_bytes() {
                    return true;
                }
            }
            false
        })
}

fn is_label_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_part) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a regular expression, a replacement or a separator consists only of punctuation, groups
/// (`$1`, `${1}`), classes (`\d`, `\w`, `\s`) and the ranges `a-z`, `A-Z` and `0-9`.
fn holds_no_word(pattern: &str) -> bool {
    let mut rest = pattern.as_bytes();
    loop {
        rest = match rest {
            [] => return true,
            [b'$', b'0'..=b'9', after @ ..]
            | [b'$', b'{', b'0'..=b'9', b'}', after @ ..]
            | [b'\\', b'd' | b'D' | b'w' | b'W' | b's' | b'S', after @ ..]
            | [b'a', b'-', b'z', after @ ..]
            | [b'A', b'-', b'Z', after @ ..]
            | [b'0', b'-', b'9', after @ ..] => after,
            [byte, after @ ..] if byte.is_ascii_punctuation() || *byte == b' ' => after,
            _ => return false,
        }
    }
}
