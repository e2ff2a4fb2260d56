//! The command line; one file a command.

mod check;
mod demo;
mod doctor;
mod explain;
mod pages;
mod policy_test;
mod serve;
mod terminal;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Keeps tenants apart in front of one shared Thanos or Prometheus and one shared Tempo.
#[derive(Parser)]
#[command(name = "partywall", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Shown below `--help`.
const EXAMPLES: &str = "\
Examples:
  partywall demo
  partywall check --config partywall.yaml
  partywall explain --config partywall.yaml --token-file token 'sum(up)'
  partywall test policies.yaml
  partywall doctor --config partywall.yaml
  partywall serve --config partywall.yaml";

#[derive(Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM or Ctrl-C.
    #[command(after_help = serve::EXAMPLES)]
    Serve(ConfigArgs),
    /// Check a config file: print every error and warning with its line and column, and exit with 1
    /// if there is an error.
    #[command(after_help = check::EXAMPLES)]
    Check(ConfigArgs),
    /// Show what Partywall does with a request, and why: the caller, the tenants, and what is
    /// forwarded instead, or why the request is refused and which key would permit it. Nothing is
    /// sent to an upstream.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Run a file of tests of the config's rules: which tenants callers have, and what happens to
    /// their requests. No upstream and no issuer is contacted.
    #[command(after_help = policy_test::EXAMPLES)]
    Test(policy_test::TestArgs),
    /// Check what Partywall relies on at each upstream and issuer, and print what is wrong and how
    /// to fix it.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Start a demo: a real Prometheus with the data of two tenants, and Partywall in front of it.
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::DemoArgs),
    /// Write shell completions to standard output.
    #[command(after_help = pages::COMPLETIONS_EXAMPLES)]
    Completions(pages::CompletionsArgs),
    /// Write the manual page to standard output, in roff format.
    #[command(after_help = pages::MAN_EXAMPLES)]
    Man,
}

#[derive(Args)]
struct ConfigArgs {
    /// The YAML config file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command that is named on the command line.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args.config),
        Command::Check(args) => check::run(&args.config),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => pages::completions(&args),
        Command::Man => pages::man(),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Test(args) => policy_test::run(&args),
    }
}

/// Runs a future to its end on a single-threaded runtime.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map(|runtime| runtime.block_on(work))
        .map_err(|error| format!("cannot start the runtime: {error}"))
}

/// The most bytes of a token or of claims that are read.
const LONGEST_INPUT: u64 = 1024 * 1024;

/// Reads a file, a pipe or, for `-`, standard input.
fn read_input(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let done = if path == Path::new("-") {
        std::io::stdin()
            .take(LONGEST_INPUT)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST_INPUT).read_to_string(&mut text))
    };
    match done {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
    }
}
