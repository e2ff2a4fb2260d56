//! The tables of the races.

use std::time::Duration;

use crate::contestants::Kind;
use crate::harness::Table;
use crate::race::Score;

/// Every measure, and Partywall's CPU time as a multiple of each other's.
pub(crate) struct Report {
    all: Table,
    ratios: Table,
    against: Vec<Kind>,
}

impl Report {
    pub(crate) fn new(kinds: impl Iterator<Item = Kind>) -> Self {
        let against: Vec<Kind> = kinds.filter(|kind| *kind != Kind::Partywall).collect();
        let names: Vec<String> = against
            .iter()
            .map(|kind| format!("of {}", kind.name()))
            .collect();
        let mut heads: Vec<&dyn std::fmt::Display> = vec![&"workload", &"µs"];
        heads.extend(names.iter().map(|name| name as &dyn std::fmt::Display));
        Self {
            all: Table::new(
                "Each proxy: CPU time of its processes a request; the best of all rounds",
                &[
                    &"workload",
                    &"CPU µs",
                    &"of bare",
                    &"requests/s",
                    &"p50 µs",
                    &"p99 µs",
                    &"peak MB",
                ],
            ),
            ratios: Table::new("Partywall's CPU time a request, and its ratio to", &heads),
            against,
        }
    }

    pub(crate) fn add(&mut self, workload: &str, scores: &[Score]) {
        let of = |kind| scores.iter().find(|score| score.kind == kind);
        self.all.row(&[&workload]);
        for score in scores {
            self.all.row(&[
                &format!("  {}", score.kind.name()),
                &micros(score.cpu),
                &ratio(Some(score), of(Kind::Bare)),
                &format!("{:.0}", score.per_second),
                &micros(score.median),
                &micros(score.p99),
                &megabytes(score.peak),
            ]);
        }
        let Some(ours) = of(Kind::Partywall) else {
            return;
        };
        let ratios: Vec<String> = self
            .against
            .iter()
            .map(|kind| ratio(Some(ours), of(*kind)))
            .collect();
        let time = micros(ours.cpu);
        let mut cells: Vec<&dyn std::fmt::Display> = vec![&workload, &time];
        cells.extend(ratios.iter().map(|ratio| ratio as &dyn std::fmt::Display));
        self.ratios.row(&cells);
    }

    pub(crate) fn print(&self) {
        self.all.print();
        self.ratios.print();
    }
}

fn ratio(score: Option<&Score>, to: Option<&Score>) -> String {
    match (score, to) {
        (Some(score), Some(to)) => {
            format!("{:.2}", score.cpu.as_secs_f64() / to.cpu.as_secs_f64())
        }
        _ => String::new(),
    }
}

/// With one decimal place.
pub(crate) fn micros(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e6)
}

/// With one decimal place.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}
