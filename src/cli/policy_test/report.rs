//! Results of the tests, on standard output.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::terminal::{self, GREEN, RED, YELLOW};
use crate::config::policies::{PolicyTest, RequestTest};

/// Counts results, and prints each at once.
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

    /// Prints one line, and the failures below it.
    pub(super) fn add(&mut self, test: &PolicyTest, failures: &[String]) {
        if failures.is_empty() {
            self.passed += 1;
            let ok = terminal::coloured("ok", GREEN);
            return print(&ok, &format!("    {}", test.name));
        }
        self.failed += 1;
        let (file, at) = (self.file.display(), test.at);
        let test = format!("  {}  ({file}:{}:{})", test.name, at.line, at.column);
        print(&terminal::coloured("FAIL", RED), &test);
        for line in failures.iter().flat_map(|failure| failure.lines()) {
            print("", &format!("      {line}"));
        }
    }

    /// Adds the request to the text of its failure.
    pub(super) fn failed_request(&self, test: &RequestTest, failure: &str) -> String {
        let asked = [&test.request, &test.query];
        let asked: Vec<&str> = asked.into_iter().flatten().map(String::as_str).collect();
        let (file, at) = (self.file.display(), test.at);
        let asked = asked.join(" ");
        format!("{asked}  ({file}:{}:{})\n{failure}", at.line, at.column)
    }

    pub(super) fn end(&self) {
        let counts = format!("{} passed, {} failed", self.passed, self.failed);
        print("", &counts);
    }
}

/// Prints a warning about a config, whatever its tests say.
pub(super) fn warn(config: &Path, warning: &dyn fmt::Display) {
    let warn = terminal::coloured("warn", YELLOW);
    print(&warn, &format!("  {}: {warning}", config.display()));
}

/// Errors are ignored: the reader has closed the pipe. Control characters are replaced except in
/// `word`, since the texts may come from elsewhere and must not control a terminal.
fn print(word: &str, rest: &str) {
    let rest = rest.replace(|c: char| c.is_control(), "\u{fffd}");
    let _ = writeln!(std::io::stdout(), "{word}{rest}");
}
