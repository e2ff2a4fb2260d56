//! What `tests/fuzz` calls; only in builds with `--cfg fuzzing`, which cargo-fuzz sets.

use super::route::path::{self, PathReading};

/// How a path is read: decoded, if it is unambiguous; `None` inside where it may be passed through
/// unmodified, because no reading makes it a data API's.
///
/// # Errors
/// If the path is refused.
#[expect(clippy::result_unit_err, reason = "why it is refused is not asked")]
pub fn read_path(raw: &str) -> Result<Option<String>, ()> {
    match path::read(raw) {
        Ok(PathReading::Canonical(path)) => Ok(Some(path.as_str().to_owned())),
        Ok(PathReading::HarmlesslyOdd) => Ok(None),
        Err(_) => Err(()),
    }
}

/// The path that is forwarded in place of one that the stores would redirect.
pub fn cleaned_path(raw: &str) -> Option<String> {
    path::cleaned(raw)
}
