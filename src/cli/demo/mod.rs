//! `partywall demo`: a real Prometheus with two tenants' data and a Tempo, or a recorded answer of
//! one, the proxy in front of both, and the requests that show what each tenant sees. Leaves
//! nothing behind.

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
    /// Ask the requests, check their answers, and end: exits 1 if one is not as it should be.
    #[arg(long)]
    check: bool,
}

/// What a demo ends with when it cannot go on; its text is for the user.
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

/// The show, or a signal that ends it. Whichever it is, what was started is dropped and so
/// stopped before this returns.
async fn until_stopped(args: &DemoArgs) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|cause| format!("cannot listen for signals: {cause}"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    tokio::select! {
        result = show(args) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

#[allow(clippy::print_stdout)] // The show is what it prints.
async fn show(args: &DemoArgs) -> Result<(), Failure> {
    let (prometheus, promtool) = (find_tool("prometheus")?, find_tool("promtool")?);
    let mut stage = Stage::open()?;
    println!("Starting a Prometheus that holds the series of two tenants …");
    let store = stage.start_prometheus(&prometheus, &promtool).await?;
    let traces = Traces::open().await?;
    let proxy = stage.start_partywall(&store, traces.url()).await?;
    tour::print_programme(&stage, &store, &proxy);
    tour::ask_everything(&store, &proxy).await?;
    traces.show(&proxy).await?;
    if args.check {
        println!("\nAll as it should be.");
        return Ok(());
    }
    println!("\nRunning until Ctrl-C.");
    stage.until_one_ends().await
}

fn find_tool(name: &str) -> Result<PathBuf, Failure> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&paths).map(|dir| dir.join(name));
    places.find(|file| file.is_file()).ok_or_else(|| {
        format!(
            "`{name}` is not in PATH. The demo runs a real Prometheus; install it, for example \
             with\n\n    apt-get install -y prometheus\n"
        )
    })
}
