//! `partywall doctor`: checks what the rest of Partywall relies on at each upstream and issuer.
//!
//! | file | content |
//! |---|---|
//! | `finding` | the result of a check, and the report of all |
//! | `probe` | one request to an upstream, bounded in time and size |
//! | `reach` | checks that are the same for every upstream |
//! | `metrics` | Prometheus and Thanos |
//! | `traces` | Tempo |
//! | `alerts` | Alertmanager |
//! | `alert_config` | its configuration |
//! | `issuers` | keys, and the token that was given |

mod alert_config;
mod alerts;
mod finding;
mod issuers;
mod metrics;
mod probe;
mod reach;
mod traces;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use self::finding::{Finding, Report};
use self::probe::Probe;
use super::ConfigArgs;
use crate::config::settings::{Api, Credentials, Settings};
use crate::config::{self, Loaded, OsAccess};
use crate::upstream::Upstream;

/// Exit code: the config cannot be read.
const UNREADABLE: u8 = 2;

/// Shown below `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  partywall doctor --config partywall.yaml
  partywall doctor --config partywall.yaml --token-file token --timeout 30

Each check prints a line that starts with ok, warn, fail or skip. Run it where Partywall runs: in
its pod, with its network and its files. It only reads.

Exits 0 if nothing failed, 1 if something did, 2 if the config cannot be read.";

#[derive(Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A token to verify. It is also sent to upstreams with `forward_token`.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// The token from a file; `-` is standard input. Safer than --token, since other users of the
    /// machine can read arguments.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The most seconds that one check may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

#[allow(clippy::print_stderr)] // A command says on standard error why it failed.
pub(super) fn run(args: &DoctorArgs) -> ExitCode {
    let report = super::block_on(examine(args)).and_then(|report| report);
    match report {
        Ok(report) if report.failed() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(unreadable) => {
            eprintln!("{unreadable}");
            ExitCode::from(UNREADABLE)
        }
    }
}

async fn examine(args: &DoctorArgs) -> Result<Report, String> {
    let loaded = config::load(&args.config.config, &OsAccess).map_err(|e| e.to_string())?;
    let token = match (&args.token, &args.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => Some(super::read_input(file)?),
        (None, None) => None,
    };
    let token = token.as_deref().map(str::trim);
    let within = Duration::from_secs(args.timeout);
    let mut report = Report::default();
    issuers::examine(&mut report, &loaded, token, within).await?;
    let Loaded { settings, .. } = loaded;
    for upstream in &settings.upstreams {
        let examined = examine_upstream(&mut report, &settings, upstream, token, within);
        Box::pin(examined).await;
    }
    report.end();
    Ok(report)
}

async fn examine_upstream(
    report: &mut Report,
    settings: &Settings,
    wanted: &config::settings::Upstream,
    token: Option<&str>,
    within: Duration,
) {
    let mut report = report.section(&wanted.name);
    if wanted.credentials == Credentials::ForwardToken && token.is_none() {
        let text = "this upstream needs the caller's token: give one with --token-file";
        return report.add("reachable", Finding::skip(text));
    }
    let upstream = match Upstream::new(wanted, None) {
        Ok(upstream) => upstream,
        Err(error) => return report.add("reachable", Finding::fail(error, "correct its settings")),
    };
    let probe = Probe::new(&upstream, token, within);
    match wanted.api {
        Api::Prometheus => metrics::examine(&mut report, &probe, settings).await,
        Api::Tempo => traces::examine(&mut report, &probe, settings).await,
        Api::Alertmanager => alerts::examine(&mut report, &probe, settings).await,
    }
    report.add("exposure", reach::exposure(wanted));
}
