//! What the operator's tools report of it; and that it cannot be enabled by accident.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use super::stage::{shadow, shadow_for, shadow_until};

/// Runs the binary in a folder with this `shadow` in its config.
fn run(shadow: &str, args: &[&str], input: &str) -> Output {
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
    let mut child = Command::new(env!("CARGO_BIN_EXE_partywall"))
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary");
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("an end")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_warns_and_refuses_every_slip() {
    let check = ["check", "--config", "p.yaml"];
    let good = run(&shadow(), &check, "");
    assert!(good.status.success());
    let warning = said(&good.stderr);
    assert!(
        warning.contains("warning: upstreams[0].shadow: upstream thanos is in shadow mode until "),
        "{warning}"
    );
    let passed = shadow_until(SystemTime::now() - Duration::from_mins(1), "");
    let over = run(&passed, &check, "");
    assert!(over.status.success());
    assert!(said(&over.stderr).contains("all is enforced"));
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
            assert!(!output.status.success(), "{slip}");
            let text = said(&output.stderr);
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
    let text = said(&run(&shadow(), &query, claims).stdout);
    assert!(text.contains("nothing is enforced there"), "{text}");
    assert!(text.contains(r#"up{tenant_id="acme"}"#), "{text}");
    let json = [&args[..], &["--json", "up"]].concat();
    let text = said(&run(&shadow(), &json, claims).stdout);
    assert!(text.contains("shadow_until"), "{text}");
    let closed = [&args[..], &["--request", "POST /api/v1/write"]].concat();
    let text = said(&run(&shadow(), &closed, claims).stdout);
    assert!(
        !text.contains("SHADOW") && text.contains("refused"),
        "{text}"
    );
    let text = said(&run("", &query, claims).stdout);
    assert!(!text.contains("SHADOW"), "{text}");
}

#[test]
fn tests_of_rules_pass_with_a_warning() {
    let output = run(&shadow(), &["test", "tests.yaml"], "");
    assert!(output.status.success(), "{output:?}");
    let text = said(&output.stdout);
    assert!(
        text.contains("warn  p.yaml: upstream thanos is in shadow mode"),
        "{text}"
    );
    assert!(!said(&run("", &["test", "tests.yaml"], "").stdout).contains("warn"));
}
