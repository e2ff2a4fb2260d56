//! `partywall completions` and `partywall man`: what clap knows of the command line, for shells and
//! readers.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

/// Shown below `--help`.
pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  partywall completions bash > /etc/bash_completion.d/partywall
  partywall completions zsh > ~/.zfunc/_partywall
  partywall completions fish > ~/.config/fish/completions/partywall.fish";

/// Shown below `--help`.
pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  partywall man | man -l -
  partywall man > /usr/local/share/man/man1/partywall.1";

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// Which shell.
    #[arg(value_enum)]
    shell: Known,
}

/// The shells whose completions are tested.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

impl From<Known> for Shell {
    fn from(known: Known) -> Self {
        match known {
            Known::Bash => Self::Bash,
            Known::Zsh => Self::Zsh,
            Known::Fish => Self::Fish,
        }
    }
}

pub(super) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut page = Vec::new();
    clap_complete::generate(
        Shell::from(args.shell),
        &mut Cli::command(),
        "partywall",
        &mut page,
    );
    write(&page)
}

/// One page: the command, then each of its commands.
pub(super) fn man() -> ExitCode {
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    let mut page = Vec::new();
    let written = Man::new(whole.clone()).render(&mut page).and_then(|()| {
        whole
            .get_subcommands()
            .try_for_each(|command| section(command, &mut page))
    });
    match written {
        Ok(()) => write(&page),
        // Writing to memory does not fail.
        Err(_) => ExitCode::FAILURE,
    }
}

fn section(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let name = command.get_name().to_uppercase();
    writeln!(page, ".SH \"PARTYWALL {name}\"")?;
    let man = Man::new(command.clone());
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    man.render_extra_section(page)
}

fn write(page: &[u8]) -> ExitCode {
    match std::io::stdout().write_all(page) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has read enough.
        Err(_) => ExitCode::FAILURE,
    }
}
