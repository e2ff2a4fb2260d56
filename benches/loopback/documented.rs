//! The ratios that `docs/performance.md` gives.

use crate::Outcome;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");

/// The head of the column of either table that has the ratios.
const RATIO_TO: &str = "bare hyper";

/// The page's tables that name each workload as the bench does.
pub(crate) struct Documented {
    cpu_time: Vec<(String, f64)>,
    instructions: Vec<(String, f64)>,
}

impl Documented {
    pub(crate) fn read() -> Outcome<Self> {
        let page = std::fs::read_to_string(PAGE)?;
        let (cpu_time, instructions) = page
            .split_once("## Instructions")
            .ok_or("docs/performance.md has no section `Instructions`")?;
        let (_, cpu_time) = cpu_time
            .split_once("## Compared")
            .ok_or("docs/performance.md has no section `Compared`")?;
        Ok(Self {
            cpu_time: ratios(cpu_time)?,
            instructions: ratios(instructions)?,
        })
    }

    /// CPU time as a multiple of bare hyper's.
    pub(crate) fn cpu_time(&self, workload: &str) -> Option<f64> {
        of(&self.cpu_time, workload)
    }

    /// Instructions as a multiple of bare hyper's.
    pub(crate) fn instructions(&self, workload: &str) -> Option<f64> {
        of(&self.instructions, workload)
    }
}

fn of(ratios: &[(String, f64)], workload: &str) -> Option<f64> {
    let found = ratios.iter().find(|(name, _)| name == workload);
    found.map(|(_, ratio)| *ratio)
}

/// The first table's.
fn ratios(section: &str) -> Outcome<Vec<(String, f64)>> {
    let mut rows = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(cells);
    let heads = rows
        .next()
        .ok_or("a section of docs/performance.md has no table")?;
    let column = heads
        .iter()
        .position(|head| *head == RATIO_TO)
        .ok_or("a table of docs/performance.md has no column for bare hyper")?;
    rows.skip(1)
        .map(|row| {
            let name = row.first().ok_or("an empty row")?;
            let ratio = row.get(column).ok_or("a row without a ratio")?;
            Ok(((*name).to_owned(), ratio.parse()?))
        })
        .collect()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}
