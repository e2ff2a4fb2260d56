//! What a config may contain, from the file to the settings.

mod any_bytes;
mod cross_checks;
mod errors;
mod examples;
mod files;
mod listeners;
mod rules;
mod settings;
mod shadow;
mod upstreams;
mod warnings;

use std::collections::HashMap;
use std::env::VarError;
use std::io;
use std::path::{Path, PathBuf};

use super::settings::Settings;
use super::{Access, load};

pub(super) const MINIMAL: &str = include_str!("../../../config/minimal.yaml");

/// Files and variables for a test.
#[derive(Default)]
pub(super) struct Fake {
    files: HashMap<PathBuf, Vec<u8>>,
    variables: HashMap<String, String>,
}

impl Fake {
    /// The config itself is `/etc/p.yaml`.
    fn config(text: &str) -> Self {
        Self::default().file("/etc/p.yaml", text)
    }

    fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    fn load(&self) -> Result<Settings, Vec<String>> {
        match load(Path::new("/etc/p.yaml"), self) {
            Ok(loaded) => Ok(loaded.settings),
            Err(errors) => Err(errors.to_string().lines().map(str::to_owned).collect()),
        }
    }
}

impl Fake {
    /// The warnings of a valid config, without the file's name.
    fn warnings(&self) -> Result<Vec<String>, String> {
        let loaded = load(Path::new("/etc/p.yaml"), self).map_err(|errors| errors.to_string())?;
        let texts = loaded.warnings.iter().map(ToString::to_string);
        let without_file = |text: String| text.strip_prefix("/etc/p.yaml:").unwrap().to_owned();
        Ok(texts.map(without_file).collect())
    }
}

impl Access for Fake {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = self.files.get(path).cloned();
        content.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn variable(&self, name: &str) -> Result<String, VarError> {
        self.variables
            .get(name)
            .cloned()
            .ok_or(VarError::NotPresent)
    }
}

/// The minimal config with one thing replaced.
fn minimal_but(from: &str, to: &str) -> String {
    assert_eq!(MINIMAL.matches(from).count(), 1, "{from:?}");
    MINIMAL.replace(from, to)
}

fn settings_of(text: &str) -> Settings {
    Fake::config(text)
        .load()
        .unwrap_or_else(|errors| panic!("{}", errors.join("\n")))
}

/// The only error of a text, without the file's name.
fn error_of(text: &str) -> String {
    only(Fake::config(text).load().unwrap_err())
}

fn only(errors: Vec<String>) -> String {
    let [error] = errors
        .try_into()
        .unwrap_or_else(|errors: Vec<String>| panic!("not one error:\n{}", errors.join("\n")));
    error.strip_prefix("/etc/p.yaml:").unwrap().to_owned()
}
