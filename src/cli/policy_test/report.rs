//! What the tests say, on standard output.

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::config::policies::{PolicyTest, RequestTest};

/// Counts, and prints as it goes.
pub(super) struct Report {
    file: PathBuf,
    passed: usize,
    failed: usize,
}

impl Report {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            passed: 0,
            failed: 0,
        }
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// One line, and what is wrong below it.
    pub(super) fn tested(&mut self, test: &PolicyTest, failures: &[String]) {
        if failures.is_empty() {
            self.passed += 1;
            return print(&format!("ok    {}", test.name));
        }
        self.failed += 1;
        let (file, at) = (self.file.display(), test.at);
        print(&format!(
            "FAIL  {}  ({file}:{}:{})",
            test.name, at.line, at.column
        ));
        for line in failures.iter().flat_map(|failure| failure.lines()) {
            print(&format!("      {line}"));
        }
    }

    /// A failure with the request it is about.
    pub(super) fn of_request(&self, test: &RequestTest, failure: &str) -> String {
        let asked = [&test.request, &test.query];
        let asked: Vec<&str> = asked.into_iter().flatten().map(String::as_str).collect();
        let (file, at) = (self.file.display(), test.at);
        let asked = asked.join(" ");
        format!("{asked}  ({file}:{}:{})\n{failure}", at.line, at.column)
    }

    pub(super) fn end(&self) {
        print(&format!("{} passed, {} failed", self.passed, self.failed));
    }
}

/// What holds of a config, whatever its tests say.
pub(super) fn warn(config: &Path, warning: &dyn Display) {
    print(&format!("warn  {}: {warning}", config.display()));
}

/// Whoever closed the pipe has read enough. Texts may come from elsewhere, so a terminal gets no
/// control characters.
fn print(line: &dyn Display) {
    let line = line.to_string();
    let line = line.replace(|c: char| c.is_control(), "\u{fffd}");
    let _ = writeln!(std::io::stdout(), "{line}");
}
