//! `partywall demo`: a real Prometheus with two tenants' data, a Tempo or a recorded answer of one,
//! Partywall in front of both, and requests that show what each tenant sees. Everything is removed at
//! the end.

mod data;
mod http;
mod stage;
mod tour;
mod traces;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use stage::Stage;
use traces::Traces;

/// Shown below `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  partywall demo
  TEMPO_URL=http://127.0.0.1:3200 partywall demo
  partywall demo --check";

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Send the requests, check their answers, and stop. Exits with 1 if an answer is wrong.
    #[arg(long)]
    check: bool,
}

/// Why the demo cannot go on, as a text for the user.
type Failure = String;

#[allow(clippy::print_stderr)] // A command says on standard error why it failed.
pub(super) fn run(args: &DemoArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(cause) => {
            eprintln!("partywall demo: cannot start: {cause}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(until_stopped(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("partywall demo: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo until it ends or a signal arrives. In both cases everything that was started is
/// dropped, and so stopped, before this returns.
async fn until_stopped(args: &DemoArgs) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|cause| format!("cannot listen for signals: {cause}"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    tokio::select! {
        result = run_demo(args) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

#[allow(clippy::print_stdout)] // Printing is the demo's purpose.
async fn run_demo(args: &DemoArgs) -> Result<(), Failure> {
    let (prometheus, promtool) = (find_tool("prometheus")?, find_tool("promtool")?);
    let mut stage = Stage::open()?;
    println!("Starting a Prometheus that holds the series of two tenants …");
    let store = stage.start_prometheus(&prometheus, &promtool).await?;
    let traces = Traces::open().await?;
    let proxy = stage.start_partywall(&store, traces.url()).await?;
    tour::print_addresses(&stage, &store, &proxy);
    tour::run_queries(&store, &proxy).await?;
    traces.show(&proxy).await?;
    if args.check {
        println!("\nAll answers are as expected.");
        return Ok(());
    }
    println!("\nRunning until Ctrl-C.");
    stage.until_one_ends().await
}

fn find_tool(name: &str) -> Result<PathBuf, Failure> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&paths).map(|dir| dir.join(name));
    candidates.find(|file| file.is_file()).ok_or_else(|| {
        format!(
            "`{name}` is not in PATH. The demo runs a real Prometheus; install it, for example \
             with\n\n    apt-get install -y prometheus\n"
        )
    })
}
