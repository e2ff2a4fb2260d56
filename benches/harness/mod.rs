//! What the benches share: how much they do, and the tables they print.
//!
//! They print ratios of things measured side by side in one run, so that a table means the same
//! on a fast machine and on a busy one.

use std::env;
use std::fmt::Display;

/// Whether to show only that everything runs: small inputs, once. With
/// `PARTYWALL_BENCH_QUICK=1`, with `--quick`, and where cargo does not bench (`cargo test
/// --benches`).
pub(crate) fn is_quick() -> bool {
    let has = |flag: &str| env::args().any(|argument| argument == flag);
    env::var_os("PARTYWALL_BENCH_QUICK").is_some_and(|value| value == "1")
        || has("--quick")
        || !has("--bench")
}

/// Rows of text under a title, in aligned columns: the first to the left, numbers to the right.
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, heads: &[&dyn Display]) -> Self {
        let mut table = Self {
            title: title.into(),
            rows: Vec::new(),
        };
        table.row(heads);
        table
    }

    pub(crate) fn row(&mut self, cells: &[&dyn Display]) {
        self.rows
            .push(cells.iter().map(ToString::to_string).collect());
    }

    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(String::len).max().unwrap_or_default()
            })
            .collect();
        println!("\n{}", self.title);
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width.saturating_sub(cell.len()));
                let (left, right) = match column {
                    0 => ("", &*padding),
                    _ => (&*padding, ""),
                };
                line.extend(["  ", left, cell, right]);
            }
            println!("{}", line.trim_end());
        }
    }
}
