//! What it costs to redact a large trace, against what only moving its bytes costs.
//!
//! `cargo bench --bench traces`; see `harness` for a quick run.
#![expect(clippy::print_stdout, reason = "a table is what a bench is for")]
#![expect(clippy::cast_precision_loss, reason = "ratios need no 53 bits")]

#[path = "../harness/mod.rs"]
mod harness;
mod json;
#[path = "../harness/traces/mod.rs"]
mod made_up;
mod memory;
mod protobuf;

use std::error::Error;
use std::time::{Duration, Instant};

use partywall::tempo::trace::TraceOwner;
use partywall::tenancy::{Tenant, TenantSet};

use made_up::{ATTRIBUTE, OURS};

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    protobuf_bytes: usize,
    json_bytes: usize,
    rounds: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let effort = if harness::is_quick() {
        Effort {
            protobuf_bytes: 2_000_000,
            json_bytes: 4_000_000,
            rounds: 1,
        }
    } else {
        Effort {
            protobuf_bytes: 100_000_000,
            json_bytes: 170_000_000,
            rounds: 9,
        }
    };
    if let Some(name) = memory::asked_for() {
        return json::print_extra_memory(&name, effort);
    }
    json::bench(effort)?;
    protobuf::bench(effort)
}

fn owner() -> Result<TraceOwner, Box<dyn Error>> {
    let tenants = TenantSet::new([Tenant::new(OURS)?]).ok_or("no tenant")?;
    Ok(TraceOwner::new((ATTRIBUTE.into(), tenants.into()), []))
}

/// Something to time.
type Run<'a> = &'a mut dyn FnMut(&mut Laps) -> Result<(), Box<dyn Error>>;

/// Runs these in turns, so that whatever else the machine does meets all of them, and gives the
/// sum of each one's fastest laps.
fn fastest_in_turns<const N: usize>(
    rounds: usize,
    mut runs: [Run<'_>; N],
) -> Result<[Duration; N], Box<dyn Error>> {
    let mut laps = [(); N].map(|()| Laps::default());
    for _ in 0..rounds {
        for (run, laps) in runs.iter_mut().zip(&mut laps) {
            laps.lap = 0;
            laps.since = Some(Instant::now());
            run(laps)?;
            laps.lap();
        }
    }
    Ok(laps.map(|laps| laps.fastest.iter().sum()))
}

/// The stretches of a run, each as fast as it was in any round: a long run on a busy machine is
/// always interrupted somewhere, a short one is not.
#[derive(Default)]
struct Laps {
    fastest: Vec<Duration>,
    lap: usize,
    since: Option<Instant>,
}

impl Laps {
    /// Ends a lap and begins the next.
    fn lap(&mut self) {
        let now = Instant::now();
        let took = self.since.map(|since| now - since).unwrap_or_default();
        match self.fastest.get_mut(self.lap) {
            Some(fastest) => *fastest = took.min(*fastest),
            None => self.fastest.push(took),
        }
        self.lap += 1;
        self.since = Some(now);
    }
}
