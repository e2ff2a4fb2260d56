//! An explanation as text.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cli::terminal::{GREEN, PLAIN};
use crate::proxy::explain::{
    CallerView, Dimension, Explanation, KeyView, Outcome, Parameter, Refused, Sent,
};

/// The column at which the texts start, after their names.
const INDENT: usize = 10;

/// Shows what was inserted in colour, or marks it underneath.
pub(super) fn page(explanation: &Explanation, colours: bool) -> String {
    let mut page = Page {
        out: String::new(),
        colours,
    };
    page.line("request", &explanation.request);
    if let Some(caller) = &explanation.caller {
        page.line("caller", &describe_caller(caller));
    }
    for (index, dimension) in explanation.dimensions.iter().enumerate() {
        page.dimension(dimension, index == 0);
    }
    if let Some(route) = &explanation.route {
        let to = match (&route.upstream, route.clusters.as_slice()) {
            (Some(upstream), _) => format!(", to the upstream `{upstream}`"),
            (None, []) => String::new(),
            (None, [one]) => format!(", to the cluster `{one}`"),
            (None, all) => format!(", to each of the clusters `{}`", all.join("`, `")),
        };
        let text = format!("{}{to}", route.name);
        page.line("route", &text);
        if let Some(until) = &route.shadow_until {
            let text = format!(
                "nothing is enforced there until {until}: requests of every client are\nforwarded \
                 unmodified. What follows is what enforcement will do"
            );
            page.line("SHADOW", &text);
        }
    }
    match &explanation.outcome {
        Outcome::Sent(sent) => page.sent(sent),
        Outcome::Refused(refused) => page.refused(refused),
        Outcome::Answered { answer } => page.line("answered", answer),
        Outcome::Undecided { why } => page.line("undecided", why),
    }
    page.out
}

struct Page {
    out: String,
    colours: bool,
}

impl Page {
    /// Prints a name and a text, whose further lines are aligned below the first.
    fn line(&mut self, name: &str, text: &str) {
        let mut name = name;
        for line in text.split('\n') {
            let line = visible(line);
            self.out
                .push_str(format!("{name:INDENT$}{line}").trim_end());
            self.out.push('\n');
            name = "";
        }
    }

    fn dimension(&mut self, dimension: &Dimension, is_first: bool) {
        let tenants = match dimension.tenants.as_slice() {
            _ if dimension.all_tenants && dimension.of_clusters => "all".to_owned(),
            _ if dimension.all_tenants => {
                "all: no restriction, and every request is audited".into()
            }
            [] => "none".to_owned(),
            tenants => tenants.join(", "),
        };
        let label = dimension.label.as_ref().or(dimension.attribute.as_ref());
        match label {
            _ if dimension.of_clusters => self.line("clusters", &tenants),
            Some(label) if !is_first => self.line("and", &format!("{label}: {tenants}")),
            _ => self.line("tenants", &tenants),
        }
        for selector in &dimension.selectors {
            let of = label.map_or("", String::as_str);
            let text = format!(
                "{} has the data whose {of} {} \"{}\"",
                selector.tenant, selector.op, selector.value
            );
            self.line("", &text);
        }
        for conditions in &dimension.conditions {
            let text = format!(
                "{} has the data with {}",
                conditions.tenant, conditions.text
            );
            self.line("", &text);
        }
        if let (Some(rule), Some(grant)) = (dimension.rule, &dimension.grant) {
            let found = match dimension.values.as_slice() {
                [] => String::new(),
                values => format!(", with the values `{}`", values.join("`, `")),
            };
            let read_as = dimension.read_as.as_ref();
            let read_as = read_as.map_or_else(String::new, |form| format!(" (read as {form})"));
            let text = format!(
                "by rule {rule} of {}: {grant}{found}{read_as}",
                dimension.rules
            );
            self.line("", &text);
        }
        for (index, condition) in dimension.passed_over.iter().enumerate() {
            let text = format!("not by rule {}, which requires that {condition}", index + 1);
            self.line("", &text);
        }
    }

    fn sent(&mut self, sent: &Sent) {
        self.line("forwarded", &format!("{} {}", sent.method, sent.path));
        if let Some(id) = &sent.org_id {
            self.line("  header", &format!("X-Scope-OrgID: {id}"));
        }
        for parameter in &sent.parameters {
            self.parameter(parameter);
        }
        if !sent.dropped.is_empty() {
            self.line("dropped", &sent.dropped.join(", "));
        }
        self.line("answer", sent.answer);
    }

    fn parameter(&mut self, parameter: &Parameter) {
        let name = format!("  {}", parameter.name);
        if parameter.is_unmodified() {
            return self.line(&padded(&name), &parameter.sent);
        }
        let original = parameter.original.as_deref();
        self.line(&padded(&name), original.unwrap_or("(not given)"));
        let mut name = "      is  ";
        let mut start = 0;
        for line in parameter.sent.split('\n') {
            // Writing to a String cannot fail.
            let (line, marks) = self.marked(line, start, &parameter.inserted);
            start += line.len_of_text + 1;
            let _ = writeln!(self.out, "{name:INDENT$}{}", line.text);
            if !marks.trim().is_empty() {
                let _ = writeln!(self.out, "{:INDENT$}{}", "", marks.trim_end());
            }
            name = "";
        }
    }

    /// Renders a line that starts at byte `start` of the text, and the marks to print below it.
    fn marked(&self, line: &str, start: usize, ranges: &[(usize, usize)]) -> (Line, String) {
        let is_ours = |at: usize| ranges.iter().any(|(from, to)| (*from..*to).contains(&at));
        let (mut text, mut marks) = (String::new(), String::new());
        let mut in_colour = false;
        for (offset, c) in line.char_indices() {
            let ours = is_ours(start + offset);
            if self.colours && ours != in_colour {
                text.push_str(if ours { GREEN } else { PLAIN });
                in_colour = ours;
            }
            text.push(visible_char(c));
            marks.push(if ours { '^' } else { ' ' });
        }
        if in_colour {
            text.push_str(PLAIN);
        }
        if self.colours {
            marks.clear();
        }
        let line = Line {
            text,
            len_of_text: line.len(),
        };
        (line, marks)
    }

    fn refused(&mut self, refused: &Refused) {
        self.line("refused", &format!("{} {}", refused.status, refused.reason));
        self.line("", &refused.text);
        if let Some(to_allow) = &refused.to_allow {
            self.line("to permit", to_allow);
        }
    }
}

struct Line {
    text: String,
    /// Bytes of the line before control characters were replaced.
    len_of_text: usize,
}

/// Adds a space to a name that is too long for its column.
fn padded(name: &str) -> String {
    if name.chars().count() < INDENT {
        name.to_owned()
    } else {
        format!("{name} ")
    }
}

fn describe_caller(caller: &CallerView) -> String {
    let subject = caller.subject.as_deref().unwrap_or("(no subject)");
    let proof = match &caller.key {
        None => "claims as given, NOT VERIFIED".to_owned(),
        Some(KeyView {
            algorithm,
            id,
            source,
        }) => {
            let key = id.as_ref().map(|id| format!(", key `{id}`"));
            let key = key.unwrap_or_default();
            format!("token verified: {algorithm}{key}, keys from {source}")
        }
    };
    let expiry = caller.expires_at.map(|at| format!("; {}", expires(at)));
    format!(
        "`{subject}` of {}\n{proof}{}",
        caller.issuer,
        expiry.unwrap_or_default()
    )
}

fn expires(at: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let left = at.saturating_sub(now.unwrap_or(Duration::ZERO).as_secs());
    match left {
        0 => "expired, within the leeway".to_owned(),
        1..=119 => format!("expires in {left} s"),
        120..=7199 => format!("expires in {} min", left / 60),
        _ => format!("expires in {} h", left / 3600),
    }
}

/// Replaces control characters: texts come from tokens and requests and must not control a terminal.
fn visible(text: &str) -> String {
    text.chars().map(visible_char).collect()
}

fn visible_char(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(colours: bool) -> Page {
        Page {
            out: String::new(),
            colours,
        }
    }

    fn parameter() -> Parameter {
        Parameter {
            name: "query".to_owned(),
            original: Some("é +\nup".to_owned()),
            sent: "é{a} +\nup{a}".to_owned(),
            inserted: vec![(2, 5), (10, 13)],
        }
    }

    #[test]
    fn insertions_without_colours_are_marked_below_each_line() {
        let mut page = page(false);
        page.parameter(&parameter());
        let expected = "  query   é +\n          up\n      is  é{a} +\n           ^^^\n          \
                        up{a}\n            ^^^\n";
        assert_eq!(page.out, expected);
    }

    #[test]
    fn insertions_with_colours_are_coloured_and_not_marked() {
        let mut page = page(true);
        page.parameter(&parameter());
        assert!(
            page.out.contains("é\u{1b}[1;32m{a}\u{1b}[0m +"),
            "{}",
            page.out
        );
        assert!(!page.out.contains('^'));
    }

    #[test]
    fn control_characters_are_replaced() {
        let mut page = page(true);
        page.line("tenants", "a\u{1b}[31mb");
        assert!(!page.out.contains('\u{1b}'), "{:?}", page.out);
    }
}
