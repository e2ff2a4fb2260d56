//! How far back a query reads by itself: its ranges and subqueries.

use super::cursor::{Cursor, is_keyword, is_word_start};
use super::duration::{parse_duration, parse_seconds};

/// The ranges and subqueries of a query, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookback {
    /// The longest range. A subquery adds its range to that of the expression inside. Offsets
    /// shift a range and do not lengthen it.
    pub range: i128,
    /// Range and step of every subquery that has its own step.
    pub subqueries: Vec<(i128, i128)>,
}

/// The lookback of a query that [`confine`](super::confine) has accepted. `None` if one of its
/// ranges is not a plain duration or number of seconds: Prometheus may be able to compute it.
///
/// If it is unclear what a bracket belongs to, the longer reading counts: a bracket applies to
/// everything before it up to an operator, a comma or an opening parenthesis.
pub fn lookback(query: &str) -> Option<Lookback> {
    let mut walk = Walk {
        cursor: Cursor::new(query),
        levels: vec![Level::default()],
        subqueries: Vec::new(),
    };
    while walk.token()? {}
    let range = walk.levels.iter().map(|level| level.longest).max()?;
    Some(Lookback {
        range,
        subqueries: walk.subqueries,
    })
}

struct Walk<'q> {
    cursor: Cursor<'q>,
    /// One for each open parenthesis, and one for the query.
    levels: Vec<Level>,
    subqueries: Vec<(i128, i128)>,
}

#[derive(Clone, Copy, Default)]
struct Level {
    longest: i128,
    /// The lookback of the operand that ends here.
    last: i128,
}

impl Walk<'_> {
    /// Moves over one token; false at the end.
    fn token(&mut self) -> Option<bool> {
        self.cursor.skip_gap();
        let Some(byte) = self.cursor.peek() else {
            return Some(false);
        };
        match byte {
            b'(' => {
                self.cursor.advance(1);
                self.levels.push(Level::default());
            }
            b')' => {
                self.cursor.advance(1);
                let inner = self.levels.pop()?.longest;
                let level = self.levels.last_mut()?;
                level.last = level.last.max(inner);
                level.longest = level.longest.max(level.last);
            }
            b'[' => self.bracket()?,
            b'{' => self.braces()?,
            b'"' | b'\'' | b'`' => {
                self.cursor.string().ok()?;
            }
            _ if is_word_start(byte) => {
                let word = self.cursor.word();
                if is_keyword(word, &["and", "or", "unless", "atan2"]) {
                    self.levels.last_mut()?.last = 0;
                }
            }
            _ if self.cursor.at_number() => {
                self.cursor.number();
            }
            _ => {
                // An operator, a comma, `@`.
                self.cursor.advance(1);
                self.levels.last_mut()?.last = 0;
            }
        }
        Some(true)
    }

    /// `[5m]`, `[1h:]`, `[1h:5m]`.
    fn bracket(&mut self) -> Option<()> {
        self.cursor.advance(1);
        let range = self.length()?;
        if self.cursor.take(b':') {
            self.cursor.skip_gap();
            if self.cursor.peek() != Some(b']') {
                let step = self.length()?;
                self.subqueries.push((range, step));
            }
        }
        if !self.cursor.take(b']') {
            return None;
        }
        let level = self.levels.last_mut()?;
        level.last = level.last.saturating_add(range);
        level.longest = level.longest.max(level.last);
        Some(())
    }

    /// A duration or number of seconds, with the white space around it.
    fn length(&mut self) -> Option<i128> {
        self.cursor.skip_gap();
        let number = self.cursor.number();
        let length = parse_duration(number).or_else(|| parse_seconds(number))?;
        self.cursor.skip_gap();
        Some(length)
    }

    fn braces(&mut self) -> Option<()> {
        self.cursor.advance(1);
        loop {
            self.cursor.skip_gap();
            match self.cursor.peek()? {
                b'}' => {
                    self.cursor.advance(1);
                    return Some(());
                }
                b'"' | b'\'' | b'`' => {
                    self.cursor.string().ok()?;
                }
                _ => self.cursor.advance(1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i128 = 86_400 * 1_000_000_000;

    fn days(query: &str) -> i128 {
        let range = lookback(query).unwrap_or_else(|| panic!("{query}")).range;
        assert_eq!(range % DAY, 0, "{query}");
        range / DAY
    }

    #[test]
    fn nested_ranges_add_up() {
        for (query, expected) in [
            ("up", 0),
            ("rate(x[2d])", 2),
            ("x{a=\"[9d]\", 'b'!~`}[9d]`}[2d]", 2),
            ("rate(x[2d]) / rate(y[3d]) - z[1d]", 3),
            ("x[2d] and y[3d] or z[1d] unless x[2d] atan2 y[1d]", 3),
            ("max_over_time(rate(x[2d])[3d:1h])", 5),
            ("max_over_time(max_over_time(rate(x[2d])[3d:])[4d:1h])", 9),
            ("sum(max_over_time(x[30d])) by (job) [30d:1h]", 60),
            ("sum by (job) (max_over_time(x[30d]))[30d:1h]", 60),
            ("(rate(x[2d]) + rate(y[3d]))[4d:1h]", 7),
            ("rate(x[2d]) + y[4d:1h]", 4),
            ("f(x[2d], y[3d])[1d:1h]", 4),
            ("x[2d] offset 9d", 2),
            ("x[2d] @ 1234 offset -9d", 2),
            ("rate(x[1d] @ end())[2d:1h]", 3),
            ("rate(x[1d] offset -5m)[2d:1h]", 3),
            ("rate(x[ 1d #[9d]\n ])[\n86400 : 5m ]", 2),
            ("rate(x[86400])", 1),
            ("rate(x[8.64e+4])", 1),
            ("rate(x[8640000e-2])", 1),
            ("sum(x) by (and)[3d:1h]", 3),
            ("and[3d]", 3),
            ("# [9d]\nup", 0),
            ("count_values('[9d]', x[2d])", 2),
            ("label_replace(x, \"[9d]\", `[9d]`, '', '')", 0),
        ] {
            assert_eq!(days(query), expected, "{query}");
        }
    }

    #[test]
    fn subquery_steps_are_found() {
        let found = lookback("a[1d:1h] + max_over_time(b[2d:1d])[1d:] - c[3d]").unwrap();
        assert_eq!(found.subqueries, [(DAY, DAY / 24), (2 * DAY, DAY)]);
    }

    #[test]
    fn computed_range_has_no_lookback() {
        for query in [
            "x[2*1d]",
            "x[step()]",
            "x[max_of(1d, 2d)]",
            "x[-1d]",
            "x[(1d)]",
            "x[1h:2*5m]",
            "x[0x10]",
            "x[1_000]",
            "x[1e30]",
            "x[5µs]",
            "x[5m",
            "x[]",
            "x)",
        ] {
            assert_eq!(lookback(query), None, "{query}");
        }
    }

    #[test]
    fn overlong_ranges_saturate() {
        let long = "9".repeat(60);
        let query = format!("f(f(x[{long}y])[{long}y:1h])[{long}y:1h]");
        assert_eq!(lookback(&query).unwrap().range, i128::MAX);
    }

    proptest! {
        #[test]
        fn arbitrary_text_terminates(text in "[a-c0-9dhms(){}\\[\\]:,+ \"'#`@-]{0,60}|\\PC{0,20}") {
            let _ = lookback(&text);
        }
    }
}
