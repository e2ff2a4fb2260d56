use std::collections::BTreeSet;
use std::path::Path;

use super::super::reader::{Field, Reader};
use super::super::sections;
use super::super::settings::{Drain, Limits, Log, PromQl, Reload, Settings, Timeouts};
use super::super::yaml::{self, Node, Value};
use super::{Fake, settings_of};

const WHOLE: &str = include_str!("../../../config/partywall.yaml");

#[test]
fn minimal_example_is_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/minimal.yaml");
    let loaded = super::super::load(&path, &super::super::OsAccess).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(loaded.fingerprint.is_current(&super::super::OsAccess));
}

#[test]
fn annotated_example_has_the_defaults() {
    let whole = settings_of(WHOLE);
    let minimal = settings_of(super::MINIMAL);
    assert_eq!(whole, minimal);
    let Settings {
        promql,
        limits,
        timeouts,
        drain,
        reload,
        log,
        ..
    } = whole;
    assert_eq!(promql, PromQl::default());
    assert_eq!(limits, Limits::default());
    assert_eq!(timeouts, Timeouts::default());
    assert_eq!(drain, Drain::default());
    assert_eq!(reload, Reload::default());
    assert_eq!(log, Log::default());
}

/// Every default must be written out, and every alternative present.
#[test]
fn annotated_example_has_exactly_the_known_keys() {
    let text = with_alternatives(WHOLE);
    let tree = yaml::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let fake = Fake::default();
    let mut reader = Reader::new(Path::new("p.yaml"), &fake);
    let _ = sections::read(&mut reader, &Field::root(&tree));
    let mut known = std::mem::take(&mut reader.known);
    // Known only to be refused with a reason.
    assert!(known.remove("tenancy.and[].rules[].all_tenants"));
    assert!(known.contains("tokens.issuers[].jwks_url"));

    let mut written = BTreeSet::new();
    keys(&tree, "", &mut written);
    let is_named_by_the_user = |path: &str| {
        path.contains(".map.")
            || path == "tenant_limits.tenants.acme"
            || path
                .rsplit_once('.')
                .is_some_and(|(section, _)| section.ends_with(".selectors"))
    };
    written.retain(|path| !is_named_by_the_user(path));
    assert_eq!(of_any_tenant(written), of_any_tenant(known));
}

/// The same keys, with each tenant that has a selector called `*`: no tenant has all of its keys.
fn of_any_tenant(paths: BTreeSet<String>) -> BTreeSet<String> {
    let all = paths
        .into_iter()
        .map(|path| match path.split_once(".selectors.") {
            Some((before, after)) => {
                let (_, key) = after.split_once('.').unwrap();
                format!("{before}.selectors.*.{key}")
            }
            None => path,
        });
    all.collect()
}

/// The same text with the examples uncommented: `# key: value` without its `# `. Lines with `##`
/// are prose.
fn with_alternatives(text: &str) -> String {
    let uncommented = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        let (indent, rest) = line.split_at(indent);
        match rest.strip_prefix('#') {
            Some(prose) if prose.starts_with('#') => format!("{line}\n"),
            Some(example) => {
                let example = example
                    .strip_prefix(' ')
                    .unwrap_or_else(|| panic!("{line}"));
                format!("{indent}{example}\n")
            }
            None => format!("{line}\n"),
        }
    });
    uncommented.collect()
}

fn keys(node: &Node, path: &str, into: &mut BTreeSet<String>) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items
            .iter()
            .for_each(|item| keys(item, &format!("{path}[]"), into)),
        Value::Map(entries) => {
            for entry in entries {
                let path = match path {
                    "" => entry.key.clone(),
                    _ => format!("{path}.{}", entry.key),
                };
                keys(&entry.value, &path, into);
                into.insert(path);
            }
        }
    }
}

#[test]
fn every_provider_example_loads_without_a_warning() {
    let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    for text in [
        include_str!("../../../config/keycloak.yaml"),
        include_str!("../../../config/entra.yaml"),
        include_str!("../../../config/auth0.yaml"),
        include_str!("../../../config/dex.yaml"),
        include_str!("../../../config/google.yaml"),
        include_str!("../../../config/okta.yaml"),
        include_str!("../../../config/zitadel.yaml"),
        include_str!("../../../config/kubernetes.yaml"),
        include_str!("../../../config/grafana-alerting.yaml"),
        include_str!("../../../config/openshift.yaml"),
        include_str!("../../../config/clusters.yaml"),
        include_str!("../../../config/alertmanager.yaml"),
    ] {
        let fake = Fake::config(text)
            .file(&format!("{account}/ca.crt"), ca.cert.pem())
            .file(&format!("{account}/service-ca.crt"), ca.cert.pem())
            .file(&format!("{account}/token"), "a.b.c")
            .file(
                "/etc/partywall/alerting.pem",
                ca.signing_key.public_key_pem(),
            );
        let warnings = fake
            .warnings()
            .unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
        assert!(warnings.is_empty(), "{warnings:?}\n{text}");
    }
}

#[test]
fn every_example_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "alertmanager.yaml",
            "auth0.yaml",
            "clusters.yaml",
            // tests/e2e/deploy has these two.
            "compose",
            "compose.yaml",
            "dex.yaml",
            "entra.yaml",
            "google.yaml",
            "grafana-alerting.yaml",
            "keycloak.yaml",
            "kubernetes.yaml",
            "minimal.yaml",
            "okta.yaml",
            "openshift.yaml",
            "partywall.yaml",
            "policies.yaml",
            "zitadel.yaml",
        ]
    );
}
