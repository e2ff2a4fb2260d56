//! How much later an answer comes through a proxy, while there is time enough for all of them.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::contestants::{Contestant, Kind};
use crate::harness::Table;
use crate::load::{Clients, Connection, Requests, quantile};
use crate::report::micros;
use crate::upstream::Upstream;
use crate::workload::Workload;
use crate::{Effort, Outcome};

/// All connections together.
const PER_SECOND: u32 = 1500;

/// Prints the latency of a workload that comes at an even pace.
pub(crate) async fn print(
    workload: &Workload,
    contestants: &[Contestant],
    upstream: &Upstream,
    effort: Effort,
) -> Outcome<()> {
    upstream.answer(workload.answer.reply.clone());
    let mut best: Vec<(Kind, Duration, Duration)> = Vec::new();
    for _ in 0..effort.rounds {
        for contestant in contestants {
            let mut times = paced(workload, contestant, effort).await?;
            times.sort_unstable();
            let (median, p99) = (quantile(&times, 0.5), quantile(&times, 0.99));
            match best.iter_mut().find(|(kind, ..)| *kind == contestant.kind) {
                Some((_, least, least_p99)) => {
                    *least = median.min(*least);
                    *least_p99 = p99.min(*least_p99);
                }
                None => best.push((contestant.kind, median, p99)),
            }
        }
    }
    let bare = best.iter().find(|(kind, ..)| *kind == Kind::Bare);
    let &(_, bare_median, bare_p99) = bare.ok_or("the bare proxy does not run")?;
    let mut table = Table::new(
        format!(
            "Latency of dashboards at {PER_SECOND} requests/s on {} connections",
            effort.connections
        ),
        &[
            &"proxy",
            &"p50 µs",
            &"p99 µs",
            &"p50 beyond bare",
            &"p99 beyond bare",
        ],
    );
    let beyond = |time: Duration, bare: Duration| {
        format!("{:+.1}", (time.as_secs_f64() - bare.as_secs_f64()) * 1e6)
    };
    for (kind, median, p99) in best {
        table.row(&[
            &kind.name(),
            &micros(median),
            &micros(p99),
            &beyond(median, bare_median),
            &beyond(p99, bare_p99),
        ]);
    }
    table.print();
    Ok(())
}

async fn paced(
    workload: &Workload,
    contestant: &Contestant,
    effort: Effort,
) -> Outcome<Vec<Duration>> {
    let count = u32::try_from(effort.connections)?;
    let apart = Duration::from_secs(1) * count / PER_SECOND;
    let mut clients = Clients::connect(contestant, &workload.requests, effort.connections).await?;
    for (number, connection) in clients.each().enumerate() {
        connection.ask(&workload.requests, number).await?;
    }
    let start = Instant::now();
    let clients = clients.each().zip(0_u32..).map(|(connection, place)| {
        let first = start + apart * place / count;
        one(connection, &workload.requests, first, apart, effort.round)
    });
    Ok(try_join_all(clients).await?.concat())
}

/// Asks every so often. A request counts from when it was due if the answer before it came too
/// late to send it then; otherwise from when it was sent, since timers fire late by up to a
/// millisecond.
async fn one(
    connection: &mut Connection,
    requests: &Requests,
    first: Instant,
    apart: Duration,
    during: Duration,
) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    let mut due = first;
    while due < first + during {
        let is_late = Instant::now() > due;
        tokio::time::sleep_until(due.into()).await;
        let from = if is_late { due } else { Instant::now() };
        connection.ask(requests, times.len()).await?;
        times.push(from.elapsed());
        due += apart;
    }
    Ok(times)
}
