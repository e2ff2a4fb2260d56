//! What `tests/fuzz` calls; only in builds with `--cfg fuzzing`, which cargo-fuzz sets.

use super::{Ambiguous, FramingChecker, target};

/// The bytes of one connection that are passed to the HTTP library, where they arrive in these
/// pieces, and whether what follows them was refused.
pub fn passed<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> (Vec<u8>, bool) {
    let mut checker = FramingChecker::new();
    let mut passed = Vec::new();
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            match checker.follow(rest) {
                Ok(after) => {
                    let followed = rest.get(..rest.len() - after.len()).unwrap_or_default();
                    passed.extend_from_slice(&target::escaped(followed, &checker.escapes));
                    rest = after;
                }
                Err(Ambiguous { at }) => {
                    let before = rest.get(..at).unwrap_or_default();
                    passed.extend_from_slice(&target::escaped(before, &checker.escapes));
                    return (passed, true);
                }
            }
        }
    }
    (passed, false)
}
