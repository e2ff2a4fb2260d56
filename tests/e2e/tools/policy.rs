//! `partywall test`: the shipped samples pass, and what is wrong is told so that CI stops.

use std::path::Path;

use tempfile::TempDir;

use crate::kit::tool::{Said, run};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// Tests of the shipped `keycloak.yaml`, in a folder of their own.
fn test(tests: &str) -> Said {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("p.yaml");
    let text = format!("config: {SHIPPED}/keycloak.yaml\ntests:\n{tests}");
    std::fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    let mut said = run(&["test", &file], "");
    said.out = said.out.replace(&file, "p.yaml");
    said.err = said.err.replace(&file, "p.yaml");
    said
}

#[test]
fn the_shipped_tests_of_the_shipped_configs_pass() {
    let file = format!("{SHIPPED}/policies.yaml");
    let said = run(&["test", &file], "");
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.ends_with(" passed, 0 failed\n"), "{said:#?}");
    assert!(said.out.lines().count() > 10, "{said:#?}");
}

#[test]
fn unexpected_result_is_shown_next_to_the_expected_one() {
    let said = test(
        r#"
  - name: tenants
    claims: {groups: [/tenants/acme, /tenants/globex]}
    tenants: [acme, initech]
  - name: passes
    claims: {groups: [/tenants/acme]}
    tenants: [acme]
  - name: requests
    claims: {groups: [/tenants/acme]}
    tenants: all
    requests:
      - query: up
        sends: up{tenant_id="globex"}
      - request: GET /api/v1/status/config
        sends: true
      - request: GET /api/v1/status/config
        refused: {status: 400, reason: closed}
      - query: sum(up)
        refused: {reason: malformed}
      - query: sum(up)
        route: series
        sends: true
"#,
    );
    assert_eq!(said.code, 1, "{said:#?}");
    let expected = r#"FAIL  tenants  (p.yaml:4:5)
      tenants
        expected  acme, initech
        but got   acme, globex
        missing   initech
        too many  globex
ok    passes
FAIL  requests  (p.yaml:10:5)
      tenants
        expected  all
        but got   acme
      up  (p.yaml:14:9)
        expected  up{tenant_id="globex"}
        but got   up{tenant_id="acme"}
                                ^
      GET /api/v1/status/config  (p.yaml:16:9)
        expected  sent
        but got   refused: 403 closed
                  ^
                  (nothing)
                  this endpoint cannot be confined to a tenant; it is served only to callers with all tenants, where open_to_admins of upstream `thanos` names `status`
      GET /api/v1/status/config  (p.yaml:18:9)
        expected  refused: 400 closed
        but got   refused: 403 closed
                             ^
                  (nothing)
                  this endpoint cannot be confined to a tenant; it is served only to callers with all tenants, where open_to_admins of upstream `thanos` names `status`
      sum(up)  (p.yaml:20:9)
        expected  refused: malformed
        but got   sent: sum(up{tenant_id="acme"})
                  ^
      sum(up)  (p.yaml:22:9)
        expected  route series
        but got   route query
                        ^
1 passed, 2 failed
"#;
    assert_eq!(said.out, expected);
}

#[test]
fn unreadable_file_is_reported_with_its_position_and_is_no_failed_test() {
    let unreadable = |said: Said, text: &str| {
        assert_eq!(said.code, 2, "{said:#?}");
        assert!(said.err.contains(text), "{said:#?}");
        assert_eq!(said.out, "");
    };
    let typo = test("  - name: x\n    claims: {}\n    tennants: [a]\n");
    unreadable(
        typo,
        "p.yaml:5:5: tests[0].tennants: unknown key; did you mean `tenants`?",
    );
    unreadable(test("  - {name: [}\n"), "p.yaml:3:12: ");
    let missing = test("  - {name: x, claims: {}, tenants: none, config: no.yaml}\n");
    unreadable(missing, "no.yaml: cannot be read");
    let gone = Path::new(SHIPPED).join("no-such-file.yaml");
    unreadable(
        run(&["test".into(), gone.into_os_string()], ""),
        "cannot be read",
    );
}

#[test]
fn a_config_that_is_named_is_tested_instead() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("p.yaml");
    let text = "tests: [{name: x, claims: {tenant_id: acme}, tenants: [acme]}]\n";
    std::fs::write(&file, text).expect("a file");
    let (file, minimal) = (
        file.display().to_string(),
        format!("{SHIPPED}/minimal.yaml"),
    );
    let without = run(&["test", &file], "");
    assert_eq!(without.code, 2, "{without:#?}");
    assert!(
        without.err.contains("p.yaml:1:9: no config to test"),
        "{without:#?}"
    );
    let with = run(&["test", "--config", &minimal, &file], "");
    assert_eq!(
        (with.code, with.out.as_str()),
        (0, "ok    x\n1 passed, 0 failed\n")
    );
}
