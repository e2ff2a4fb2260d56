//! Instructions that a request takes in the proxy's own code, counted by callgrind: the same on a
//! busy machine as on a quiet one, where CPU time is not. The kernel's are not among them.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::contestants::{Contestant, Kind, Stage};
use crate::load::{Clients, End};
use crate::process::find;
use crate::upstream::Upstream;
use crate::workload::{Work, Workload};
use crate::{Effort, Outcome};

/// Few connections: valgrind runs one thread at a time.
const CONNECTIONS: usize = 8;

/// What is measured beside each other.
const KINDS: [Kind; 3] = [Kind::Partywall, Kind::Baseline, Kind::Bare];

/// Valgrind's programs.
pub(crate) struct Callgrind {
    valgrind: PathBuf,
    vgdb: PathBuf,
}

/// What a workload takes.
pub(crate) struct Count {
    pub(crate) kind: Kind,
    pub(crate) instructions: f64,
}

impl Callgrind {
    /// `None` where valgrind is not installed.
    pub(crate) fn find() -> Option<Self> {
        Some(Self {
            valgrind: find("VALGRIND_BIN", "valgrind")?,
            vgdb: find("VGDB_BIN", "vgdb")?,
        })
    }

    /// Runs a workload on each that can do it.
    pub(crate) async fn count(
        &self,
        work: Work,
        stage: &Stage,
        upstream: &Upstream,
        effort: Effort,
    ) -> Outcome<Vec<Count>> {
        let workload = work.make(&stage.issuer, effort)?;
        upstream.answer(workload.answer.reply.clone());
        let mut counts = Vec::new();
        for kind in KINDS {
            if !workload.on.contains(&kind) {
                continue;
            }
            let out = stage.dir.path().join(format!("{kind:?}.callgrind"));
            let started = Contestant::start_under(kind, stage, |command| self.wrap(&command, &out));
            let Some(contestant) = started.await? else {
                continue;
            };
            let instructions = self
                .of_one(&contestant, &workload, work.requests_to_count(), &out)
                .await?;
            counts.push(Count { kind, instructions });
        }
        Ok(counts)
    }

    fn wrap(&self, command: &Command, out: &Path) -> Command {
        let mut wrapped = Command::new(&self.valgrind);
        wrapped
            .args(["--quiet", "--tool=callgrind", "--fair-sched=yes"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(command.get_program())
            .args(command.get_args());
        wrapped
    }

    /// Instructions a request, of so many.
    async fn of_one(
        &self,
        contestant: &Contestant,
        workload: &Workload,
        count: usize,
        out: &Path,
    ) -> Outcome<f64> {
        let connections = CONNECTIONS.min(workload.connections);
        let mut clients = Clients::connect(contestant, &workload.requests, connections).await?;
        let next = Cell::new(0);
        let end = End {
            after: Duration::from_mins(10),
            requests: count,
        };
        // Everything is met once: connections, tokens, repeated queries.
        clients.run(&workload.requests, &next, end).await?;
        self.tell(contestant, "zero")?;
        let run = clients.run(&workload.requests, &next, end).await?;
        self.tell(contestant, "dump")?;
        let instructions = total(&last_part(out)?)?;
        Ok(instructions as f64 / run.latencies.len() as f64)
    }

    fn tell(&self, contestant: &Contestant, what: &str) -> Outcome<()> {
        let process = contestant.group.first().ok_or("it is gone")?;
        let told = Command::new(&self.vgdb)
            .arg(format!("--pid={process}"))
            .arg(what)
            .output()?;
        if told.status.success() {
            return Ok(());
        }
        Err(format!("vgdb {what}: {}", String::from_utf8_lossy(&told.stderr)).into())
    }
}

/// The dump that was made last: the file's name with a number behind it.
fn last_part(out: &Path) -> Outcome<PathBuf> {
    /// It is told to make one.
    const MOST: usize = 9;
    let part = |number: usize| PathBuf::from(format!("{}.{number}", out.display()));
    let last = (1..=MOST).map(part).rfind(|part| part.exists());
    last.ok_or_else(|| format!("no dump of callgrind's at {}", out.display()).into())
}

/// All instructions of a dump (`totals:` or `summary:` in callgrind's format).
fn total(dump: &Path) -> Outcome<u64> {
    let text = fs::read_to_string(dump)?;
    let of_line = |line: &str| {
        let total = ["totals:", "summary:"]
            .into_iter()
            .find_map(|head| line.strip_prefix(head))?;
        total.trim().parse().ok()
    };
    let total = text.lines().rev().find_map(of_line);
    fs::remove_file(dump)?;
    total.ok_or_else(|| "a dump of callgrind's has no total".into())
}
