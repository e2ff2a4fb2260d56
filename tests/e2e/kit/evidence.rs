//! What a test needs and a machine may not have: corpora, running stores, programs.
//!
//! One rule for all of it: where `CI` is `true`, as CI systems set it, missing evidence fails the
//! test. Elsewhere the test leaves out what needs it and says so on standard error, past the
//! capture of a passing test's output. What is given but wrong fails everywhere.
//!
//! Running stores that no package provides (Thanos, Tempo) are asked besides: without their URLs
//! the test says so, in CI too, and what is recorded of them is tested.
//!
//! `src/testing.rs` has this file too, for the tests beside the code.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The folder of the corpora; `../shared/corpus` beside the repository where it is not set.
const CORPUS: &str = "PARTYWALL_CORPUS";

/// Fails in CI, and says elsewhere that `what` is missing and how it is provided.
pub fn missing(what: &str, remedy: &str) {
    assert!(
        !is_ci(std::env::var("CI").ok().as_deref()),
        "missing in CI, where nothing may be left out: {what}: {remedy}"
    );
    report(what, remedy);
}

/// Says that `what` is missing, in CI too: no package provides it.
pub fn report(what: &str, remedy: &str) {
    // Not `eprintln`, which is captured.
    writeln!(
        std::io::stderr(),
        "\n!!! NOT TESTED, as it is missing: {what}: {remedy}"
    )
    .expect("a terminal");
}

fn is_ci(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
}

/// Where a program is in `PATH`.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A program that is in a Debian package of its name.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = in_path(name);
    if found.is_none() {
        missing(name, &format!("apt-get install -y {name}"));
    }
    found
}

/// A file or a folder of the corpora.
pub fn corpus(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let given = std::env::var_os(CORPUS).map(PathBuf::from);
    let found = locate(given.as_deref(), &beside, name).unwrap_or_else(|wrong| panic!("{wrong}"));
    if found.is_none() {
        let remedy = format!("set {CORPUS} to the folder that has it");
        missing(&format!("{name} of the corpora"), &remedy);
    }
    found
}

/// `None` where there is none by default; an error where the folder that is given has none.
fn locate(given: Option<&Path>, beside: &Path, name: &str) -> Result<Option<PathBuf>, String> {
    let path = given.unwrap_or(beside).join(name);
    match (path.exists(), given) {
        (true, _) => Ok(Some(path)),
        (false, None) => Ok(None),
        (false, Some(folder)) => Err(format!("{CORPUS}={} has no {name}", folder.display())),
    }
}

/// The URLs of running stores, by these variables: all of them or none.
pub fn running_stores<const N: usize>(names: [&str; N], what: &str) -> Option<[String; N]> {
    let value = |name: &str| std::env::var(name).ok();
    let found = all_or_none(names, value).unwrap_or_else(|wrong| panic!("{wrong}"));
    if found.is_none() {
        report(what, &format!("set {}", names.join(", ")));
    }
    found
}

fn all_or_none<const N: usize>(
    names: [&str; N],
    value: impl Fn(&str) -> Option<String>,
) -> Result<Option<[String; N]>, String> {
    let unset: Vec<&str> = names
        .into_iter()
        .filter(|name| value(name).is_none())
        .collect();
    if unset.is_empty() {
        return Ok(Some(names.map(|name| value(name).unwrap_or_default())));
    }
    if unset.len() == N {
        return Ok(None);
    }
    Err(format!(
        "set {} too, or none of {}",
        unset.join(", "),
        names.join(", ")
    ))
}

mod tests {
    use super::*;

    #[test]
    fn wrong_corpus_folder_is_an_error_and_a_missing_default_is_not() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let nowhere = Path::new("/nonexistent");
        let here = Ok(Some(folder.join("Cargo.toml")));
        assert_eq!(locate(Some(folder), nowhere, "Cargo.toml"), here);
        assert_eq!(locate(None, folder, "Cargo.toml"), here);
        assert_eq!(locate(None, nowhere, "Cargo.toml"), Ok(None));
        let wrong = locate(Some(nowhere), folder, "Cargo.toml").unwrap_err();
        assert_eq!(wrong, "PARTYWALL_CORPUS=/nonexistent has no Cargo.toml");
    }

    #[test]
    fn variables_that_are_set_in_part_are_an_error() {
        let set = |those: &'static [&str]| {
            let value = |name: &str| those.contains(&name).then(|| name.to_lowercase());
            all_or_none(["A", "B"], value)
        };
        let both = ["a".to_owned(), "b".to_owned()];
        assert_eq!(set(&["A", "B"]), Ok(Some(both)));
        assert_eq!(set(&[]), Ok(None));
        assert_eq!(set(&["A"]), Err("set B too, or none of A, B".to_owned()));
    }

    #[test]
    fn only_a_true_ci_variable_means_ci() {
        let values = [None, Some(""), Some("false"), Some("true"), Some("1")];
        assert_eq!(values.map(is_ci), [false, false, false, true, true]);
    }
}
