//! A config read by Partywall's own loader, with the files and variables of the place where it
//! will run.

use std::env::VarError;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use partywall::config::settings::Settings;
use partywall::config::{self, Access};

use crate::kit::tls::{Authority, Identity};

/// Where configs are mounted; the loader is told the same name.
const MOUNTED: &str = "/etc/partywall/config/partywall.yaml";

/// What cert-manager would put into the Secret `partywall-tls`.
fn certificate() -> &'static Identity {
    static CERTIFICATE: LazyLock<Identity> = LazyLock::new(|| Authority::new("cluster").identity());
    &CERTIFICATE
}

struct Pod<'a> {
    config: &'a str,
}

impl Access for Pod<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(MOUNTED) {
            Ok(self.config.into())
        } else if path.starts_with("/etc/partywall/secrets") {
            Ok(b"a-secret-of-the-cluster".into())
        } else if path == Path::new("/etc/partywall/tls/tls.crt") {
            Ok(certificate().cert_pem.clone().into())
        } else if path == Path::new("/etc/partywall/tls/tls.key") {
            Ok(certificate().key_pem.clone().into())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn variable(&self, _name: &str) -> Result<String, VarError> {
        Err(VarError::NotPresent)
    }
}

/// What a config says; fails with every error and every warning of the loader. `name` is for that.
pub fn load(name: &str, config: &str) -> Settings {
    let loaded = config::load(Path::new(MOUNTED), &Pod { config })
        .unwrap_or_else(|errors| panic!("{name}:\n{errors}"));
    assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
    loaded.settings
}
