//! What the operator's tools report of it; and that it cannot be enabled by accident.

use std::time::{Duration, SystemTime};

use super::stage::{shadow, shadow_for, shadow_until};
use crate::kit::tool::{Said, run_in};

/// Runs the binary in a folder with this `shadow` in its config.
fn run(shadow: &str, args: &[&str], input: &str) -> Said {
    let folder = tempfile::TempDir::new().expect("a folder");
    let config = format!(
        "\
listeners: [{{address: 127.0.0.1:0}}]
upstreams:
  - name: thanos
    api: prometheus
    url: http://127.0.0.1:9
    {shadow}
tokens:
  issuers:
    - issuer: https://sso.example.com
      audiences: [grafana]
      algorithms: [HS256]
      hmac_secret: 0123456789abcdef0123456789abcdef
tenancy:
  claim: tenant_id
  metrics: {{label: tenant_id}}
"
    );
    let tests = "\
config: p.yaml
tests:
  - name: it is confined
    claims: {tenant_id: acme}
    requests:
      - query: up
        sends: up{tenant_id=\"acme\"}
";
    std::fs::write(folder.path().join("p.yaml"), config).expect("a config");
    std::fs::write(folder.path().join("tests.yaml"), tests).expect("tests");
    run_in(folder.path(), args, input)
}

#[test]
fn check_warns_and_refuses_every_slip() {
    let check = ["check", "--config", "p.yaml"];
    let good = run(&shadow(), &check, "");
    assert!(good.code == 0);
    let warning = &good.err;
    assert!(
        warning.contains("warning: upstreams[0].shadow: upstream thanos is in shadow mode until "),
        "{warning}"
    );
    let passed = shadow_until(SystemTime::now() - Duration::from_mins(1), "");
    let over = run(&passed, &check, "");
    assert!(over.code == 0);
    assert!(over.err.contains("all is enforced"));
    let soon = humantime::format_rfc3339(SystemTime::now() + Duration::from_mins(1));
    for (slip, error) in [
        (
            format!("shadow: {{until: {soon}}}"),
            "tenants_see_each_other: is required",
        ),
        (
            "shadow: {tenants_see_each_other: true}".to_owned(),
            "until: is required",
        ),
        ("shadow: true".to_owned(), "must be a mapping"),
        (
            format!("shadow: {{until: {soon}, tenants_see_each_other: \"true\"}}"),
            "tenants_see_each_other: ",
        ),
        (
            shadow_for(Duration::from_hours(91 * 24), ""),
            "until: must be at most 90 days from now",
        ),
        (
            "shadow: {until: tomorrow, tenants_see_each_other: true}".to_owned(),
            "until: ",
        ),
    ] {
        for command in ["check", "serve"] {
            let output = run(&slip, &[command, "--config", "p.yaml"], "");
            assert!(output.code != 0, "{slip}");
            let text = output.err;
            assert!(
                text.contains("p.yaml:6:") && text.contains(error),
                "{slip}: {text}"
            );
        }
    }
}

#[test]
fn explain_says_that_shadow_mode_is_in_force() {
    let args = ["explain", "--config", "p.yaml", "--claims", "-"];
    let claims = r#"{"tenant_id": "acme"}"#;
    let query = [&args[..], &["up"]].concat();
    let text = run(&shadow(), &query, claims).out;
    assert!(text.contains("nothing is enforced there"), "{text}");
    assert!(text.contains(r#"up{tenant_id="acme"}"#), "{text}");
    let json = [&args[..], &["--json", "up"]].concat();
    let text = run(&shadow(), &json, claims).out;
    assert!(text.contains("shadow_until"), "{text}");
    let closed = [&args[..], &["--request", "POST /api/v1/write"]].concat();
    let text = run(&shadow(), &closed, claims).out;
    assert!(
        !text.contains("SHADOW") && text.contains("refused"),
        "{text}"
    );
    let text = run("", &query, claims).out;
    assert!(!text.contains("SHADOW"), "{text}");
}

#[test]
fn tests_of_rules_pass_with_a_warning() {
    let output = run(&shadow(), &["test", "tests.yaml"], "");
    assert!(output.code == 0, "{output:?}");
    let text = output.out;
    assert!(
        text.contains("warn  p.yaml: upstream thanos is in shadow mode"),
        "{text}"
    );
    assert!(!run("", &["test", "tests.yaml"], "").out.contains("warn"));
}
