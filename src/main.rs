//! The `partywall` command; all it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    partywall::cli::run()
}
