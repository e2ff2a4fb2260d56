//! Whether the cost grows in proportion to what is asked and answered, or faster.

use std::time::Duration;

use crate::contestants::{Contestant, Kind};
use crate::harness::Table;
use crate::issuer::Issuer;
use crate::race::{self, Score};
use crate::report::{megabytes, micros};
use crate::upstream::Upstream;
use crate::workload::{Workload, distinct_queries, json_trace, long_query, protobuf_trace, token};
use crate::{Effort, Outcome};

/// Where the curves are taken.
pub(crate) struct Curves<'a> {
    pub(crate) contestants: &'a [Contestant],
    pub(crate) upstream: &'a Upstream,
    pub(crate) issuer: &'a Issuer,
    pub(crate) effort: Effort,
}

const TERM: &str = r#"sum by (job) (rate(http_requests_total{namespace="shop",code="500"}[5m]))"#;

impl Curves<'_> {
    pub(crate) async fn print(&self) -> Outcome<()> {
        self.by_query_length().await?;
        self.by_tenants().await?;
        self.by_trace_size().await?;
        self.by_connections().await
    }

    /// As many terms as `limits.query_nodes` permits: each has 17 parts.
    async fn by_query_length(&self) -> Outcome<()> {
        let user = token(self.issuer, "user", 1)?;
        let mut table = table("Longer queries", "bytes", "a KB");
        for terms in self.effort.steps(&[1, 4, 16, 64, 200]) {
            let query = vec![TERM; terms].join(" + ");
            let kilobytes = query.len() as f64 / 1e3;
            let head = query.len().to_string();
            let warm = self.costs(&long_query(&query, &user)).await?;
            let query = move |number| query.replacen("500", &number_500(number), 1);
            let cold = distinct_queries(query, user.clone());
            let cold = self.costs(&cold).await?;
            row(&mut table, &format!("{head}, same"), warm, kilobytes);
            row(&mut table, &format!("{head}, distinct"), cold, kilobytes);
        }
        table.print();
        Ok(())
    }

    async fn by_tenants(&self) -> Outcome<()> {
        let mut table = table("More tenants in a token", "tenants", "a tenant");
        for tenants in self.effort.steps(&[1, 10, 100, 1000]) {
            let user = token(self.issuer, "user", tenants)?;
            let warm = self.costs(&long_query(TERM, &user)).await?;
            let query = |number| TERM.replacen("500", &number_500(number), 1);
            let cold = self.costs(&distinct_queries(query, user)).await?;
            let count = tenants as f64;
            row(&mut table, &format!("{tenants}, same query"), warm, count);
            row(&mut table, &format!("{tenants}, distinct"), cold, count);
        }
        table.print();
        Ok(())
    }

    async fn by_trace_size(&self) -> Outcome<()> {
        let user = token(self.issuer, "user", 1)?;
        let mut table = table("Larger traces, half of them foreign", "KB", "a MB");
        for kilobytes in self.effort.steps(&[100, 1000, 10_000, 100_000]) {
            let (bytes, megabytes) = (kilobytes * 1000, kilobytes as f64 / 1e3);
            let protobuf = self.costs(&protobuf_trace(bytes, &user)).await?;
            row(
                &mut table,
                &format!("{kilobytes}, protobuf"),
                protobuf,
                megabytes,
            );
            let json = self.costs(&json_trace(bytes, &user)).await?;
            row(&mut table, &format!("{kilobytes}, JSON"), json, megabytes);
        }
        table.print();
        Ok(())
    }

    async fn by_connections(&self) -> Outcome<()> {
        let mut table = Table::new(
            "More connections: CPU µs a request, and memory",
            &[
                &"connections",
                &"bare hyper",
                &"Partywall",
                &"ratio",
                &"bare hyper, MB",
                &"Partywall, MB",
                &"ratio",
            ],
        );
        let user = token(self.issuer, "user", 1)?;
        let mut workload = long_query(TERM, &user);
        for connections in self.effort.steps(&[16, 64, 256, 1024]) {
            workload.connections = connections;
            let effort = Effort {
                connections,
                ..self.effort
            };
            let scores = race::run(&workload, self.contestants, self.upstream, effort).await?;
            let (ours, bare) = (of(&scores, Kind::Partywall)?, of(&scores, Kind::Bare)?);
            table.row(&[
                &connections,
                &micros(bare.cpu),
                &micros(ours.cpu),
                &ratio(ours.cpu.as_secs_f64(), bare.cpu.as_secs_f64()),
                &megabytes(bare.peak),
                &megabytes(ours.peak),
                &ratio(ours.peak as f64, bare.peak as f64),
            ]);
        }
        table.print();
        Ok(())
    }

    /// Partywall's and the bare proxy's CPU time a request.
    async fn costs(&self, workload: &Workload) -> Outcome<[Duration; 2]> {
        let scores = race::run(workload, self.contestants, self.upstream, self.effort).await?;
        let cpu = |kind| of(&scores, kind).map(|score| score.cpu);
        Ok([cpu(Kind::Partywall)?, cpu(Kind::Bare)?])
    }
}

fn of(scores: &[Score], kind: Kind) -> Outcome<&Score> {
    let score = scores.iter().find(|score| score.kind == kind);
    score.ok_or_else(|| "it did not run".into())
}

fn ratio(ours: f64, bare: f64) -> String {
    format!("{:.2}", ours / bare)
}

/// In place of `500`, a code that no other number has.
fn number_500(number: usize) -> String {
    format!("{number:09}")
}

fn table(title: &str, size: &str, unit: &str) -> Table {
    Table::new(
        format!("{title}: CPU µs a request"),
        &[
            &size,
            &"bare hyper",
            &"Partywall",
            &"ratio",
            &"beyond bare",
            &unit,
        ],
    )
}

fn row(table: &mut Table, size: &str, [ours, bare]: [Duration; 2], units: f64) {
    let beyond = (ours.as_secs_f64() - bare.as_secs_f64()) * 1e6;
    table.row(&[
        &size,
        &micros(bare),
        &micros(ours),
        &ratio(ours.as_secs_f64(), bare.as_secs_f64()),
        &format!("{beyond:.1}"),
        &format!("{:.2}", beyond / units),
    ]);
}
