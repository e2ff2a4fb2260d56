//! The series that Partywall exposes, read off the running binary, and those that a PromQL
//! expression asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use promql_parser::parser::{Expr, parse};
use promql_parser::util::{ExprVisitor, walk_expr};
use tempfile::TempDir;

use crate::kit::client::{Ask, Client};
use crate::kit::partywall::{Partywall, Setup, Tempo};
use crate::kit::process::free_port;
use crate::kit::tls::Authority;

/// What every scraped series has besides its own labels.
const TARGET: [&str; 2] = ["job", "instance"];

/// Each series' name and its labels; no labels are known of one without a sample.
#[derive(Default)]
pub struct Exposed(BTreeMap<String, Option<BTreeSet<String>>>);

impl Exposed {
    /// Of the real binary with all that can be counted switched on, after some of it was.
    pub async fn by_the_binary() -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let identity = Authority::new("servers").identity();
        let file = |name: &str, content: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, content).expect("a file");
            path.display().to_string()
        };
        let (certificate, key) = (
            file("tls.crt", &identity.cert_pem),
            file("tls.key", &identity.key_pem),
        );
        let tls_port = free_port();
        let nowhere = "http://127.0.0.1:9";
        let partywall = Partywall::start(Setup {
            listener: format!(
                "# By TLS:\n  - address: 127.0.0.1:{tls_port}\n    \
                 tls: {{cert_file: {certificate}, key_file: {key}}}"
            ),
            upstream_options: vec![format!(
                "# In shadow mode:\n  - {{name: open, api: prometheus, url: {nowhere}, path_prefix: \
                 /open, shadow: {{until: {}, tenants_see_each_other: true}}}}",
                humantime::format_rfc3339(SystemTime::now() + Duration::from_hours(1))
            )],
            // Found to be neither with nor without multitenancy, as it is not there.
            tempo: Some(Tempo {
                tenancy: "org_id: true".to_owned(),
                ..Setup::tempo(nowhere).tempo.expect("a Tempo")
            }),
            rest: "metrics: {per_tenant: {}}\n".to_owned(),
            ..Setup::new(nowhere)
        })
        .await;
        let client = Client::default();
        let query = Ask::get("/api/v1/query", &[("query", "up")]);
        let token = partywall.signer.tenant("acme");
        client.ask(&partywall.url, &query, Some(&token)).await;
        client.ask(&partywall.url, &query, None).await;
        let open = format!("{}/open", partywall.url);
        client.ask(&open, &query, None).await;
        let not_by_tls = format!("http://127.0.0.1:{tls_port}");
        client.ask(&not_by_tls, &query, None).await;
        let metrics = format!("{}/metrics", partywall.admin);
        loop {
            let text = client.get(&metrics).await.text();
            // Both are counted a moment later.
            let late = [
                "partywall_tls_handshakes_total",
                "partywall_upstream_healthy",
            ];
            if late.iter().all(|name| text.contains(name)) {
                return Self::of(&text);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Of an exposition in the `OpenMetrics` text format.
    fn of(text: &str) -> Self {
        let mut exposed = Self::default();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').expect("a kind");
                let suffixes: &[&str] = match kind {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_count", "_sum"],
                    "info" => &["_info"],
                    "gauge" => &[""],
                    other => panic!("a metric of the kind {other}"),
                };
                for suffix in suffixes {
                    exposed.0.insert(format!("{name}{suffix}"), None);
                }
            } else if !line.starts_with('#') {
                exposed.sample(line);
            }
        }
        exposed
    }

    fn sample(&mut self, line: &str) {
        // PromQL reads a sample's name and labels as a selector.
        let selector = line.rsplit_once(' ').expect("a value").0;
        let asked = Asked::of(selector);
        for (name, labels) in asked.selectors {
            let known = self.0.get_mut(&name).expect("a TYPE before the sample");
            known.get_or_insert_default().extend(labels);
        }
    }

    /// Fails unless every series that `expression` names exists and has the labels it names.
    pub fn has_all_of(&self, expression: &str) {
        let asked = Asked::of(expression);
        let mut known: BTreeSet<&str> = TARGET.into();
        let mut all_known = true;
        for (name, labels) in &asked.selectors {
            if name == "up" {
                continue;
            }
            let Some(own) = self.0.get(name) else {
                panic!("no series {name}, as in {expression}");
            };
            let Some(own) = own else {
                all_known = false;
                continue;
            };
            for label in labels {
                assert!(
                    own.contains(label) || TARGET.contains(&label.as_str()),
                    "{name} has no label {label}, as in {expression}"
                );
            }
            known.extend(own.iter().map(String::as_str));
        }
        if all_known {
            for label in &asked.grouped {
                assert!(
                    known.contains(label.as_str()),
                    "no series of {expression} has the label {label}"
                );
            }
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// All there is, and what will be.
pub async fn exposed() -> Exposed {
    Exposed::by_the_binary().await
}

/// What an expression names.
#[derive(Default)]
struct Asked {
    /// Metric names, each with the labels of its matchers.
    selectors: Vec<(String, BTreeSet<String>)>,
    /// Labels of `by`, `on`, `group_left`.
    grouped: BTreeSet<String>,
}

impl Asked {
    fn of(expression: &str) -> Self {
        let tree = parse(expression).unwrap_or_else(|cause| panic!("{cause}: {expression}"));
        let mut asked = Self::default();
        walk_expr(&mut asked, &tree).expect("a visitor without errors");
        asked
    }
}

impl ExprVisitor for Asked {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        let selector = match expr {
            Expr::VectorSelector(selector) => Some(selector),
            Expr::MatrixSelector(matrix) => Some(&matrix.vs),
            Expr::Aggregate(aggregate) => {
                if let Some(modifier) = &aggregate.modifier {
                    self.grouped.extend(modifier.labels().labels.clone());
                }
                None
            }
            Expr::Binary(binary) => {
                let matching = binary.modifier.as_ref().and_then(|m| m.matching.as_ref());
                if let Some(matching) = matching {
                    self.grouped.extend(matching.labels().labels.clone());
                }
                None
            }
            _ => None,
        };
        if let Some(selector) = selector {
            let name = selector.name.clone().expect("a metric's name");
            let labels = selector.matchers.matchers.iter().map(|m| m.name.clone());
            self.selectors.push((name, labels.collect()));
        }
        Ok(true)
    }
}

#[test]
fn series_are_read_off_an_exposition() {
    let exposed = Exposed::of(concat!(
        "# HELP a A.\n# TYPE a counter\na_total{code=\"200\"} 1\n",
        "# TYPE b histogram\n# TYPE c gauge\nc 1\n# TYPE d info\nd_info{version=\"1\"} 1\n# EOF",
    ));
    let names: Vec<_> = exposed.names().collect();
    assert_eq!(
        names,
        ["a_total", "b_bucket", "b_count", "b_sum", "c", "d_info"]
    );
    exposed.has_all_of(r#"sum by (code, job) (rate(a_total{code="200", job="x"}[5m])) + c"#);
    // Nothing is known of labels of a series without a sample.
    exposed.has_all_of("sum by (le) (b_bucket)");
    for wrong in [
        "a",
        r#"a_total{route="x"}"#,
        "sum by (route) (a_total)",
        "b",
    ] {
        let result = std::panic::catch_unwind(|| exposed.has_all_of(wrong));
        assert!(result.is_err(), "{wrong}");
    }
}
