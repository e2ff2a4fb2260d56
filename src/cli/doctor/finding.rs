//! The result of a check, and the report of all.

use std::fmt::Display;
use std::io::Write as _;

use crate::cli::terminal::{self, GREEN, RED, YELLOW};

/// The result of a check.
#[derive(Debug)]
pub(super) struct Finding {
    verdict: Verdict,
    text: String,
    /// How to fix it.
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// It works, but not as it should, or not for all.
    Warn,
    /// Tenants are not kept apart, or not served.
    Fail,
    /// The check could not be made.
    Skip,
}

impl Finding {
    pub(super) fn ok(text: impl Display) -> Self {
        Self::new(Verdict::Ok, text, None)
    }

    pub(super) fn warn(text: impl Display, fix: impl Display) -> Self {
        Self::new(Verdict::Warn, text, Some(fix.to_string()))
    }

    pub(super) fn fail(text: impl Display, fix: impl Display) -> Self {
        Self::new(Verdict::Fail, text, Some(fix.to_string()))
    }

    pub(super) fn skip(text: impl Display) -> Self {
        Self::new(Verdict::Skip, text, None)
    }

    fn new(verdict: Verdict, text: impl Display, fix: Option<String>) -> Self {
        let text = text.to_string();
        Self { verdict, text, fix }
    }
}

/// Counts findings, and prints each at once.
#[derive(Default)]
pub(super) struct Report {
    counts: [usize; 4],
}

impl Report {
    /// The section of the report about one upstream or issuer.
    pub(super) fn section<'r>(&'r mut self, subject: &'r str) -> Section<'r> {
        Section {
            report: self,
            subject,
        }
    }

    pub(super) fn failed(&self) -> usize {
        let [_, _, failed, _] = self.counts;
        failed
    }

    pub(super) fn end(&self) {
        let [ok, warn, fail, skip] = self.counts;
        print(
            "",
            &format!("{ok} ok, {warn} warn, {fail} fail, {skip} skip"),
        );
    }
}

/// The findings about one upstream or issuer.
pub(super) struct Section<'r> {
    report: &'r mut Report,
    subject: &'r str,
}

impl Section<'_> {
    /// Makes a check, showing progress. A check that could not be made is skipped and is not a
    /// failure.
    pub(super) async fn check(
        &mut self,
        check: &str,
        work: impl Future<Output = Result<Finding, String>>,
    ) {
        let found = self.waiting(check, work).await;
        let skipped = |error| Finding::skip(format!("could not be checked: {error}"));
        self.add(check, found.unwrap_or_else(skipped));
    }

    /// Shows progress while a check runs.
    pub(super) async fn waiting<T>(&self, check: &str, work: impl Future<Output = T>) -> T {
        terminal::while_waiting(&format!("{}: {check}", self.subject), work).await
    }

    /// Prints one line, and one with the fix below it.
    pub(super) fn add(&mut self, check: &str, finding: Finding) {
        let [ok, warn, fail, skip] = &mut self.report.counts;
        let (word, count) = match finding.verdict {
            Verdict::Ok => (terminal::coloured("ok   ", GREEN), ok),
            Verdict::Warn => (terminal::coloured("warn ", YELLOW), warn),
            Verdict::Fail => (terminal::coloured("fail ", RED), fail),
            Verdict::Skip => ("skip ".to_owned(), skip),
        };
        *count += 1;
        let (subject, text) = (self.subject, &finding.text);
        print(&word, &format!(" {subject}: {check}: {text}"));
        if let Some(fix) = finding.fix {
            print("", &format!("      fix: {fix}"));
        }
    }
}

/// Errors are ignored: the reader has closed the pipe. Control characters are replaced except in
/// `word`, since the texts may come from elsewhere and must not control a terminal.
fn print(word: &str, rest: &str) {
    let rest = rest.replace(|c: char| c.is_control(), "\u{fffd}");
    let _ = writeln!(std::io::stdout(), "{word}{rest}");
}
