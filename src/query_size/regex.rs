//! The cost of repetitions in a regular expression.
//!
//! Go compiles `x{n}` to `n` copies of `x`, up to 3 million instructions in one expression. The time
//! to match a value grows with the number of instructions that are active at once: those after `*`,
//! `+`, `?` and `{n,m}`. Measured with Go 1.27 on a value of 40 characters: 15 ms for 2000 times
//! `.*`, 115 ms for 30,000 times `a?`, but 0.6 ms for a list of 8000 names. A store has thousands of
//! values to match. So copies and repetitions count; the rest is bounded by the expression's length.
//!
//! Source: Go's `regexp/syntax/parse.go` and RE2's syntax page. Expressions that Go refuses need not
//! be counted, because it refuses them before it compiles them.

use super::literal::unquote;

/// Go's `maxHeight`: it refuses expressions with more nested groups.
const MAX_GROUPS: usize = 1000;
/// Go refuses larger counts in a repetition, as RE2 does.
const MAX_COUNT: usize = 1000;
/// The cost of each `*`, `+`, `?` and optional copy.
const WEIGHT: usize = 10;
/// This many of them are free: `.+` and `.*name.*` are in most queries.
const FREE: usize = 4;

/// The cost of repetitions in the expression in a quoted string of PromQL or TraceQL; 0 if the store
/// would reject the string.
pub(crate) fn repetitions_of_literal(quoted: &str) -> usize {
    // An escape may be anything.
    if !quoted
        .bytes()
        .any(|byte| byte == b'\\' || is_repetition(byte))
    {
        return 0;
    }
    unquote(quoted).map_or(0, |expression| repetitions(&expression))
}

/// The number of atoms that expanding the expression adds, plus the weight of its repetitions.
pub(crate) fn repetitions(expression: &[u8]) -> usize {
    if !expression.iter().copied().any(is_repetition) {
        return 0;
    }
    let mut reader = Reader {
        rest: expression,
        ..Reader::default()
    };
    while let Some((&byte, rest)) = reader.rest.split_first() {
        reader.rest = rest;
        if !reader.atom(byte) {
            break;
        }
    }
    reader.added
}

fn is_repetition(byte: u8) -> bool {
    matches!(byte, b'{' | b'*' | b'+' | b'?')
}

#[derive(Default)]
struct Reader<'e> {
    rest: &'e [u8],
    /// The sizes of the groups around the innermost.
    outer: Vec<usize>,
    /// The size of the innermost group so far.
    group: usize,
    /// The size of what a repetition here would repeat.
    last: usize,
    /// How many repetitions were free so far.
    free: usize,
    added: usize,
}

impl Reader<'_> {
    /// Reads the atom or repetition that starts with this byte; false if Go would refuse it.
    fn atom(&mut self, byte: u8) -> bool {
        match byte {
            b'\\' => self.escape(),
            b'[' => {
                self.class();
                self.push(1);
            }
            b'(' => {
                if self.outer.len() == MAX_GROUPS {
                    return false;
                }
                self.outer.push(std::mem::take(&mut self.group));
                self.last = 0;
                // The `?` of `(?:` and of flags.
                self.rest = self.rest.strip_prefix(b"?").unwrap_or(self.rest);
            }
            b')' => {
                let inside = self.group;
                self.group = self.outer.pop().unwrap_or_default();
                self.push(inside.saturating_add(1));
            }
            b'|' => {
                self.push(1);
                self.last = 0;
            }
            b'*' | b'+' | b'?' => {
                let weight = self.weight(1);
                self.add(weight);
            }
            b'{' => match count(self.rest) {
                Some(count) => {
                    self.rest = self.rest.get(count.length..).unwrap_or_default();
                    let copies = self.last.saturating_mul(count.most.saturating_sub(1));
                    let weight = self.weight(count.optional);
                    self.add(copies.saturating_add(weight));
                }
                None => self.push(1),
            },
            _ => self.push(1),
        }
        true
    }

    fn push(&mut self, size: usize) {
        self.group = self.group.saturating_add(size);
        self.last = size;
    }

    /// Adds to the size of the last atom, and of the group around it.
    fn add(&mut self, size: usize) {
        self.added = self.added.saturating_add(size);
        self.group = self.group.saturating_add(size);
        self.last = self.last.saturating_add(size);
    }

    /// The weight of this many repetitions or optional copies.
    fn weight(&mut self, optional: usize) -> usize {
        let free = optional.min(FREE - self.free);
        self.free += free;
        (optional - free).saturating_mul(WEIGHT)
    }

    /// After a backslash.
    fn escape(&mut self) {
        let Some((&kind, rest)) = self.rest.split_first() else {
            return;
        };
        self.rest = rest;
        match kind {
            b'Q' => {
                let end = memchr::memmem::find(rest, b"\\E");
                let quoted = end.unwrap_or(rest.len());
                for _ in 0..quoted {
                    self.push(1);
                }
                let after = end.map_or(rest.len(), |end| end + 2);
                self.rest = rest.get(after..).unwrap_or_default();
            }
            // `\pN`, `\p{Greek}`, `\x41`, `\x{10ffff}`.
            b'p' | b'P' | b'x' => {
                if rest.first() == Some(&b'{') {
                    let end = memchr::memchr(b'}', rest).map_or(rest.len(), |end| end + 1);
                    self.rest = rest.get(end..).unwrap_or_default();
                }
                self.push(1);
            }
            _ => self.push(1),
        }
    }

    /// Moves from after the `[` of a class to after its `]`.
    fn class(&mut self) {
        let mut rest = self.rest;
        rest = rest.strip_prefix(b"^").unwrap_or(rest);
        rest = rest.strip_prefix(b"]").unwrap_or(rest);
        while let Some((&byte, after)) = rest.split_first() {
            rest = match byte {
                b']' => {
                    rest = after;
                    break;
                }
                b'\\' => after.get(1..).unwrap_or_default(),
                // `[:alpha:]`
                b'[' if after.first() == Some(&b':') => {
                    let end = memchr::memmem::find(after, b":]").map_or(0, |end| end + 2);
                    after.get(end..).unwrap_or_default()
                }
                _ => after,
            };
        }
        self.rest = rest;
    }
}

struct Count {
    most: usize,
    /// How many of these are optional, or 1 if there is no upper bound.
    optional: usize,
    /// The length after its `{`.
    length: usize,
}

/// The repetition whose `{` has been read; `None` if the brace is a literal one.
fn count(text: &[u8]) -> Option<Count> {
    let end = memchr::memchr(b'}', text.get(..16.min(text.len()))?)?;
    let inside = std::str::from_utf8(text.get(..end)?).ok()?;
    let number = |digits: &str| {
        let is_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_digits.then(|| digits.parse::<usize>().ok()).flatten()
    };
    let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
    let least = number(least)?;
    let (most, optional) = if most.is_empty() {
        (least, 1)
    } else {
        let most = number(most)?;
        (most.max(least), most.saturating_sub(least))
    };
    (most <= MAX_COUNT).then_some(Count {
        most,
        optional,
        length: end + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_counts_what_it_repeats() {
        for (expression, added) in [
            ("", 0),
            ("abc", 0),
            ("a{3}", 2),
            ("ba{3}", 2),
            ("a{2,5}", 4),
            ("a{5,}", 4),
            ("a{0}", 0),
            ("a{1}", 0),
            ("[a-z0-9]{10}", 9),
            ("[]{5}]{3}", 2),
            ("[^]{5}]{3}", 2),
            ("[[:alpha:]{9}]{3}", 2),
            ("[\\]{5}]{3}", 2),
            (r"\d{4}-\d{2}", 4),
            (r"\({4}", 3),
            (r"\p{Greek}{4}", 3),
            (r"\x{41}{4}", 3),
            (r"\Q(a){5}\E{3}", 2),
            // A group is as large as what is in it, and itself.
            ("(ab){3}", 6),
            ("(?:ab|c){3}", 12),
            ("(a{3}){4}", 2 + 3 * 4),
            ("x(ab){3}y", 6),
            ("a+{3}", 2),
            // What may repeat, after the first four.
            (".*a.*b.+c?", 0),
            (".*a.*b.+c?d*", 10),
            ("(?:a)(?i:b)(?P<n>c)", 0),
            ("a{1,5}", 4),
            ("a{1,6}", 15),
            ("a{2,}b{2,}c{2,}d{2,}e{2,}", 15),
            ("(a?a?a?a?a?){3}", 10 + 2 * 16),
            // No repetition, or one that Go refuses.
            ("a{", 0),
            ("a{b}", 0),
            ("a{,3}", 0),
            ("a{1001}", 0),
            ("a{+3}", 0),
            ("{{3}}", 2),
        ] {
            assert_eq!(repetitions(expression.as_bytes()), added, "{expression}");
        }
    }

    #[test]
    fn escape_with_braces_does_not_hide_a_repetition() {
        for quoted in [r#""a{9}""#, r#""a\x7b9}""#, r#""a\1739\175""#, "`a{9}`"] {
            assert_eq!(repetitions_of_literal(quoted), 8, "{quoted}");
        }
        assert_eq!(repetitions_of_literal(r"`a\x7b9}`"), 0);
        assert_eq!(repetitions_of_literal(r#""\q{9}""#), 0);
    }

    #[test]
    fn groups_nested_deeper_than_go_allows_are_not_counted() {
        let deep = |groups: usize| {
            let expression = format!("{}a{}{{2}}", "(".repeat(groups), ")".repeat(groups));
            repetitions(expression.as_bytes())
        };
        assert_eq!(deep(3), 4);
        assert_eq!(deep(1000), 1001);
        assert_eq!(deep(100_000), 0);
    }
}
