//! The command line; one file a command.

mod check;
mod demo;
mod explain;
mod policy_test;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Keeps tenants apart in front of one shared Thanos or Prometheus.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM or Ctrl-C.
    Serve(ConfigArgs),
    /// Check a config file: prints every error with its line, exits 1 if there is one.
    Check(ConfigArgs),
    /// Say what would become of a request, and why: who asks, with which tenants, what is sent on
    /// in its place, or why it is refused and what would allow it. Nothing is sent.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Run a file of policy tests: who has which tenants, and what becomes of requests. Nobody is
    /// contacted.
    #[command(after_help = policy_test::EXAMPLES)]
    Test(policy_test::TestArgs),
    /// Show it at work: a real Prometheus with two tenants' data behind the proxy.
    Demo(demo::DemoArgs),
}

#[derive(Args)]
struct ConfigArgs {
    /// The YAML config file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command that the process's arguments name.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args.config),
        Command::Check(args) => check::run(&args.config),
        Command::Demo(args) => demo::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Test(args) => policy_test::run(&args),
    }
}

/// Runs what a command waits for.
fn on_a_small_runtime<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map(|runtime| runtime.block_on(work))
        .map_err(|error| format!("cannot start the runtime: {error}"))
}
