//! The modules that decide what a tenant sees know no I/O, no HTTP and no logs: they can be read,
//! tested and fuzzed alone. Of the config they know the plain settings. Others' parsers are
//! called in a few places, each of which bounds what it hands them. And what is asked for a caller
//! without proof is never sent.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::rust_files;

const PURE: [&str; 8] = [
    "alertmanager",
    "grpc",
    "prometheus",
    "promql",
    "tempo",
    "tenancy",
    "traceql",
    "wire",
];

const FORBIDDEN: [&str; 13] = [
    "tokio",
    "hyper",
    "tracing",
    "prometheus_client",
    "std::net",
    "std::env",
    "crate::app",
    "crate::auth",
    "crate::server",
    "crate::proxy",
    "crate::telemetry",
    "crate::upstream",
    "crate::cli",
];

/// A parser's name in code, and the only files that may call it: each knows the input's size and
/// depth. `serde_json` itself goes 128 deep and no deeper.
const GUARDED: [(&str, &[&str]); 4] = [
    // Recursive, superlinear and known to panic: bounded by the scan, and caught.
    ("parser::parse(", &["promql/verify.rs"]),
    (
        "serde_json::from_",
        &[
            "admin/explain.rs",
            "alertmanager/posted.rs",
            "auth/fetch/mod.rs",
            "auth/jwks/mod.rs",
            "cli/demo/tour.rs",
            "cli/demo/traces.rs",
            "cli/doctor/probe.rs",
            "cli/doctor/issuers.rs",
            "cli/explain/mod.rs",
            "config/files.rs",
            "config/policies.rs",
            "prometheus/json/reader.rs",
            "proxy/enforce/traces/diff.rs",
            "tempo/answer.rs",
            "tempo/trace/json/text.rs",
        ],
    ),
    (
        "serde_json::Deserializer::",
        &["alertmanager/posted.rs", "strict_json.rs"],
    ),
    ("snap::", &["prometheus/remote_read/mod.rs"]),
];

#[test]
fn pure_modules_name_nothing_impure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut read = 0;
    for module in PURE {
        for file in rust_files(&src.join(module)) {
            read += 1;
            for name in FORBIDDEN {
                let names = |line: &str| {
                    line.contains(&format!("{name}::")) || line.contains(&format!("use {name};"))
                };
                let found = code(&file).into_iter().find(|line| names(line));
                assert!(
                    found.is_none(),
                    "{} names {name}: {}",
                    file.display(),
                    found.unwrap_or_default()
                );
            }
        }
    }
    assert!(read > 40, "only {read} files were read");
}

#[test]
fn parsers_of_others_are_called_where_their_input_is_bounded() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&src);
    for (call, allowed) in GUARDED {
        let calling: Vec<String> = files
            .iter()
            .filter(|file| code(file).iter().any(|line| line.contains(call)))
            .map(|file| file.strip_prefix(&src).unwrap().display().to_string())
            .collect();
        for file in &calling {
            assert!(
                allowed.contains(&file.as_str()),
                "{file} calls {call}…) and is no place where that is guarded"
            );
        }
        for file in allowed {
            assert!(
                calling.iter().any(|calling| calling == file),
                "{file} calls {call}…) no more: take it off the list"
            );
        }
    }
}

/// `config` is below all that runs, and above the APIs and the ground alone.
#[test]
fn config_names_apis_and_ground_and_they_do_not_name_it() {
    const BELOW: [&str; 6] = [
        "closed_group",
        "prometheus",
        "promql",
        "tempo",
        "tenant",
        "value_pattern",
    ];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for file in rust_files(&src.join("config")) {
        for line in code(&file) {
            for named in line.split("crate::").skip(1) {
                let module: String = named
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let is_own = module == "config" || module.is_empty();
                assert!(
                    is_own || BELOW.contains(&&*module),
                    "{} names {module}, which is not below it",
                    file.display()
                );
                seen.insert(module);
            }
        }
    }
    for module in BELOW {
        assert!(
            seen.contains(module),
            "config names {module} no more: take it off the list"
        );
        let folder = src.join(module);
        let module = if folder.is_dir() {
            folder
        } else {
            folder.with_extension("rs")
        };
        for file in rust_files(&module) {
            let names = code(&file)
                .into_iter()
                .find(|line| line.contains("crate::config"));
            assert!(names.is_none(), "{} names config", file.display());
        }
    }
}

/// A file that is longer has more than one idea.
#[test]
fn files_have_at_most_400_lines_before_their_tests() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&src).iter().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(file).unwrap();
        let own = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
        let lines = own.lines().count();
        assert!(lines <= 400, "{} has {lines}", file.display());
    }
}

/// `forbid` in the manifest holds for every target and cannot be allowed again in a file.
#[test]
fn our_own_code_cannot_be_unsafe() {
    let manifest = include_str!("../../Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}

/// A caller without a verified token exists for looking at what would be sent, where nothing is.
#[test]
fn only_explain_supposes_a_caller() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let supposing: Vec<PathBuf> = rust_files(&src)
        .into_iter()
        .filter(|file| {
            fs::read_to_string(file)
                .unwrap()
                .contains("Caller::supposed(")
        })
        .collect();
    assert_eq!(supposing, [src.join("proxy/explain/mod.rs")]);
    for file in rust_files(&src.join("proxy/explain")) {
        let text = fs::read_to_string(&file).unwrap();
        for sending in [
            "forward::forward",
            "exchange(",
            "respond::",
            ".send(request)",
        ] {
            assert!(!text.contains(sending), "{}: {sending}", file.display());
        }
    }
}

/// What lets a request be forwarded unenforced: a config's word, made in one place; the proof of it, which
/// only its own file can make, as its fields are private; and one caller of what takes the proof.
#[test]
fn only_shadow_mode_forwards_unenforced_requests() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&src);
    for (call, allowed) in [
        ("Shadow::new(", &["config/sections/upstreams/shadow.rs"][..]),
        ("enforce::unmodified(", &["proxy/shadow/mod.rs"]),
        ("InForce::of(", &["proxy/shadow/mod.rs"]),
        // What makes a request that may be sent.
        ("Enforced {", &["proxy/enforce/enforced/mod.rs"]),
        // What is enforced without a permit is not sent.
        (
            ".for_evaluation(",
            &["proxy/explain/mod.rs", "proxy/shadow/evaluation.rs"],
        ),
        (".assuming(", &["proxy/explain/mod.rs"]),
    ] {
        let mut naming: Vec<String> = files
            .iter()
            .filter(|file| {
                let makes = |line: &String| {
                    line.contains(call) && !line.contains("struct ") && !line.contains("impl ")
                };
                code(file).iter().any(makes)
            })
            .map(|file| file.strip_prefix(&src).unwrap().display().to_string())
            .collect();
        naming.sort();
        assert_eq!(naming, allowed, "{call}");
    }
    let proof = fs::read_to_string(src.join("proxy/shadow/in_force.rs")).unwrap();
    assert!(!proof.contains("pub(in crate::proxy) route: ") && !proof.contains("pub until"));
}

/// The lines of a file that are no tests, without their comments.
fn code(file: &Path) -> Vec<String> {
    // Tests may read fixtures and the environment.
    if is_test(file) {
        return Vec::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let without_comment = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    code.unwrap_or_default()
        .lines()
        .map(without_comment)
        .collect()
}

fn is_test(file: &Path) -> bool {
    let mut parts = file.components();
    parts.any(|part| {
        let part = part.as_os_str();
        part == "tests" || part == "tests.rs" || part == "testing.rs"
    }) || file.to_string_lossy().ends_with("_tests.rs")
}
