//! A config read by Partywall's own loader, with the files and variables of the place where it
//! will run.

use std::env::VarError;
use std::io;
use std::path::Path;

use partywall::config::settings::Settings;
use partywall::config::{self, Access};

/// Where configs are mounted; the loader is told the same name.
const MOUNTED: &str = "/etc/partywall/config/partywall.yaml";

struct Pod<'a> {
    config: &'a str,
}

impl Access for Pod<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(MOUNTED) {
            Ok(self.config.into())
        } else if path.starts_with("/etc/partywall/secrets") {
            Ok(b"a-secret-of-the-cluster".into())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn variable(&self, _name: &str) -> Result<String, VarError> {
        Err(VarError::NotPresent)
    }
}

/// What a config says; fails with every error of the loader. `name` is for that.
pub fn load(name: &str, config: &str) -> Settings {
    config::load(Path::new(MOUNTED), &Pod { config })
        .unwrap_or_else(|errors| panic!("{name}:\n{errors}"))
        .settings
}
