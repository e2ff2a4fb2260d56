//! The source itself: what its modules may import and name.
#![cfg(test)]

mod layers;
mod purity;

use std::fs;
use std::path::{Path, PathBuf};

/// All Rust files of a folder, or the file itself.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    if folder.is_file() {
        return vec![folder.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
