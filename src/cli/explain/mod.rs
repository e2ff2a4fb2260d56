//! `partywall explain`

mod render;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::{ConfigArgs, terminal};
use crate::config::settings::Api;
use crate::config::{self, OsAccess};
use crate::proxy::explain::{ExplainRequest, Explanation, Identity, explain_request};
use crate::proxy::snapshot::Snapshot;

/// How long to wait for the issuers' keys.
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
    /// A query in PromQL or TraceQL, which becomes a parameter of the request; or the JSON of a post to
    /// Alertmanager.
    #[arg(value_name = "QUERY", required_unless_present = "request")]
    query: Option<String>,
    /// The request, such as `GET /api/v1/labels`. Default: an instant query, or a search of traces.
    #[arg(long, value_name = "LINE")]
    request: Option<String>,
    /// The API that the query is for, if no request is given.
    #[arg(long, value_enum)]
    api: Option<ApiName>,
    /// A further header of the request, such as `Accept: application/json`.
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    #[command(flatten)]
    caller: CallerArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The caller; with none of these, the request has no token.
#[derive(Args)]
struct CallerArgs {
    /// The caller's token. It is verified, so the issuers' keys are fetched if the config says so.
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["token_file", "claims"])]
    token: Option<String>,
    /// The token from a file; `-` is standard input. Safer than --token, since other users of the
    /// machine can read arguments.
    #[arg(long, value_name = "FILE", conflicts_with = "claims")]
    token_file: Option<PathBuf>,
    /// A file with the claims of a token as a JSON object; `-` is standard input. Nothing is
    /// verified, and no issuer is contacted.
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// The issuer of the claims. Default: their `iss`, or the only issuer of the config.
    #[arg(long, value_name = "ISSUER", requires = "claims")]
    issuer: Option<String>,
}

/// [`Api`] as the config spells it.
#[derive(Clone, Copy, ValueEnum)]
enum ApiName {
    Prometheus,
    Tempo,
    Alertmanager,
}

impl From<ApiName> for Api {
    fn from(name: ApiName) -> Self {
        match name {
            ApiName::Prometheus => Self::Prometheus,
            ApiName::Tempo => Self::Tempo,
            ApiName::Alertmanager => Self::Alertmanager,
        }
    }
}

#[allow(clippy::print_stderr)] // A command says on standard error why it failed.
pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    let explained = super::block_on(explain(args)).and_then(|explained| explained);
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
        render::page(explanation, terminal::has_colours())
    };
    // An error means that the reader has closed the pipe.
    let _ = out.write_all(text.as_bytes());
}

async fn explain(args: &ExplainArgs) -> Result<Explanation, String> {
    let mut loaded = config::load(&args.config.config, &OsAccess).map_err(|e| e.to_string())?;
    let settings = loaded.settings.clone();
    let caller = &args.caller;
    let text = |error: &dyn std::fmt::Display| format!("partywall explain: {error}");
    let api = args.api.map(Api::from);
    let mut question = ExplainRequest::new(
        &settings,
        args.request.as_deref(),
        args.query.as_deref(),
        api,
    )
    .map_err(|e| text(&e))?;
    for header in &args.headers {
        question = question.with_header(header).map_err(|e| text(&e))?;
    }
    let token = match (&caller.token, &caller.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => Some(super::read_input(file)?),
        (None, None) => None,
    };
    if let Some(token) = token {
        question = question
            .with_token(&settings, token.trim())
            .map_err(|e| text(&e))?;
    }
    if let Some(file) = &caller.claims {
        let identity = Identity::claimed(&settings, caller.issuer.as_deref(), claims(file)?);
        question = question.asked_by(identity.map_err(|e| text(&e))?);
        // Nothing is verified, so no keys are fetched.
        loaded.settings.tokens.issuers.clear();
    }
    let snapshot = Snapshot::build(loaded, None).map_err(|e| text(&e))?;
    let settled = snapshot.rules().authenticator().settle(KEYS_WITHIN);
    terminal::while_waiting("the issuers' keys", settled).await;
    Ok(explain_request(&snapshot, question).await)
}

fn claims(file: &Path) -> Result<Map<String, Value>, String> {
    serde_json::from_str(&super::read_input(file)?).map_err(|error| {
        format!(
            "{}:{}:{}: the claims are not a JSON object: {error}",
            file.display(),
            error.line(),
            error.column()
        )
    })
}
