//! Configs: settings that can be shown, or errors of one line each that show no secret.

use std::env::VarError;
use std::io;
use std::path::Path;

use partywall::config::{Access, load, policies, show};

/// Files and variables of nobody's.
struct Only<'b>(&'b [u8]);

const CONFIG: &str = "/etc/partywall.yaml";

impl Access for Only<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(CONFIG) {
            return Ok(self.0.to_vec());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn variable(&self, name: &str) -> Result<String, VarError> {
        match name {
            "SECRET" => Ok("a-secret-that-is-never-shown-anywhere".to_owned()),
            _ => Err(VarError::NotPresent),
        }
    }
}

/// The first byte chooses: a config, or policy tests.
pub fn check(data: &[u8]) {
    let Some(([choice], text)) = crate::split(data) else {
        return;
    };
    let (path, access) = (Path::new(CONFIG), Only(text));
    let errors = if choice & 1 == 1 {
        policies::load(path, &access).err()
    } else {
        match load(path, &access) {
            Ok(loaded) => {
                assert!(!show(&loaded.settings).contains("a-secret-that-is-never"));
                for warning in &loaded.warnings {
                    assert!(!warning.to_string().contains("a-secret-that-is-never"));
                }
                None
            }
            Err(errors) => Some(errors),
        }
    };
    let Some(errors) = errors else { return };
    let shown = errors.to_string();
    assert!(errors.iter().count() > 0);
    assert!(!shown.contains("a-secret-that-is-never"), "{shown}");
    let unlisted = usize::from(shown.contains("\n… and "));
    assert_eq!(
        shown.lines().count(),
        errors.iter().count() + unlisted,
        "{shown}"
    );
}
