//! The tables of the races.

use std::time::Duration;

use crate::contestants::Kind;
use crate::documented::Documented;
use crate::harness::Table;
use crate::instructions::Count;
use crate::race::Score;
use crate::{Effort, Outcome};

/// Every measure, and Partywall's CPU time and instructions as multiples of others'.
pub(crate) struct Report {
    all: Table,
    ratios: Table,
    counts: Table,
    against: Vec<Kind>,
    measured: Vec<Measured>,
}

/// A ratio to bare hyper.
struct Measured {
    workload: String,
    what: What,
    ratio: f64,
}

/// Of what it is a ratio.
#[derive(Clone, Copy)]
enum What {
    CpuTime,
    Instructions,
}

/// A ratio may be so many times what the docs say: what changes from run to run is less.
const MARGIN: f64 = 1.1;

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
            counts: Table::new(
                "Instructions a request, the kernel's aside",
                &[&"workload", &"proxy", &"instructions", &"of bare"],
            ),
            against,
            measured: Vec::new(),
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
        if let Some(bare) = of(Kind::Bare) {
            let ratio = ours.cpu.as_secs_f64() / bare.cpu.as_secs_f64();
            self.measure(workload, What::CpuTime, ratio);
        }
    }

    pub(crate) fn add_counts(&mut self, workload: &str, counts: &[Count]) {
        let of = |kind| counts.iter().find(|count| count.kind == kind);
        let bare = of(Kind::Bare).map(|bare| bare.instructions);
        for Count { kind, instructions } in counts {
            let ratio = bare.map(|bare| format!("{:.2}", instructions / bare));
            let count = format!("{instructions:.0}");
            let ratio = ratio.unwrap_or_default();
            self.counts.row(&[&workload, &kind.name(), &count, &ratio]);
        }
        if let (Some(ours), Some(bare)) = (of(Kind::Partywall), bare) {
            self.measure(workload, What::Instructions, ours.instructions / bare);
        }
    }

    fn measure(&mut self, workload: &str, what: What, ratio: f64) {
        self.measured.push(Measured {
            workload: workload.to_owned(),
            what,
            ratio,
        });
    }

    pub(crate) fn print(&self) {
        self.all.print();
        self.ratios.print();
        self.counts.print();
    }

    /// Fails where a ratio is worse than the docs say. Not of a quick run, which measures nothing.
    pub(crate) fn compare(&self, effort: Effort) -> Outcome<()> {
        let documented = Documented::read()?;
        if effort.is_quick {
            return Ok(());
        }
        let mut worse = Vec::new();
        for Measured {
            workload,
            what,
            ratio,
        } in &self.measured
        {
            let (of, known) = match what {
                What::CpuTime => ("CPU time", documented.cpu_time(workload)),
                What::Instructions => ("instructions", documented.instructions(workload)),
            };
            let Some(known) = known else {
                println!("{workload}: {of} are not in docs/performance.md");
                continue;
            };
            if *ratio > known * MARGIN {
                worse.push(format!("{workload}: {of} are {ratio:.2}, not {known:.2}"));
            }
        }
        if worse.is_empty() {
            return Ok(());
        }
        Err(format!(
            "ratios to bare hyper are worse than docs/performance.md says:\n  {}",
            worse.join("\n  ")
        )
        .into())
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
