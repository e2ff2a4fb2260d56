//! What confining one request costs, piece by piece, and whether it grows in proportion to what
//! a client sends.
//!
//! `cargo bench --bench micro`; see `harness` for a quick run. What only the crate itself can
//! call is not here: splicing without the proof (its scan is), and a hit of the cache of rewrites.
#![expect(clippy::print_stdout, reason = "a table is what a bench is for")]
#![expect(clippy::cast_precision_loss, reason = "ratios need no 53 bits")]

mod counting;
mod growth;
#[path = "../harness/mod.rs"]
mod harness;
mod inputs;
#[path = "../harness/issuer.rs"]
mod issuer;
mod pace;
mod token;

use std::error::Error;
use std::sync::LazyLock;

use hyper::header::{AUTHORIZATION, HeaderValue};
use partywall::prometheus::filter::{RulesError, RulesOptions, rules};
use partywall::prometheus::form::Form;
use partywall::promql::{self, Agreements, ForeignMatchers};
use partywall::tenancy::{Matchers, resolve};
use partywall::traceql::{TraceIntrinsics, confine_metrics, confine_search};

use harness::Table;
use inputs::{matchers, predicate};
use pace::{Pace, nanos_of_each};

/// What a user's dashboard asks all day.
const PROMQL: &str = "histogram_quantile(0.99, sum by (le, namespace) (rate(\
    http_request_duration_seconds_bucket{namespace=~\"prod|staging\", code!~\"5..\"}[5m]))) \
    / scalar(sum(up{job=\"api\"}))";
/// The proof's parser compiles every regex.
const PROMQL_PLAIN: &str = "histogram_quantile(0.99, sum by (le, namespace) (rate(\
    http_request_duration_seconds_bucket{namespace=\"prod\", code!=\"500\"}[5m]))) \
    / scalar(sum(up{job=\"api\"}))";
const TRACEQL: &str = "{ resource.service.name = \"checkout\" && span.http.status_code >= 500 \
    && duration > 200ms } >> { span.db.system = \"postgresql\" } | select(span.db.statement)";
const TRACEQL_METRICS: &str = "{ resource.service.name = \"checkout\" && status = error } \
    | rate() by (span.http.route)";

/// As the default config has them.
const MAX_SELECTORS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let pace = Pace::new(harness::is_quick());
    calls(pace)?;
    counting::table(pace)?;
    growth::by_length(pace)?;
    growth::by_tenants(pace)
}

/// One call each of what a request meets.
fn calls(pace: Pace) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new("One call", &[&"call", &"bytes", &"ns", &"ns a byte"]);
    let mut row = |name: &str, bytes: usize, nanos: f64| {
        table.row(&[
            &name,
            &bytes,
            &format!("{nanos:.0}"),
            &format!("{:.2}", nanos / bytes as f64),
        ]);
    };
    let matchers = matchers(1)?;
    let predicate = predicate(1)?;

    let nanos = pace.nanos(|| Ok::<_, String>(promql::measure(PROMQL)))?;
    row("PromQL: measured", PROMQL.len(), nanos);
    let nanos = pace.nanos(|| scan(PROMQL, &matchers))?;
    row("PromQL: scanned", PROMQL.len(), nanos);
    let nanos = pace.nanos(|| confine(PROMQL, &matchers))?;
    row("PromQL: confined and proven", PROMQL.len(), nanos);
    let nanos = pace.nanos(|| confine(PROMQL_PLAIN, &matchers))?;
    row("PromQL: the same, no regexes", PROMQL_PLAIN.len(), nanos);

    let trust = TraceIntrinsics::Trust;
    let nanos = pace.nanos(|| confine_search(TRACEQL, &predicate, trust, usize::MAX))?;
    row("TraceQL: search confined and proven", TRACEQL.len(), nanos);
    let nanos = pace.nanos(|| confine_metrics(TRACEQL_METRICS, &predicate, trust, usize::MAX))?;
    row(
        "TraceQL: metrics confined and proven",
        TRACEQL_METRICS.len(),
        nanos,
    );

    let form = inputs::form(PROMQL);
    let nanos = pace.nanos(|| Form::parse(form.as_bytes()))?;
    row("form: read", form.len(), nanos);
    let read = Form::parse(form.as_bytes())?;
    let nanos = pace.nanos(|| Ok::<_, String>(read.encode()))?;
    row("form: written", form.len(), nanos);

    let answer = inputs::RULES;
    let nanos = pace.nanos(|| filter_rules(answer, &matchers))?;
    row("rules: filtered", answer.len(), nanos);

    let desk = token::Desk::open()?;
    let requests = desk.requests(pace.distinct())?;
    let seen = requests.first().ok_or("no request")?;
    let length = seen.get(AUTHORIZATION).map_or(0, HeaderValue::len);
    let nanos = nanos_of_each(&requests, |request| desk.authenticate(request))?;
    row("token: RS256, seen first", length, nanos);
    let nanos = pace.nanos(|| desk.authenticate(seen))?;
    row("token: RS256, seen before", length, nanos);
    let claims = inputs::claims(1);
    let bytes = serde_json::to_string(&claims)?.len();
    let tenancy = inputs::tenancy();
    let nanos = pace.nanos(|| resolve(&tenancy, issuer::ISSUER, &claims))?;
    row("claims: resolved to a scope", bytes, nanos);

    table.print();
    Ok(())
}

fn scan(query: &str, matchers: &Matchers) -> Result<(), &'static str> {
    let shared = promql::analyze_shared(query, matchers);
    // It also says no of what it cannot read.
    shared
        .shows_text
        .then_some(())
        .ok_or("the query cannot be read")
}

fn confine(query: &str, matchers: &Matchers) -> Result<promql::Confined, promql::Refusal> {
    /// Every query is verified as if its shape were new.
    static NONE: LazyLock<Agreements> = LazyLock::new(|| Agreements::new(0));
    let foreign = ForeignMatchers::Intersect;
    promql::confine(query, matchers, foreign, MAX_SELECTORS, &NONE)
}

fn filter_rules(answer: &[u8], matchers: &Matchers) -> Result<Vec<u8>, RulesError> {
    rules(answer, matchers, RulesOptions::default())
}
