//! The command line; one file a command.

mod check;
mod demo;
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
    }
}
