//! Selectors and their braces.

use super::super::cursor::is_keyword;
use super::super::matcher::Matcher;
use super::super::refusal::{Problem, Refusal};
use super::{Expect, Form, Scanner, Site};

/// What the matchers in a selector's braces rule out.
pub(super) struct Braces {
    /// A matcher on a label other than `__name__` certainly rules out the empty value. Always false
    /// outside of `info()`, where only its second argument is asked for this.
    pub(super) rules_out_empty: bool,
    /// Each matcher, on whichever label, certainly is fulfilled by the empty value.
    is_unselective: bool,
}

impl<'q, F: FnMut(&Matcher<'q>) -> Result<(), Refusal>> Scanner<'q, F> {
    /// A whole `match[]` parameter.
    pub(super) fn lone_selector(&mut self) -> Result<(), Refusal> {
        self.cursor.skip_gap();
        let start = self.cursor.at();
        let name = self.cursor.word();
        let end = self.cursor.at();
        self.cursor.skip_gap();
        if self.cursor.peek() == Some(b'{') {
            if name.is_empty() {
                self.nameless()?;
            } else {
                self.braces()?;
            }
            self.cursor.skip_gap();
        } else if !name.is_empty() {
            self.site(end, Form::Bare)?;
        }
        self.nodes += 1;
        self.expect = Expect::Operator;
        let is_number = is_keyword(name, &["inf", "nan"]);
        if self.sites.is_empty() || is_number || self.cursor.peek().is_some() {
            return Err(self.cursor.malformed_at(start, Problem::NotOneSelector));
        }
        Ok(())
    }

    /// A selector without a name before its braces.
    pub(super) fn nameless(&mut self) -> Result<(), Refusal> {
        let start = self.cursor.at();
        if self.braces()?.is_unselective {
            self.unselective.get_or_insert(start);
        }
        Ok(())
    }

    /// The braces of a selector.
    pub(super) fn braces(&mut self) -> Result<Braces, Refusal> {
        self.cursor.advance(1);
        self.site(self.cursor.at(), Form::Braced)?;
        let in_info = self.open_info_here().is_some();
        let mut braces = Braces {
            rules_out_empty: false,
            is_unselective: true,
        };
        loop {
            self.cursor.skip_gap();
            if self.cursor.take(b'}') {
                return Ok(braces);
            }
            let start = self.cursor.at();
            if let Some(matcher) = Matcher::parse(&mut self.cursor)? {
                self.nodes += 1;
                self.content(matcher.value.len());
                (self.on_matcher)(&matcher)?;
                let matters = braces.is_unselective || (in_info && !braces.rules_out_empty);
                let matches_empty = matters.then(|| matcher.matches_empty()).flatten();
                if in_info && !matcher.is_on_label("__name__") {
                    braces.rules_out_empty |= matches_empty == Some(false);
                }
                braces.is_unselective &= matches_empty == Some(true);
            } else {
                // A name in quotes, which may be empty.
                let name = self.cursor.at() - start;
                braces.is_unselective &= name == "\"\"".len();
            }
            self.cursor.skip_gap();
            if !self.cursor.take(b',') && self.cursor.peek() != Some(b'}') {
                return Err(self.cursor.malformed(Problem::Matcher));
            }
        }
    }

    /// A string or number of so many bytes ends here.
    pub(super) fn content(&mut self, length: usize) {
        let end = self.cursor.at();
        self.contents.push(end - length..end);
    }

    pub(super) fn site(&mut self, at: usize, form: Form) -> Result<(), Refusal> {
        if self.sites.len() >= self.max_selectors {
            return Err(Refusal::TooManySelectors {
                limit: self.max_selectors,
            });
        }
        self.sites.push(Site {
            at,
            form,
            in_absent: self.open_absent.is_some(),
        });
        Ok(())
    }
}
