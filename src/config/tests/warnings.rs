//! Valid configs that grant too much: some are warned about, some refused.

use super::cross_checks::message;
use super::{Fake, MINIMAL, minimal_but};

const CLAIM: &str = "  claim: tenant_id\n";
const LABEL: &str = "    label: tenant_id\n";
const ISSUER: &str = "https://sso.example.com/realms/observability";
const ANOTHER: &str = "      discovery: true\n    - {issuer: https://b.example.com, audiences: [x], \
                       algorithms: [RS256], discovery: true}\n";

fn warnings_of(text: &str) -> Vec<String> {
    Fake::config(text)
        .warnings()
        .unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// The only warning of the minimal config with one thing replaced.
fn warning(from: &str, to: &str) -> String {
    let warnings = warnings_of(&minimal_but(from, to));
    assert_eq!(warnings.len(), 1, "{to}: {warnings:?}");
    warnings[0].clone()
}

fn two_issuers(rules: &str) -> String {
    minimal_but(CLAIM, rules).replace("      discovery: true\n", ANOTHER)
}

#[test]
fn minimal_config_has_no_warnings() {
    assert!(warnings_of(MINIMAL).is_empty());
}

#[test]
fn warning_names_file_position_and_key() {
    assert!(warning(LABEL, "    label: job\n").starts_with(
        "17:12: warning: tenancy.metrics.label: Prometheus sets this label by its scrape config"
    ));
}

#[test]
fn warnings_are_in_the_order_of_the_file() {
    let text = two_issuers("  claim: sub\n").replace(LABEL, "    label: job\n");
    let warnings = warnings_of(&text);
    let keys: Vec<_> = warnings
        .iter()
        .filter_map(|text| text.split(": ").nth(2))
        .collect();
    assert_eq!(keys, ["tenancy.claim", "tenancy.metrics.label"]);
}

#[test]
fn all_tenants_for_every_caller_is_refused() {
    let refused = "`all_tenants` would hold for every caller: each issuer of tokens.issuers has \
                   such a rule that asks for no claim. Ask for `claim` and `values`";
    for (from, to) in [
        (
            "  rules: [{when: {issuer: ISSUER}, all_tenants: true}]\n",
            "tenancy.rules[0]",
        ),
        (
            "  rules:\n    - {when: {claim: a, values: [b]}, tenants: [c]}\n    \
             - {when: {issuer: ISSUER}, all_tenants: true}\n  claim: t\n",
            "tenancy.rules[1]",
        ),
    ] {
        assert_eq!(
            message(CLAIM, &from.replace("ISSUER", ISSUER)),
            format!("{to}: {refused}")
        );
    }
    let rules = format!(
        "  rules:\n    - {{when: {{issuer: {ISSUER}}}, all_tenants: true}}\n    \
         - {{when: {{issuer: https://b.example.com}}, all_tenants: true}}\n"
    );
    let errors = Fake::config(&two_issuers(&rules)).load().unwrap_err();
    assert!(
        errors[0].ends_with(&format!("tenancy.rules[1]: {refused}")),
        "{errors:?}"
    );
}

#[test]
fn all_tenants_for_one_of_several_issuers_is_accepted() {
    let rules =
        "  rules: [{when: {issuer: https://b.example.com}, all_tenants: true}]\n  claim: t\n";
    assert!(warnings_of(&two_issuers(rules)).is_empty());
    // An earlier rule decides.
    let rules = format!(
        "  rules:\n    - {{when: {{issuer: {ISSUER}}}, tenants: [a]}}\n    \
         - {{when: {{issuer: {ISSUER}}}, all_tenants: true}}\n"
    );
    assert!(warnings_of(&minimal_but(CLAIM, &rules)).is_empty());
}

#[test]
fn all_tenants_by_a_claim_of_any_issuer_is_warned_about() {
    let rules =
        "  rules: [{when: {claim: groups, values: [admin]}, all_tenants: true}]\n  claim: t\n";
    assert!(warnings_of(&minimal_but(CLAIM, rules)).is_empty());
    let warnings = warnings_of(&two_issuers(rules));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("tenancy.rules[0]: `all_tenants` is granted by a claim of any issuer"),
        "{warnings:?}"
    );
    let bound = rules.replace("{claim", &format!("{{issuer: {ISSUER}, claim"));
    assert!(warnings_of(&two_issuers(&bound)).is_empty());
}

#[test]
fn pattern_must_have_one_group_that_always_matches() {
    let error = "tenancy.pattern: a value can match without the group, and is never a tenant then: \
                 put the group into every alternative, or use none";
    for pattern in ["team-(.+)|admins", "(team)?-x", "(?:a(b)|c)d", "x(y){0,2}"] {
        let error_of = message(CLAIM, &format!("  claim: c\n  pattern: '{pattern}'\n"));
        assert_eq!(error_of, error, "{pattern}");
    }
    for pattern in ["(.+)", "team-.+|x", "(?:a|b)-(?<t>.+)", "(a|b)", "(a)+"] {
        let text = minimal_but(CLAIM, &format!("  claim: c\n  pattern: '{pattern}'\n"));
        assert!(warnings_of(&text).is_empty(), "{pattern}");
    }
    for pattern in ["(a)-(b)", "(a)|(b)", "((a)b)"] {
        let text = warning(CLAIM, &format!("  claim: c\n  pattern: '{pattern}'\n"));
        let expected =
            "tenancy.pattern: has several groups, of which the first alone is the tenant";
        assert!(text.contains(expected), "{pattern}: {text}");
    }
}

#[test]
fn registered_claims_are_refused_as_tenants() {
    for (claim, told) in [
        ("exp", "`exp` is a time"),
        ("nbf", "`nbf` is a time"),
        ("iat", "`iat` is a time"),
        ("auth_time", "`auth_time` is a time"),
        ("jti", "`jti` differs from token to token"),
        ("nonce", "`nonce` differs from token to token"),
        ("sid", "`sid` differs from token to token"),
    ] {
        for (place, text) in [
            ("tenancy.claim", format!("  claim: {claim}\n")),
            (
                "tenancy.rules[0].claim",
                format!("  rules: [{{claim: [{claim}]}}]\n"),
            ),
            (
                "tenancy.rules[0].when.claim",
                format!("  rules: [{{when: {{claim: {claim}, values: [a]}}, tenants: [a]}}]\n"),
            ),
        ] {
            let error = message(CLAIM, &text);
            let expected = format!("{place}: {told}: name the claim that holds the tenants");
            assert_eq!(error, expected);
        }
    }
    for claim in [
        "iss", "aud", "scope", "scp", "acr", "amr", "typ", "email", "name",
    ] {
        let text = warning(CLAIM, &format!("  claim: {claim}\n"));
        let expected = format!("tenancy.claim: `{claim}` does not identify a tenant: ");
        assert!(text.contains(&expected), "{text}");
    }
    // A provider's own claim, or below a key of its own.
    for claim in [
        "tenant_id",
        "groups",
        "sub",
        "azp",
        "client_id",
        "tenant.aud",
        "[aud, x]",
    ] {
        let text = minimal_but(CLAIM, &format!("  claim: {claim}\n"));
        assert!(warnings_of(&text).is_empty(), "{claim}");
    }
}

#[test]
fn registered_claims_are_refused_as_conditions() {
    let rules = |claim: &str| {
        format!(
            "  rules: [{{when: {{claim: {claim}, values: [a]}}, all_tenants: true}}]\n  claim: t\n"
        )
    };
    assert_eq!(
        message(CLAIM, &rules("iss")),
        "tenancy.rules[0].when.claim: `iss` is checked by `issuer`"
    );
    for claim in ["aud", "scope", "scp"] {
        let text = warning(CLAIM, &rules(claim));
        assert!(
            text.contains("warning: tenancy.rules[0].when.claim: "),
            "{text}"
        );
    }
    for claim in ["sub", "amr", "acr", "email", "groups"] {
        assert!(
            warnings_of(&minimal_but(CLAIM, &rules(claim))).is_empty(),
            "{claim}"
        );
    }
}

/// One tenant per user is a valid setup; RFC 7519 §4.1.2 makes `sub` unique within its issuer.
#[test]
fn subject_of_several_issuers_is_warned_about() {
    for rules in ["  claim: sub\n", "  rules: [{claim: sub}]\n"] {
        assert!(
            warnings_of(&minimal_but(CLAIM, rules)).is_empty(),
            "{rules}"
        );
        let warnings = warnings_of(&two_issuers(rules));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("`sub` is unique within one issuer only"));
    }
    let bound = format!("  rules: [{{when: {{issuer: {ISSUER}}}, claim: sub}}]\n");
    assert!(warnings_of(&two_issuers(&bound)).is_empty());
}

#[test]
fn labels_set_by_prometheus_are_refused_as_tenants() {
    for (label, told) in [
        ("le", "tells the parts of a histogram"),
        ("quantile", "tells the parts of a histogram"),
        (
            "__tenant__",
            "labels that begin with __ are Prometheus' own",
        ),
        ("__name__", "__name__ is the metric's name"),
        ("alertname", "is set by alerting rules"),
        ("alertstate", "is set by alerting rules"),
    ] {
        let error = message(LABEL, &format!("    label: {label}\n"));
        assert!(
            error.starts_with("tenancy.metrics.label: ") && error.contains(told),
            "{error}"
        );
    }
    for label in ["job", "instance"] {
        let text = warning(LABEL, &format!("    label: {label}\n"));
        assert!(
            text.contains("tenancy.metrics.label: Prometheus sets this label"),
            "{text}"
        );
        let and = format!("{LABEL}  and: [{{claim: c, metrics: {{label: {label}}}}}]\n");
        let text = warning(LABEL, &and);
        assert!(text.contains("tenancy.and[0].metrics.label: "), "{text}");
    }
    for label in ["tenant", "namespace", "_le", "job_name"] {
        let text = minimal_but(LABEL, &format!("    label: {label}\n"));
        assert!(warnings_of(&text).is_empty(), "{label}");
    }
}

#[test]
fn headers_of_http_itself_are_refused_as_token_headers() {
    for header in [
        "Host",
        "Cookie",
        "connection",
        "TE",
        "Transfer-Encoding",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Authorization",
        "Trailer",
        "Content-Length",
    ] {
        let sources = format!("tokens:\n  sources: [{{header: {header}}}]\n");
        let error = message("tokens:\n", &sources);
        assert!(
            error.starts_with("tokens.sources[0].header: HTTP itself gives this header a meaning"),
            "{error}"
        );
    }
    for header in ["Authorization", "X-Id-Token", "X-Forwarded-Access-Token"] {
        let sources = format!("tokens:\n  sources: [{{header: {header}}}]\n");
        assert!(
            warnings_of(&minimal_but("tokens:\n", &sources)).is_empty(),
            "{header}"
        );
    }
}

#[test]
fn unverified_upstream_and_shadow_mode_are_warned_about() {
    let text = minimal_but(
        "    url: http://127.0.0.1:10902\n",
        "    url: https://127.0.0.1:10902\n    tls: {insecure_skip_verify: true}\n    \
         shadow: {until: 2026-01-01, tenants_see_each_other: true}\n",
    );
    let warnings = warnings_of(&text);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let of = |index: usize, text: &str| assert!(warnings[index].contains(text), "{warnings:?}");
    of(
        0,
        "upstreams[0].tls.insecure_skip_verify: any certificate is trusted",
    );
    of(
        1,
        "upstreams[0].shadow: upstream thanos: its shadow mode ended at 2026-01-01T00:00:00Z",
    );
}
