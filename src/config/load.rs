//! One file, and the files it names, into [`Settings`].

use std::path::Path;

use super::access::Access;
use super::error::ConfigErrors;
use super::fingerprint::Fingerprint;
use super::reader::{Field, Reader};
use super::sections::{self, Settings};
use super::warning::ConfigWarning;

/// A config that was read without an error.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// What it says that is probably not meant, in the order of the file.
    pub warnings: Vec<ConfigWarning>,
    /// Tells whether it still says so.
    pub fingerprint: Fingerprint,
}

/// Reads the config at `path` and every file it names. Relative paths in it start at its folder.
///
/// # Errors
/// Everything that is wrong, by position.
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
