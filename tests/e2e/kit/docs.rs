//! The pages that operators read: README.md, every page of `docs/` and the other Markdown files at
//! the root.

use std::path::{Path, PathBuf};

/// A page's path from the repository's root, and its text.
pub struct Page {
    pub path: String,
    pub text: String,
}

/// All pages, sorted by path; none in a tree without them, such as a packaged crate.
pub fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = [root.to_owned(), root.join("docs")]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.map(|entry| entry.expect("an entry").path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    let page = |path: PathBuf| Page {
        text: std::fs::read_to_string(&path).expect("a page in UTF-8"),
        path: path
            .strip_prefix(root)
            .expect("below the root")
            .display()
            .to_string(),
    };
    paths.into_iter().map(page).collect()
}

/// One page of `docs/`, by its path from the repository's root.
pub fn page(path: &str) -> String {
    let found = pages().into_iter().find(|page| page.path == path);
    found.unwrap_or_else(|| panic!("no page {path}")).text
}
