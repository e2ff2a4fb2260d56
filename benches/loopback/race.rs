//! The same work by each in turns, so that whatever else the machine does meets all of them.

use std::cell::Cell;
use std::time::Duration;

use crate::contestants::{Contestant, Kind};
use crate::load::{Clients, End};
use crate::upstream::Upstream;
use crate::workload::Workload;
use crate::{Effort, Outcome};

/// What one contestant needed for one workload: of each measure the best of all rounds, since
/// everything else on the machine only adds to it.
pub(crate) struct Score {
    pub(crate) kind: Kind,
    pub(crate) per_second: f64,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    /// Of the proxy's processes, a request.
    pub(crate) cpu: Duration,
    /// The most resident bytes, in any round.
    pub(crate) peak: u64,
}

/// Runs a workload on all that can do it.
pub(crate) async fn run(
    workload: &Workload,
    contestants: &[Contestant],
    upstream: &Upstream,
    effort: Effort,
) -> Outcome<Vec<Score>> {
    upstream.answer(workload.answer.reply.clone());
    let mut racers: Vec<Racer<'_>> = contestants
        .iter()
        .filter(|contestant| workload.on.contains(&contestant.kind))
        .map(|contestant| Racer {
            contestant,
            next: Cell::new(0),
            best: None,
        })
        .collect();
    for _ in 0..effort.rounds {
        for racer in &mut racers {
            let name = racer.contestant.kind.name();
            racer
                .round(workload, effort)
                .await
                .map_err(|cause| format!("{name}: {cause}"))?;
        }
    }
    Ok(racers.into_iter().filter_map(|racer| racer.best).collect())
}

struct Racer<'a> {
    contestant: &'a Contestant,
    /// Each gets the same requests, over all rounds.
    next: Cell<usize>,
    best: Option<Score>,
}

impl Racer<'_> {
    async fn round(&mut self, workload: &Workload, effort: Effort) -> Outcome<()> {
        let Contestant { kind, group, .. } = self.contestant;
        let requests = &workload.requests;
        let count = workload.connections.min(effort.connections);
        let mut clients = Clients::connect(self.contestant, requests, count).await?;
        let warm_up = End {
            after: effort.round,
            requests: effort.warm_up(count),
        };
        clients.run(requests, &self.next, warm_up).await?;
        group.forget_peak()?;
        let before = group.cpu_time()?;
        let supply = workload.supply.unwrap_or(usize::MAX) / effort.rounds;
        let end = End {
            after: effort.round,
            requests: effort.requests.min(supply - warm_up.requests),
        };
        let run = clients.run(requests, &self.next, end).await?;
        let took = group.cpu_time()?.saturating_sub(before);
        if let Some(ours) = workload.answer.ours
            && matches!(kind, Kind::Partywall | Kind::Baseline)
            && run.length != ours
        {
            return Err(format!("answers of {} bytes, not {ours}", run.length).into());
        }
        let answered = u32::try_from(run.latencies.len())?;
        let now = Score {
            kind: *kind,
            per_second: run.per_second(),
            median: run.quantile(0.5),
            p99: run.quantile(0.99),
            cpu: took.checked_div(answered).ok_or("nothing was answered")?,
            peak: group.peak()?,
        };
        self.best = Some(match self.best.take() {
            Some(before) => before.best(&now),
            None => now,
        });
        Ok(())
    }
}

impl Score {
    fn best(self, other: &Self) -> Self {
        Self {
            kind: self.kind,
            per_second: self.per_second.max(other.per_second),
            median: self.median.min(other.median),
            p99: self.p99.min(other.p99),
            cpu: self.cpu.min(other.cpu),
            peak: self.peak.max(other.peak),
        }
    }
}
