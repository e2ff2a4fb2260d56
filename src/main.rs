//! The `partywall` command; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    partywall::cli::run()
}
