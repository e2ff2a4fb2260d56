//! Programs that may be missing.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::repository::root;

/// A program that `.ci/deploy-tools` installs, or that is in `PATH`. Without it the caller leaves
/// its check out: this says so where a passing test's own output is not shown.
pub fn find(name: &str, unchecked: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = root().join("target/deploy-tools/bin");
    let found = std::iter::once(own)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        missing(name, unchecked);
    }
    found
}

/// Says what is not checked for want of a program, or fails where all must be.
pub fn missing(name: &str, unchecked: &str) {
    let text = format!("{name} is missing, so {unchecked}; .ci/deploy-tools installs it");
    let required = std::env::var_os("PARTYWALL_DEPLOY_TOOLS").is_some_and(|is| is == "required");
    assert!(!required, "{text}");
    writeln!(std::io::stderr(), "NOT CHECKED: {text}").unwrap();
}

/// Runs it; fails with all it said unless it succeeds.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|cause| panic!("{command:?}: {cause}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
