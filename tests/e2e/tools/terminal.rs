//! Colours and progress are shown on terminals only.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::kit::tool::run;
use crate::kit::upstream::{Behaviour, Upstream};

const KEYCLOAK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/keycloak.yaml");

/// Runs `partywall` with these arguments at a terminal (`script` of util-linux makes one), and
/// gives what stands on it.
fn at_a_terminal(args: &str, environment: &[(&str, &str)]) -> String {
    let command = format!("{} {args}", env!("CARGO_BIN_EXE_partywall"));
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("script, of util-linux");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn claims(dir: &TempDir) -> String {
    let claims = dir.path().join("claims.json");
    std::fs::write(&claims, r#"{"sub": "a", "groups": ["/tenants/acme"]}"#).expect("a file");
    claims.display().to_string()
}

#[test]
fn insertions_are_in_colour_at_a_terminal_alone() {
    let dir = TempDir::new().expect("a directory");
    let claims = claims(&dir);
    let args = format!("explain --config {KEYCLOAK} --claims {claims} 'sum(up)'");
    let coloured = "sum(up\u{1b}[1;32m{tenant_id=\"acme\"}\u{1b}[0m)";
    let shown = at_a_terminal(&args, &[]);
    assert!(shown.contains(coloured), "{shown:?}");
    assert!(!shown.contains("^^^"), "{shown:?}");
    for unwanted in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = at_a_terminal(&args, &[unwanted]);
        assert!(!shown.contains('\u{1b}'), "{unwanted:?}: {shown:?}");
        assert!(shown.contains("sum(up{tenant_id=\"acme\"})"), "{shown:?}");
        assert!(shown.contains("^^^"), "{shown:?}");
    }
    // It is no colour that an empty variable takes away.
    assert!(at_a_terminal(&args, &[("NO_COLOR", "")]).contains(coloured));
    let args = [
        "explain", "--config", KEYCLOAK, "--claims", &claims, "sum(up)",
    ];
    assert!(!run(&args, "").out.contains('\u{1b}'), "in a pipe");
}

#[test]
fn verdicts_are_in_colour_at_a_terminal_alone() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("p.yaml");
    let tests = format!(
        "config: {KEYCLOAK}\ntests:\n  - {{name: good, claims: {{}}, tenants: none}}\n  - {{name: \
         bad, claims: {{}}, tenants: [acme]}}\n"
    );
    std::fs::write(&file, tests).expect("a file");
    let file = file.display().to_string();
    let shown = at_a_terminal(&format!("test {file}"), &[]);
    assert!(
        shown.contains("\u{1b}[1;32mok\u{1b}[0m    good"),
        "{shown:?}"
    );
    assert!(
        shown.contains("\u{1b}[1;31mFAIL\u{1b}[0m  bad"),
        "{shown:?}"
    );
    let shown = at_a_terminal(&format!("test {file}"), &[("NO_COLOR", "1")]);
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

fn config(dir: &TempDir, url: &str) -> String {
    let config = dir.path().join("p.yaml");
    let text = format!(
        "listeners: [{{address: 127.0.0.1:8080}}]\n\
         upstreams: [{{name: store, api: prometheus, url: {url}}}]\n\
         tokens:\n  issuers: [{{issuer: a, audiences: [b], algorithms: [HS256], hmac_secret: \
         0123456789abcdef0123456789abcdef}}]\n\
         tenancy: {{claim: tenant_id, metrics: {{label: tenant_id}}}}\n"
    );
    std::fs::write(&config, text).expect("a file");
    config.display().to_string()
}

#[tokio::test]
async fn doctor_shows_progress_only_on_a_terminal() {
    let silent = Upstream::start().await;
    silent.behave(Behaviour::Silent);
    let dir = TempDir::new().expect("a directory");
    let args = format!("doctor --config {} --timeout 3", config(&dir, &silent.url));
    let of_pipe: Vec<String> = args.split(' ').map(str::to_owned).collect();
    let shown = tokio::task::spawn_blocking(move || at_a_terminal(&args, &[]));
    let shown = shown.await.expect("an end");
    assert!(
        shown.contains("\r\u{1b}[K… store: reachable (0 s)"),
        "{shown:?}"
    );
    assert!(
        shown.contains("\r\u{1b}[K… store: reachable (1 s)"),
        "{shown:?}"
    );
    // Before the verdict the line is taken away.
    let verdict = "\r\u{1b}[K\u{1b}[1;31mfail \u{1b}[0m store: reachable: no answer within 3s";
    assert!(shown.contains(verdict), "{shown:?}");
    let said = tokio::task::spawn_blocking(move || run(&of_pipe, ""));
    let said = said.await.expect("an end");
    assert!(
        !said.out.contains('\u{1b}') && said.err.is_empty(),
        "{said:#?}"
    );
}
