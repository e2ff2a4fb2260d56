//! How soon a proxy is there, and what it holds while it has nothing to do.

use std::cell::Cell;
use std::time::Duration;

use crate::contestants::{Contestant, Kind, Stage};
use crate::harness::Table;
use crate::load::{Clients, End};
use crate::report::megabytes;
use crate::upstream::Upstream;
use crate::workload::Workload;
use crate::{Effort, Outcome};

/// Prints the time from the start of the process to its first answer, and resident memory.
pub(crate) async fn print(
    workload: &Workload,
    stage: &Stage,
    upstream: &Upstream,
    effort: Effort,
) -> Outcome<()> {
    upstream.answer(workload.answer.reply.clone());
    let count = effort.connections;
    let mut table = Table::new(
        "Start and memory",
        &[
            &"proxy",
            &"start to first answer, ms",
            &"idle, MB",
            &format!("after {count} connections' requests, MB"),
        ],
    );
    for kind in Kind::ALL {
        let mut ready_after = Duration::MAX;
        let mut resident = None;
        for _ in 0..effort.rounds {
            let Some(contestant) = Contestant::start(kind, stage).await? else {
                break;
            };
            ready_after = ready_after.min(contestant.ready_after);
            let idle = contestant.group.resident()?;
            let mut clients = Clients::connect(&contestant, &workload.requests, count).await?;
            let end = End {
                after: effort.round,
                requests: effort.warm_up(count),
            };
            clients.run(&workload.requests, &Cell::new(0), end).await?;
            resident = Some((idle, contestant.group.resident()?));
        }
        if let Some((idle, connected)) = resident {
            table.row(&[
                &kind.name(),
                &format!("{:.1}", ready_after.as_secs_f64() * 1e3),
                &megabytes(idle),
                &megabytes(connected),
            ]);
        }
    }
    table.print();
    Ok(())
}
