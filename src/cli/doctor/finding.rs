//! What a check found, and the report of all.

use std::fmt::Display;
use std::io::Write as _;

use crate::cli::terminal::{self, GREEN, RED, YELLOW};

/// What a check found.
#[derive(Debug)]
pub(super) struct Finding {
    verdict: Verdict,
    text: String,
    /// What to do about it.
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// It works, but not as it should, or not for all.
    Warn,
    /// Tenants are not kept apart, or not served.
    Fail,
    /// It could not be found out.
    Skip,
}

impl Finding {
    pub(super) fn ok(text: impl Display) -> Self {
        Self::of(Verdict::Ok, text, None)
    }

    pub(super) fn warn(text: impl Display, fix: impl Display) -> Self {
        Self::of(Verdict::Warn, text, Some(fix.to_string()))
    }

    pub(super) fn fail(text: impl Display, fix: impl Display) -> Self {
        Self::of(Verdict::Fail, text, Some(fix.to_string()))
    }

    pub(super) fn skip(text: impl Display) -> Self {
        Self::of(Verdict::Skip, text, None)
    }

    fn of(verdict: Verdict, text: impl Display, fix: Option<String>) -> Self {
        let text = text.to_string();
        Self { verdict, text, fix }
    }
}

/// Counts, and prints each finding as it comes.
#[derive(Default)]
pub(super) struct Report {
    counts: [usize; 4],
}

impl Report {
    /// The part about one upstream or issuer.
    pub(super) fn of<'r>(&'r mut self, subject: &'r str) -> Chapter<'r> {
        Chapter {
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
pub(super) struct Chapter<'r> {
    report: &'r mut Report,
    subject: &'r str,
}

impl Chapter<'_> {
    /// Makes a check, and says what it is while it lasts. One that could not be made is no fault
    /// that was found.
    pub(super) async fn check(
        &mut self,
        check: &str,
        work: impl Future<Output = Result<Finding, String>>,
    ) {
        let found = self.waiting(check, work).await;
        let skipped = |error| Finding::skip(format!("it could not be asked: {error}"));
        self.add(check, found.unwrap_or_else(skipped));
    }

    /// Says what is checked while it lasts.
    pub(super) async fn waiting<T>(&self, check: &str, work: impl Future<Output = T>) -> T {
        terminal::while_waiting(&format!("{}: {check}", self.subject), work).await
    }

    /// One line, and one with the fix below it.
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

/// Whoever closed the pipe has read enough. Texts may come from elsewhere, so a terminal gets no
/// control characters but those of our own first word.
fn print(word: &str, rest: &str) {
    let rest = rest.replace(|c: char| c.is_control(), "\u{fffd}");
    let _ = writeln!(std::io::stdout(), "{word}{rest}");
}
