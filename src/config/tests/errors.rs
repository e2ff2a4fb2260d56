//! Errors of single values, and the format of errors.

use super::super::{OsAccess, load};
use super::{Fake, MINIMAL, error_of, minimal_but, only};

/// A whole section instead of none.
fn error_of_section(section: &str) -> String {
    let error = error_of(&format!("{MINIMAL}{section}\n"));
    // After the line number, which is always the same.
    error.strip_prefix("18:").unwrap_or(&error).to_owned()
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_file() {
    let text = "\
listeners:
  - address: localhost:8080
    adress: x
upstreams:
  - name: thanos
    api: promethues
    url: thanos:10902
    timeouts: {connect: 5, body_idle: 0s}
  - 7
tokens:
  issuers:
    - issuer: https://sso.example.com
      audiences: grafana
      algorithms: [none, RS255]
      leeway: 6m
tenancy:
  claim: a..b
  claim: b
limits:
  requests: 64KiB
  body_bytes: 64KB
log:
unknown: 1
";
    let errors = Fake::config(text).load().unwrap_err();
    let expected = [
        "2:14: listeners[0].address: \"localhost:8080\" is no IP address with a port, like 127.0.0.1:8080, 0.0.0.0:8080 or \"[::]:8080\"",
        "3:5: listeners[0].adress: unknown key; did you mean `address`?",
        "6:10: upstreams[0].api: \"promethues\" is unknown; did you mean `prometheus`?",
        "7:10: upstreams[0].url: must be an absolute URL: http://… or https://…",
        "8:25: upstreams[0].timeouts.connect: \"5\" is not a duration: write numbers with d, h, m, s or ms like 30s or 1h30m",
        "8:39: upstreams[0].timeouts.body_idle: must be longer than zero",
        "9:5: upstreams[1]: must be a mapping, not a number",
        "12:7: tokens.issuers[0]: one of `discovery`, `jwks_url`, `jwks_file`, `pem_file`, `hmac_secret` and `hmac_secret_file` is required",
        "13:18: tokens.issuers[0].audiences: must be a list, not a text",
        "14:20: tokens.issuers[0].algorithms[0]: unsigned tokens are never accepted",
        "14:26: tokens.issuers[0].algorithms[1]: \"RS255\" is unknown; did you mean `RS256`?",
        "15:15: tokens.issuers[0].leeway: must be at most 5m",
        "17:10: tenancy.claim: is not a dotted path: a key is empty",
        "18:3: tenancy.claim: is given twice, first in line 17",
        "20:13: limits.requests: must be a whole number, not a text",
        "21:15: limits.body_bytes: \"64KB\" is not a size: write bytes as a number, or a number with KiB, MiB or GiB like 64KiB",
        "22:1: log: has no value: write a mapping, or leave out the key",
        "23:1: unknown: unknown key; known here are `admin`, `audit`, `cache`, `compression`, `drain`, `limits`, `listeners`, `log`, `metrics`, `passthrough`, `promql`, `reload`, `tenancy`, `tenant_limits`, `timeouts`, `tokens`, `traces`, `tracing` and `upstreams`",
    ];
    let expected: Vec<String> = expected
        .iter()
        .map(|error| format!("/etc/p.yaml:{error}"))
        .collect();
    assert_eq!(errors, expected);
}

#[test]
fn empty_file_lacks_every_required_section() {
    let errors = Fake::config("").load().unwrap_err();
    assert_eq!(
        errors,
        ["listeners", "upstreams", "tokens", "tenancy"]
            .map(|key| format!("/etc/p.yaml:1:1: {key}: is required"))
    );
}

#[test]
fn syntax_error_is_reported_alone() {
    assert_eq!(
        error_of("a: b: c\nunknown: 1"),
        "1:5: mapping values are not allowed in this context"
    );
}

#[test]
fn unreadable_file_is_an_error() {
    assert_eq!(
        Fake::default().load().unwrap_err(),
        ["/etc/p.yaml: cannot be read: entity not found"]
    );
    let errors = load("/nowhere/p.yaml".as_ref(), &OsAccess).unwrap_err();
    assert!(
        errors
            .to_string()
            .starts_with("/nowhere/p.yaml: cannot be read: ")
    );
}

#[test]
fn errors_beyond_a_hundred_are_counted() {
    let many: Vec<String> = (0..250).map(|n| format!("unknown{n}: 1")).collect();
    let errors = Fake::config(&format!("{MINIMAL}{}\n", many.join("\n")))
        .load()
        .unwrap_err();
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[100], "… and 150 more errors");
}

#[test]
fn types() {
    for (section, error) in [
        ("limits: []", "9: limits: must be a mapping, not a list"),
        (
            "limits: ~",
            "1: limits: has no value: write a mapping, or leave out the key",
        ),
        (
            "limits: {requests: }",
            "10: limits.requests: has no value: write a whole number, or leave out the key",
        ),
        (
            "limits: {requests: true}",
            "20: limits.requests: must be a whole number, not true or false",
        ),
        (
            "limits: {requests: '5'}",
            "20: limits.requests: must be a whole number, not a text",
        ),
        (
            "limits: {requests: 5.0}",
            "20: limits.requests: must be a whole number, not a text",
        ),
        (
            "limits: {requests: -5}",
            "20: limits.requests: must be a whole number, not a text",
        ),
        (
            "limits: {requests: 0}",
            "20: limits.requests: must be between 1 and 1000000",
        ),
        (
            "limits: {requests: [5]}",
            "20: limits.requests: must be a whole number, not a list",
        ),
        (
            "limits: {header_bytes: 8191}",
            "24: limits.header_bytes: must be between 8KiB and 1MiB",
        ),
        (
            "limits: {header_bytes: 8KiB, uri_bytes: 8193}",
            "41: limits.uri_bytes: must not be more than header_bytes",
        ),
        (
            "limits: {header_bytes: 128KiB, uri_bytes: 65535}",
            "43: limits.uri_bytes: must not be more than 65534, which is the longest URL that is read",
        ),
        (
            "limits: {body_bytes: 0}",
            "22: limits.body_bytes: must be between 1 and 1GiB",
        ),
        (
            "limits: {body_bytes: [1]}",
            "22: limits.body_bytes: must be a text, not a list",
        ),
        (
            "timeouts: {idle: 8761h}",
            "18: timeouts.idle: must be at most a year (365d)",
        ),
        (
            "timeouts: {idle: true}",
            "18: timeouts.idle: must be a text: put the word into quotes if it is meant as one",
        ),
        (
            "log: {format: xml}",
            "15: log.format: \"xml\" is unknown; known are `text` and `json`",
        ),
        (
            "log: {level: debgu}",
            "14: log.level: must be off, error, warn, info, debug or trace, and may have exceptions: info,hyper=warn",
        ),
        ("log: {level: ''}", "14: log.level: must not be empty"),
        (
            "promql: {foreign_matchers: Reject}",
            "28: promql.foreign_matchers: \"Reject\" is unknown; did you mean `reject`?",
        ),
        (
            "passthrough: {authentication: true}",
            "31: passthrough.authentication: must be a text: put the word into quotes if it is meant as one",
        ),
        (
            "reload: {poll_interval: 0s}",
            "25: reload.poll_interval: must be longer than zero",
        ),
    ] {
        assert_eq!(error_of_section(section), error, "{section}");
    }
}

#[test]
fn what_could_never_pass_through_is_refused() {
    for (section, message) in [
        ("passthrough: {methods: []}", "passthrough.methods: "),
        (
            "passthrough: {methods: [get]}",
            "must be a method in capital letters",
        ),
        (
            "passthrough: {methods: [\"*\"]}",
            "must be a method in capital letters",
        ),
        ("passthrough: {paths: []}", "passthrough.paths: "),
        (
            "passthrough: {paths: [graph]}",
            "must be a path like /graph",
        ),
        ("passthrough: {paths: [/a*]}", "must be a path like /graph"),
        ("passthrough: {paths: [/*/a]}", "must be a path like /graph"),
        (
            "passthrough: {paths: [/a/../b]}",
            "must be a path like /graph",
        ),
        ("passthrough: {paths: [//a]}", "must be a path like /graph"),
        (
            "passthrough: {paths: [/a%20b]}",
            "must be a path like /graph",
        ),
        (
            "passthrough: {paths: [\"/a?b\"]}",
            "must be a path like /graph",
        ),
    ] {
        let error = error_of_section(section);
        assert!(error.contains(message), "{section}: {error}");
    }
}

#[test]
fn keys() {
    for (section, error) in [
        (
            "promql: {x: 1}",
            "10: promql.x: unknown key; known here are `foreign_matchers`",
        ),
        (
            "promql: {<<: 1}",
            "10: promql.…: unknown key; known here are `foreign_matchers`",
        ),
        (
            "drain: {min: 1s, min: 2s}",
            "18: drain.min: is given twice, first in line 18",
        ),
        // A value whose key, or the space after it, is missing could be a secret.
        (
            "promql: {hunter2}",
            "10: promql.…: unknown key; known here are `foreign_matchers`",
        ),
        (
            "promql: {foreign_matchers:hunter2}",
            "10: promql.foreign_matchers: a space is missing after `foreign_matchers:`",
        ),
        (
            "promql: {pass:hunter2: 1}",
            "10: promql.…: unknown key; known here are `foreign_matchers`",
        ),
    ] {
        assert_eq!(error_of_section(section), error, "{section}");
    }
}

#[test]
fn error_is_one_line() {
    let error = error_of_section("log: {format: \"a\\nb\\u2028\\e[31m\"}");
    assert!(error.contains(r#""a\nb\u{2028}\u{1b}[31m""#), "{error}");
    let long = "x".repeat(1000);
    let error = error_of_section(&format!("log: {{format: {long}}}"));
    assert!(error.len() < 200, "{error}");
}

#[test]
fn variables() {
    for (url, error) in [
        ("http://${HOST}", "the environment variable HOST is not set"),
        (
            "http://${HOST",
            "`${` must be followed by a variable's name and `}`; write `$${` for a literal `${`",
        ),
        (
            "http://${}",
            "`${` must be followed by a variable's name and `}`; write `$${` for a literal `${`",
        ),
        (
            "http://${1X}",
            "`${` must be followed by a variable's name and `}`; write `$${` for a literal `${`",
        ),
        (
            "http://${A B}",
            "`${` must be followed by a variable's name and `}`; write `$${` for a literal `${`",
        ),
        ("${EMPTY}", "must not be empty"),
    ] {
        let text = minimal_but("http://127.0.0.1:10902", &format!("\"{url}\""));
        let errors = Fake::config(&text)
            .variable("EMPTY", "")
            .load()
            .unwrap_err();
        assert_eq!(only(errors), format!("7:10: upstreams[0].url: {error}"));
    }
}

#[test]
fn secrets_are_never_shown() {
    let secret = "hunter2";
    for (from, to) in [
        (
            "url: http://127.0.0.1:10902",
            "url: http://user:hunter2@host",
        ),
        ("url: http://127.0.0.1:10902", "url: hunter2"),
        ("url: http://127.0.0.1:10902", "url: ${SECRET}"),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: {bearer_token: 'hunter2 x'}",
        ),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: {bearer_token: [hunter2]}",
        ),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: {bearer_token:hunter2}",
        ),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: {bearer_token: *hunter2}",
        ),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: {bearer_token: !hunter2}",
        ),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: hunter2",
        ),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: {basic: {username: 'hunter2:', password: x}}",
        ),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: {basic: {username: x, password: \"hunter2\\n\"}}",
        ),
        (
            "url: http://127.0.0.1:10902",
            "url: http://x\n    credentials: {basic: {username: x, passwort: hunter2}}",
        ),
        ("discovery: true", "hmac_secret: hunter2"),
        ("discovery: true", "hmac_secret: '${hunter2 x}'"),
        (
            "discovery: true",
            "hmac_secret: hunter2\n      hmac_secret_file: secret",
        ),
        ("discovery: true", "jwks_url: https://hunter2:hunter2@x/"),
        ("discovery: true", "jwks_file: secret"),
        ("discovery: true", "pem_file: secret"),
        (
            "discovery: true",
            "discovery: true\n      bearer_token_file: secret",
        ),
        ("discovery: true", "discovery: true\n      ca_file: secret"),
    ] {
        let errors = Fake::config(&minimal_but(from, to))
            .variable("SECRET", secret)
            .file("/etc/secret", "hunter2 hunter2")
            .load()
            .unwrap_err();
        assert!(!errors.join("\n").contains(secret), "{errors:?}");
    }
}
