//! What the real binary costs a request, beside a proxy that does nothing and beside others'.
//!
//! `cargo bench --bench loopback`; see `harness` for a quick run. With `--profile release` the
//! build is the one that is shipped. After `--`, `--only=TEXT` runs the parts and workloads that
//! have the text in their names.
//!
//! The load, the upstream and the proxies share the machine, so requests a second say less than
//! CPU time. nginx, Envoy and prom-label-proxy take part where they are installed: in `PATH`, or
//! where `NGINX_BIN`, `ENVOY_BIN` and `PROM_LABEL_PROXY_BIN` say. `PARTYWALL_BASELINE` names
//! another build of Partywall to run beside this one.
//!
//! Where valgrind is installed, instructions are counted too. They are the same however busy the
//! machine is: there, `--instructions` measures nothing else.
//!
//! It fails where a ratio is more than a tenth above the one in `docs/performance.md`.
#![expect(clippy::print_stdout, reason = "a table is what a bench is for")]
#![expect(clippy::disallowed_methods, reason = "a bench's own bodies are small")]
#![expect(clippy::cast_precision_loss, reason = "ratios need no 53 bits")]

mod answers;
mod bare;
mod contestants;
mod curves;
mod dashboard;
mod documented;
mod footprint;
mod grpc;
#[path = "../harness/mod.rs"]
mod harness;
mod instructions;
#[path = "../harness/issuer.rs"]
mod issuer;
mod latency;
mod load;
#[path = "../harness/traces/mod.rs"]
mod made_up;
mod message;
mod process;
mod race;
mod report;
mod upstream;
mod workload;

use std::env;
use std::error::Error;
use std::time::Duration;

use contestants::{Contestant, Kind, Stage};
use curves::Curves;
use instructions::Callgrind;
use issuer::Issuer;
use report::Report;
use upstream::Upstream;
use workload::Work;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Everyone's turns.
    rounds: usize,
    /// How long one turn takes, at most.
    round: Duration,
    /// How many requests it has, at most.
    requests: usize,
    /// At most.
    connections: usize,
    /// Tokens to sign, for one turn after the other.
    new_tokens: usize,
    is_quick: bool,
}

impl Effort {
    fn of_this_run() -> Self {
        if harness::is_quick() {
            return Self {
                rounds: 1,
                round: Duration::from_millis(100),
                requests: 20,
                connections: 4,
                new_tokens: 40,
                is_quick: true,
            };
        }
        Self {
            rounds: 12,
            round: Duration::from_millis(500),
            requests: usize::MAX / 2,
            connections: 64,
            new_tokens: 20_000,
            is_quick: false,
        }
    }

    /// Requests that are not measured: everything is met once.
    fn warm_up(self, connections: usize) -> usize {
        if self.is_quick { 10 } else { connections * 10 }
    }

    /// How large an answer is.
    fn bytes(self, wanted: usize) -> usize {
        if self.is_quick {
            wanted.min(50_000)
        } else {
            wanted
        }
    }

    /// Of a curve.
    fn steps(self, all: &[usize]) -> Vec<usize> {
        let count = if self.is_quick { 1 } else { all.len() };
        all.iter().copied().take(count).collect()
    }
}

fn main() -> Outcome<()> {
    if let Some(addresses) = bare::Addresses::asked_for()? {
        return bare::run(&addresses);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(everything(Effort::of_this_run()))
}

async fn everything(effort: Effort) -> Outcome<()> {
    let upstream = Upstream::start()?;
    let stage = Stage {
        upstream: upstream.address,
        issuer: Issuer::new()?,
        dir: tempfile::tempdir()?,
    };
    // Everything takes fifty times as long under it: too long where nothing is measured.
    let callgrind = Callgrind::find().filter(|_| !effort.is_quick);
    if callgrind.is_none() && !effort.is_quick {
        println!("valgrind is not installed: no instructions are counted");
    }
    let counts_only = env::args().any(|argument| argument == "--instructions");
    let mut contestants = Vec::new();
    if !counts_only {
        for kind in Kind::ALL {
            contestants.extend(Contestant::start(kind, &stage).await?);
        }
        for kind in [Kind::Nginx, Kind::Envoy, Kind::LabelProxy] {
            if !kind.is_installed() {
                println!("{} is not installed", kind.name());
            }
        }
    }
    let mut report = Report::new(contestants.iter().map(|contestant| contestant.kind));
    for work in Work::ALL {
        let name = work.name();
        if wanted(&name) {
            let of_it = |cause| format!("{name}: {cause:?}");
            if !counts_only {
                let workload = work.make(&stage.issuer, effort)?;
                let scores = race::run(&workload, &contestants, &upstream, effort);
                report.add(&name, &scores.await.map_err(of_it)?);
            }
            if let Some(callgrind) = &callgrind {
                let counts = callgrind.count(work, &stage, &upstream, effort);
                report.add_counts(&name, &counts.await.map_err(of_it)?);
            }
        }
    }
    report.print();
    if counts_only {
        return report.compare(effort);
    }
    let dashboards = Work::Dashboards.make(&stage.issuer, effort)?;
    if wanted("latency") {
        latency::print(&dashboards, &contestants, &upstream, effort).await?;
    }
    if wanted("curves") {
        let curves = Curves {
            contestants: &contestants,
            upstream: &upstream,
            issuer: &stage.issuer,
            effort,
        };
        curves.print().await?;
    }
    if wanted("footprint") {
        drop(contestants);
        footprint::print(&dashboards, &stage, &upstream, effort).await?;
    }
    report.compare(effort)
}

/// Whether a part or workload of this name is asked for.
fn wanted(name: &str) -> bool {
    let only = env::args().find_map(|argument| Some(argument.strip_prefix("--only=")?.to_owned()));
    only.is_none_or(|only| name.contains(&only))
}
