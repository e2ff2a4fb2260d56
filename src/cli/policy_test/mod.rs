//! `partywall test`

mod compare;
mod report;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;

use self::report::Report;
use crate::config::policies::{self, Policies, PolicyTest, RequestTest};
use crate::config::settings::Settings;
use crate::config::{self, OsAccess};
use crate::proxy::explain::{ExplainRequest, Identity, dimensions, explain_request};
use crate::proxy::snapshot::Snapshot;

/// Exit code: the file, or a config that it names, cannot be read.
const UNREADABLE: u8 = 2;

/// Shown below `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  partywall test policies.yaml
  partywall test --config /etc/partywall/partywall.yaml policies.yaml

A file of tests:
  config: partywall.yaml
  tests:
    - name: the payments team sees its own
      claims: {groups: [team-payments]}
      tenants: [payments]
      requests:
        - query: sum(up)
          sends: sum(up{tenant_id=\"payments\"})
        - request: GET /api/v1/status/config
          refused: {status: 403, reason: closed}

Exits 0 if all is as expected, 1 if something is not, 2 if a file cannot be read.";

#[derive(Args)]
pub(super) struct TestArgs {
    /// The file of tests.
    #[arg(value_name = "FILE")]
    policies: PathBuf,
    /// The config to test, instead of the one that the file of tests names.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[allow(clippy::print_stderr)] // A command says on standard error why it failed.
pub(super) fn run(args: &TestArgs) -> ExitCode {
    let report = super::block_on(test(args)).and_then(|report| report);
    match report {
        Ok(report) if report.failed() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(unreadable) => {
            eprintln!("{unreadable}");
            ExitCode::from(UNREADABLE)
        }
    }
}

async fn test(args: &TestArgs) -> Result<Report, String> {
    let file = policies::load(&args.policies, &OsAccess).map_err(|errors| errors.to_string())?;
    let configs = Configs::load(&file, args)?;
    let mut report = Report::new(&args.policies);
    for test in &file.tests {
        if let Some(config) = configs.of_test(test) {
            let failures = run_test(config, test, &mut report).await;
            report.add(test, &failures);
        }
    }
    configs.warn();
    report.end();
    Ok(report)
}

/// The failures of one test; none if it passes.
async fn run_test(config: &Config, test: &PolicyTest, report: &mut Report) -> Vec<String> {
    let settings = &config.settings;
    let identity = Identity::claimed(settings, test.issuer.as_deref(), test.claims.clone());
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => return vec![error.to_string()],
    };
    let mut failures = Vec::new();
    if let (Some(expected), Identity::Claims { issuer, claims }) = (&test.tenants, &identity) {
        let dimensions = dimensions(settings, issuer, claims);
        failures.extend(compare::tenants(expected, &dimensions));
    }
    for request in &test.requests {
        if let Err(failure) = check_request(config, &identity, request).await {
            failures.push(report.failed_request(request, &failure));
        }
    }
    failures
}

async fn check_request(
    config: &Config,
    identity: &Identity,
    test: &RequestTest,
) -> Result<(), String> {
    let (request, query) = (test.request.as_deref(), test.query.as_deref());
    let question = ExplainRequest::new(&config.settings, request, query, test.api)
        .map_err(|error| error.to_string())?
        .asked_by(identity.clone());
    let explanation = explain_request(&config.snapshot, question).await;
    compare::request(test, &explanation)
}

struct Config {
    settings: Settings,
    snapshot: Snapshot,
}

/// The configs of all tests, each loaded once.
struct Configs {
    default: Option<PathBuf>,
    all: HashMap<PathBuf, Config>,
}

impl Configs {
    fn load(file: &Policies, args: &TestArgs) -> Result<Self, String> {
        let default = args.config.clone().or_else(|| file.config.clone());
        let mut all = HashMap::new();
        for test in &file.tests {
            let Some(path) = test.config.as_ref().or(default.as_ref()) else {
                let at = test.at;
                return Err(format!(
                    "{}:{}:{}: no config to test: name one with `config`, here or for the whole \
                     file, or with --config",
                    args.policies.display(),
                    at.line,
                    at.column
                ));
            };
            if !all.contains_key(path) {
                all.insert(path.clone(), Config::load(path)?);
            }
        }
        Ok(Self { default, all })
    }

    /// Warns of shadow mode, in which a running proxy does not do what these tests expect.
    fn warn(&self) {
        let mut all: Vec<_> = self.all.iter().collect();
        all.sort_by_key(|(path, _)| *path);
        for (path, config) in all {
            for shadowed in config::shadowed(&config.settings, SystemTime::now()) {
                report::warn(path, &shadowed);
            }
        }
    }

    fn of_test(&self, test: &PolicyTest) -> Option<&Config> {
        self.all
            .get(test.config.as_ref().or(self.default.as_ref())?)
    }
}

impl Config {
    fn load(path: &Path) -> Result<Self, String> {
        let mut loaded = config::load(path, &OsAccess).map_err(|errors| errors.to_string())?;
        let settings = loaded.settings.clone();
        // No token is verified, so no keys are fetched.
        loaded.settings.tokens.issuers.clear();
        let snapshot = Snapshot::build(loaded, None)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { settings, snapshot })
    }
}
