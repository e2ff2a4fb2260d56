//! What a check found, and the report of all.

use std::fmt::Display;
use std::io::Write as _;

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
        print(&format!("{ok} ok, {warn} warn, {fail} fail, {skip} skip"));
    }
}

/// The findings about one upstream or issuer.
pub(super) struct Chapter<'r> {
    report: &'r mut Report,
    subject: &'r str,
}

impl Chapter<'_> {
    /// One line, and one with the fix below it.
    pub(super) fn add(&mut self, check: &str, finding: Finding) {
        let (word, count) = {
            let [ok, warn, fail, skip] = &mut self.report.counts;
            match finding.verdict {
                Verdict::Ok => ("ok", ok),
                Verdict::Warn => ("warn", warn),
                Verdict::Fail => ("fail", fail),
                Verdict::Skip => ("skip", skip),
            }
        };
        *count += 1;
        let subject = self.subject;
        print(&format!("{word:5} {subject}: {check}: {}", finding.text));
        if let Some(fix) = finding.fix {
            print(&format!("      fix: {fix}"));
        }
    }
}

/// Whoever closed the pipe has read enough. Texts may come from elsewhere, so a terminal gets no
/// control characters.
fn print(line: &str) {
    let line = line.replace(|c: char| c.is_control(), "\u{fffd}");
    let _ = writeln!(std::io::stdout(), "{line}");
}
