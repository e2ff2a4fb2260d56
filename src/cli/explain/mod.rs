//! `partywall explain`

mod show;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::{ConfigArgs, terminal};
use crate::config::settings::Api;
use crate::config::{self, OsAccess};
use crate::proxy::explain::{Explanation, Identity, Question, dry_run};
use crate::proxy::snapshot::Snapshot;

/// How long the keys of the issuers are waited for.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// Shown below `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  partywall explain --config partywall.yaml --token-file token 'sum(rate(errors_total[5m]))'
  partywall explain --config partywall.yaml --claims claims.json --api tempo '{ status = error }'
  partywall explain --config partywall.yaml --claims claims.json --json \\
      --request 'GET /api/v1/series' 'up'
  echo '{\"tenant_id\": \"acme\"}' | partywall explain --config partywall.yaml --claims - up";

#[derive(Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A query, in PromQL or TraceQL; becomes a parameter of the request.
    #[arg(value_name = "QUERY", required_unless_present = "request")]
    query: Option<String>,
    /// A request, as `GET /api/v1/labels`; without it an instant query, or a search of traces.
    #[arg(long, value_name = "LINE")]
    request: Option<String>,
    /// Which API the query is for, where there is no request.
    #[arg(long, value_enum)]
    api: Option<ApiName>,
    /// A further header of the request, as `Accept: application/json`.
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    #[command(flatten)]
    who: Who,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Whose request it is; without any of it, nobody's.
#[derive(Args)]
struct Who {
    /// A token; it is verified, so the issuers' keys are fetched where the config says so.
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["token_file", "claims"])]
    token: Option<String>,
    /// The same from a file; `-` is standard input. Other users can read arguments.
    #[arg(long, value_name = "FILE", conflicts_with = "claims")]
    token_file: Option<PathBuf>,
    /// Claims as they would stand in a token, as a JSON object; nothing is verified and nobody
    /// is contacted. `-` is standard input.
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Whose token the claims would be in. Default: their `iss`, or the only issuer.
    #[arg(long, value_name = "ISSUER", requires = "claims")]
    issuer: Option<String>,
}

/// [`Api`] as the config spells it.
#[derive(Clone, Copy, ValueEnum)]
enum ApiName {
    Prometheus,
    Tempo,
}

impl From<ApiName> for Api {
    fn from(name: ApiName) -> Self {
        match name {
            ApiName::Prometheus => Self::Prometheus,
            ApiName::Tempo => Self::Tempo,
        }
    }
}

#[allow(clippy::print_stderr)] // A command says on standard error why it failed.
pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    let explained = super::on_a_small_runtime(explain(args)).and_then(|explained| explained);
    match explained {
        Ok(explanation) => {
            write(&explanation, args.json);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn write(explanation: &Explanation, json: bool) {
    let mut out = std::io::stdout();
    let text = if json {
        serde_json::to_string_pretty(explanation).unwrap_or_default() + "\n"
    } else {
        show::text(explanation, terminal::has_colours())
    };
    // Whoever closed the pipe has read enough.
    let _ = out.write_all(text.as_bytes());
}

async fn explain(args: &ExplainArgs) -> Result<Explanation, String> {
    let mut loaded = config::load(&args.config.config, &OsAccess).map_err(|e| e.to_string())?;
    let settings = loaded.settings.clone();
    let who = &args.who;
    let text = |error: &dyn std::fmt::Display| format!("partywall explain: {error}");
    let api = args.api.map(Api::from);
    let mut question = Question::new(
        &settings,
        args.request.as_deref(),
        args.query.as_deref(),
        api,
    )
    .map_err(|e| text(&e))?;
    for header in &args.headers {
        question = question.with_header(header).map_err(|e| text(&e))?;
    }
    let token = match (&who.token, &who.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => Some(super::read_input(file)?),
        (None, None) => None,
    };
    if let Some(token) = token {
        question = question
            .with_token(&settings, token.trim())
            .map_err(|e| text(&e))?;
    }
    if let Some(file) = &who.claims {
        let identity = Identity::claimed(&settings, who.issuer.as_deref(), claims(file)?);
        question = question.asked_by(identity.map_err(|e| text(&e))?);
        // Nothing is verified, so nobody is asked for keys.
        loaded.settings.tokens.issuers.clear();
    }
    let snapshot = Snapshot::build(loaded, None).map_err(|e| text(&e))?;
    let settled = snapshot.rules().authenticator().settle(KEYS_WITHIN);
    terminal::while_waiting("the issuers' keys", settled).await;
    Ok(dry_run(&snapshot, question).await)
}

fn claims(file: &Path) -> Result<Map<String, Value>, String> {
    serde_json::from_str(&super::read_input(file)?).map_err(|error| {
        format!(
            "{}:{}:{}: the claims are no JSON object: {error}",
            file.display(),
            error.line(),
            error.column()
        )
    })
}
