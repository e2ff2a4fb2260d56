//! What we build upon, by rule: from crates.io alone, under licences that we may ship, with one TLS
//! and no wildcard. What `cargo deny check bans licenses sources` would say, without installing it
//! (a build of it takes as long as our own).
#![cfg(test)]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Permissive, and known to us. A crate with another one is a decision, made here.
const LICENCES: [&str; 8] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// rustls with aws-lc is our TLS; the others bring C libraries of the system, or a second one.
const BANNED: [&str; 6] = [
    "native-tls",
    "openssl",
    "openssl-sys",
    "async-std",
    "git2",
    "reqwest",
];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {error}");
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].take();
    let Value::Array(packages) = packages else {
        panic!("cargo metadata lists no packages");
    };
    assert!(packages.len() > 50, "only {} packages", packages.len());
    packages
}

fn name(package: &Value) -> &str {
    package["name"].as_str().expect("a name")
}

#[test]
fn every_crate_is_from_crates_io() {
    for package in packages() {
        let source = package["source"].as_str();
        let is_ours = source.is_none() && name(&package) == env!("CARGO_PKG_NAME");
        assert!(
            is_ours || source == Some(CRATES_IO),
            "{} comes from {source:?}",
            name(&package)
        );
    }
}

#[test]
fn every_licence_is_one_we_may_ship() {
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(
            is_allowed(licence),
            "{} is under {licence:?}",
            name(&package)
        );
    }
}

#[test]
fn nothing_banned_is_built_upon_and_no_version_is_left_open() {
    let packages = packages();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &packages {
        assert!(
            !BANNED.contains(&name(package)),
            "{} is banned",
            name(package)
        );
        let version = package["version"].as_str().expect("a version");
        versions.entry(name(package)).or_default().push(version);
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        println!("warning: {name} is there in several versions: {versions:?}");
    }
    let ours = packages.iter().find(|package| package["source"].is_null());
    let dependencies = ours.expect("us")["dependencies"]
        .as_array()
        .expect("a list");
    assert!(dependencies.len() > 10, "{dependencies:?}");
    for dependency in dependencies {
        let required = dependency["req"].as_str().expect("a requirement");
        assert!(
            !required.contains('*'),
            "{}: {required:?}",
            name(dependency)
        );
    }
}

#[test]
fn our_own_code_cannot_be_unsafe() {
    let manifest = include_str!("../Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}

/// Whether one may comply with the expression (SPDX annex D; `/` is an older `OR`) by allowed
/// licences alone.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let allowed = alternative(&mut rest);
    allowed && rest.is_empty() && !words.is_empty()
}

fn alternative(words: &mut &[&str]) -> bool {
    let mut allowed = conjunction(words);
    while let [word, after @ ..] = *words
        && *word == "OR"
    {
        *words = after;
        allowed |= conjunction(words);
    }
    allowed
}

fn conjunction(words: &mut &[&str]) -> bool {
    let mut allowed = one(words);
    while let [word, after @ ..] = *words
        && *word == "AND"
    {
        *words = after;
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut &[&str]) -> bool {
    match **words {
        ["(", ref after @ ..] => {
            *words = after;
            let allowed = alternative(words);
            let closed = words.split_first().is_some_and(|(word, _)| *word == ")");
            *words = words.get(1..).unwrap_or_default();
            allowed && closed
        }
        [licence, "WITH", exception, ref after @ ..] => {
            *words = after;
            LICENCES.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, ref after @ ..] => {
            *words = after;
            LICENCES.contains(&licence)
        }
        [] => false,
    }
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("MIT OR GPL-3.0 AND AGPL-3.0", true),
        ("(MIT OR GPL-3.0) AND AGPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-2.0 WITH Classpath-exception", false),
        ("(MIT", false),
        ("MIT ISC", false),
    ] {
        assert_eq!(is_allowed(expression), expected, "{expression}");
    }
}
