//! The Dockerfile. No engine runs it here; what it reads and says is checked.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::repository::{root, text};
use super::tools;

/// What `.dockerignore` lets into the build.
fn let_in() -> Vec<String> {
    let ignored = text(".dockerignore");
    let mut lines = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let names = lines.map(|line| line.strip_prefix('!').expect("an exception"));
    names.map(str::to_owned).collect()
}

#[test]
fn build_context_has_only_what_is_copied() {
    let dockerfile = text("Dockerfile");
    let mut copied: Vec<_> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| {
            let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            words.pop();
            words
        })
        .collect();
    let mut let_in = let_in();
    copied.sort();
    let_in.sort();
    assert_eq!(copied, let_in);
}

/// Cargo wants every file that the manifest names, and the sources every file they include.
#[test]
fn cargo_reads_the_package_from_what_the_build_gets() {
    let folder = TempDir::new().unwrap();
    for name in let_in() {
        copy(&root().join(&name), &folder.path().join(&name));
    }
    let mut cargo = Command::new(env!("CARGO"));
    let cargo = cargo.args(["metadata", "--offline", "--locked", "--no-deps"]);
    tools::run(cargo.args(["--format-version", "1"]).current_dir(&folder));
    for file in super::repository::files("src") {
        let source = fs::read_to_string(&file).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        let is_test = file.components().any(|part| part.as_os_str() == "tests");
        if is_test || !code.contains("include_str!(") {
            continue;
        }
        for after in code.split("include_str!(").skip(1) {
            let name = after.split('"').nth(3).expect("a path");
            let included = folder.path().join(name.trim_start_matches('/'));
            assert!(included.is_file(), "{} includes {name}", file.display());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

#[test]
fn it_builds_with_the_rust_that_cargo_asks_for() {
    let rust = env!("CARGO_PKG_RUST_VERSION");
    let base = format!("rust:{rust}-slim-bookworm AS build");
    assert!(text("Dockerfile").contains(&base), "no {base}");
}

/// The same user as in the pods, and never root.
#[test]
fn image_runs_as_an_arbitrary_user() {
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains("\nUSER 65532:65532\n"));
    assert!(text("k8s/components/container/container.yaml").contains("runAsUser: 65532"));
}

#[test]
fn hadolint_has_no_remarks() {
    let Some(hadolint) = tools::find("hadolint", "the Dockerfile is not linted") else {
        return;
    };
    let mut hadolint = Command::new(hadolint);
    tools::run(hadolint.arg("Dockerfile").current_dir(root()));
}
