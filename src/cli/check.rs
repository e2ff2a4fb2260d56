//! `partywall check`

use std::path::Path;
use std::process::ExitCode;

use crate::config;

/// Shown below `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  partywall check --config partywall.yaml";

#[allow(clippy::print_stdout, clippy::print_stderr)] // What the command is for.
pub(super) fn run(path: &Path) -> ExitCode {
    match config::load(path, &config::OsAccess) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprintln!("{warning}");
            }
            println!("{}: valid", path.display());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::FAILURE
        }
    }
}
