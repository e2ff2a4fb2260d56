//! `partywall serve`

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::app;

/// How long the process waits at its end for the last audit records to be written.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// Shown below `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  partywall serve --config /etc/partywall/partywall.yaml
  kill -HUP PID    # reload the config";

#[allow(clippy::print_stderr)] // Before logging starts, standard error is all there is.
pub(super) fn run(config: &Path) -> ExitCode {
    // Two workers: the proxy shares its pod with the upstream, and needs few cores for many
    // requests.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(2))
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime
                .block_on(app::run(config))
                .map_err(|error| error.to_string());
            // A stuck task must not keep the process after its drain.
            runtime.shutdown_timeout(Duration::from_secs(1));
            result.map(|audit| audit.close(LAST_RECORDS))
        }
        Err(error) => Err(format!("cannot start the runtime: {error}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("partywall: {error}");
            ExitCode::FAILURE
        }
    }
}
