//! Loads one file, and the files that it names, into [`Settings`].

use std::path::Path;

use super::access::Access;
use super::error::ConfigErrors;
use super::fingerprint::Fingerprint;
use super::reader::{Field, Reader};
use super::sections::{self, Settings};
use super::warning::ConfigWarning;

/// A config that was loaded without an error.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// What it says that is probably a mistake, in the order of the file.
    pub warnings: Vec<ConfigWarning>,
    /// Detects changes of its files.
    pub fingerprint: Fingerprint,
}

/// Loads the config at `path` and every file that it names. Relative paths are relative to its
/// folder.
///
/// # Errors
/// All errors, in the order of the file.
pub fn load(path: &Path, access: &dyn Access) -> Result<Loaded, ConfigErrors> {
    let mut reader = Reader::new(path, access);
    let settings = reader
        .tree()
        .and_then(|tree| sections::read(&mut reader, &Field::root(&tree)));
    let (settings, warnings, fingerprint) = reader.finish(settings)?;
    Ok(Loaded {
        settings,
        warnings,
        fingerprint,
    })
}
