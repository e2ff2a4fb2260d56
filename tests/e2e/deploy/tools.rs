//! Programs that may be missing.

use std::path::PathBuf;
use std::process::Command;

use super::repository::root;
use crate::kit::evidence;

/// A program that `.ci/deploy-tools` installs, or that is in `PATH`.
pub fn find(name: &str, unchecked: &str) -> Option<PathBuf> {
    let own = root().join("target/deploy-tools/bin").join(name);
    let found = if own.is_file() {
        Some(own)
    } else {
        evidence::in_path(name)
    };
    if found.is_none() {
        missing(name, unchecked);
    }
    found
}

/// As [`evidence::missing`]; fails everywhere once `.ci/deploy-tools` has run.
pub fn missing(name: &str, unchecked: &str) {
    let folder = root().join("target/deploy-tools");
    assert!(
        !folder.exists(),
        "{} has no {name}: remove it and run .ci/deploy-tools again",
        folder.display()
    );
    let remedy = format!("run .ci/deploy-tools, or {unchecked}");
    evidence::missing(name, &remedy);
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
