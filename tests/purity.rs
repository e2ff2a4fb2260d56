//! The modules that decide what a tenant sees know no I/O, no HTTP and no logs: they can be read,
//! tested and fuzzed alone. Of the config they know the plain settings. And what is asked for a
//! caller without proof is never sent.

#![allow(clippy::unwrap_used)] // A test's own failure.

use std::fs;
use std::path::{Path, PathBuf};

const PURE: [&str; 7] = [
    "grpc",
    "prometheus",
    "promql",
    "tempo",
    "tenancy",
    "trace",
    "traceql",
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
    "crate::listen",
    "crate::proxy",
    "crate::telemetry",
    "crate::upstream",
    "crate::cli",
];

#[test]
fn pure_modules_name_nothing_impure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut read = 0;
    for module in PURE {
        for file in rust_files(&src.join(module)) {
            read += 1;
            let text = fs::read_to_string(&file).unwrap();
            for name in FORBIDDEN {
                let names = |line: &str| {
                    let code = line.split("//").next().unwrap_or_default();
                    code.contains(&format!("{name}::")) || code.contains(&format!("use {name};"))
                };
                // Tests may read fixtures and the environment.
                let is_test = file.components().any(|part| {
                    let part = part.as_os_str();
                    part == "tests" || part == "tests.rs" || part == "testing.rs"
                }) || file.to_string_lossy().ends_with("_tests.rs");
                let code = text
                    .split("#[cfg(test)]\nmod tests {")
                    .next()
                    .unwrap_or_default();
                let found = code.lines().find(|line| names(line));
                assert!(
                    is_test || found.is_none(),
                    "{} names {name}: {}",
                    file.display(),
                    found.unwrap_or_default()
                );
            }
        }
    }
    assert!(read > 40, "only {read} files were read");
}

/// A caller whom nobody proved exists for looking at what would be sent, where nothing is.
#[test]
fn only_the_dry_run_supposes_a_caller() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let supposing: Vec<PathBuf> = rust_files(&src)
        .into_iter()
        .filter(|file| {
            fs::read_to_string(file)
                .unwrap()
                .contains("Caller::supposed(")
        })
        .collect();
    assert_eq!(supposing, [src.join("proxy/dry_run/mod.rs")]);
    for file in rust_files(&src.join("proxy/dry_run")) {
        let text = fs::read_to_string(&file).unwrap();
        for sending in ["forward::forward", "respond::", ".send(request)"] {
            assert!(!text.contains(sending), "{}: {sending}", file.display());
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
