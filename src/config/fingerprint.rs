//! Detects by content whether a config, or a file that it names, has changed: a `ConfigMap` swaps
//! symlinks, and modification times are unreliable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::access::Access;

/// A hash of every file that one load read. Files that could not be read are included, so that a
/// failed load is retried as soon as one of them appears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 of the content; `None` if the file could not be read.
    files: BTreeMap<PathBuf, Option<[u8; 32]>>,
}

impl Fingerprint {
    /// Whether every file still has the content that was loaded. Reads and hashes them all, without
    /// parsing.
    pub fn is_current(&self, access: &dyn Access) -> bool {
        self.files
            .iter()
            .all(|(path, hash)| hash_of(access.read(path).ok().as_deref()) == *hash)
    }

    pub(super) fn record(&mut self, path: &Path, content: Option<&[u8]>) {
        self.files.insert(path.to_owned(), hash_of(content));
    }
}

fn hash_of(content: Option<&[u8]>) -> Option<[u8; 32]> {
    digest(&SHA256, content?).as_ref().try_into().ok()
}
