//! Whether the time grows in proportion to the input, or faster.

use std::error::Error;
use std::fmt::Display;

use partywall::prometheus::form::Form;
use partywall::tenancy::resolve;
use partywall::traceql::{TraceIntrinsics, confine_search};

use crate::harness::Table;
use crate::inputs;
use crate::pace::Pace;
use crate::{PROMQL, TRACEQL, confine, filter_rules, scan};

/// One input's size and the time it takes.
struct Point {
    size: f64,
    nanos: f64,
}

/// Longer and longer queries, forms and answers.
pub(crate) fn by_length(pace: Pace) -> Result<(), Box<dyn Error>> {
    let kib: &[usize] = if pace.is_quick() {
        &[1, 4]
    } else {
        &[1, 2, 4, 8, 16, 32, 64]
    };
    let matchers = inputs::matchers(1)?;
    let predicate = inputs::predicate(1)?;
    let trust = TraceIntrinsics::Trust;
    let mut table = Growth::new("Longer inputs: ns a byte", "KiB", kib);
    table.row("PromQL: scanned", |kib| {
        let query = inputs::promql(kib * 1024);
        let nanos = pace.nanos(|| scan(&query, &matchers))?;
        Ok(Point::new(query.len(), nanos))
    })?;
    table.row("PromQL: confined and proven", |kib| {
        let query = inputs::promql(kib * 1024);
        let nanos = pace.nanos(|| confine(&query, &matchers))?;
        Ok(Point::new(query.len(), nanos))
    })?;
    table.row("TraceQL: search confined and proven", |kib| {
        let query = inputs::traceql(kib * 1024);
        let nanos = pace.nanos(|| confine_search(&query, &predicate, trust, usize::MAX))?;
        Ok(Point::new(query.len(), nanos))
    })?;
    table.row("form: read", |kib| {
        let form = inputs::form(&inputs::promql(kib * 1024));
        let nanos = pace.nanos(|| Form::parse(form.as_bytes()))?;
        Ok(Point::new(form.len(), nanos))
    })?;
    table.row("rules: filtered (5 KiB each)", |times| {
        let answer = inputs::rules(times)?;
        let nanos = pace.nanos(|| filter_rules(&answer, &matchers))?;
        Ok(Point::new(answer.len(), nanos))
    })?;
    table.print();
    Ok(())
}

/// Tokens of more and more tenants.
pub(crate) fn by_tenants(pace: Pace) -> Result<(), Box<dyn Error>> {
    let counts: &[usize] = if pace.is_quick() {
        &[1, 10]
    } else {
        &[1, 10, 100, 1000]
    };
    let tenancy = inputs::tenancy();
    let trust = TraceIntrinsics::Trust;
    let mut table = Growth::new("More tenants: ns a tenant", "tenants", counts);
    table.row("claims: resolved to a scope", |count| {
        let claims = inputs::claims(count);
        let nanos = pace.nanos(|| resolve(&tenancy, crate::issuer::ISSUER, &claims))?;
        Ok(Point::new(count, nanos))
    })?;
    table.row("PromQL: confined and proven", |count| {
        let matchers = inputs::matchers(count)?;
        let nanos = pace.nanos(|| confine(PROMQL, &matchers))?;
        Ok(Point::new(count, nanos))
    })?;
    table.row("TraceQL: search confined and proven", |count| {
        let predicate = inputs::predicate(count)?;
        let nanos = pace.nanos(|| confine_search(TRACEQL, &predicate, trust, usize::MAX))?;
        Ok(Point::new(count, nanos))
    })?;
    table.row("rules: filtered", |count| {
        let matchers = inputs::matchers(count)?;
        let nanos = pace.nanos(|| filter_rules(inputs::RULES, &matchers))?;
        Ok(Point::new(count, nanos))
    })?;
    table.print();
    Ok(())
}

impl Point {
    fn new(size: usize, nanos: f64) -> Self {
        let size = size as f64;
        Self { size, nanos }
    }

    /// How the time grows from here to there with the size: 1 is in proportion, 2 is squared.
    fn power_to(&self, other: &Self) -> f64 {
        (other.nanos / self.nanos).ln() / (other.size / self.size).ln()
    }
}

/// A table of points, a row a call.
struct Growth<'a> {
    table: Table,
    sizes: &'a [usize],
}

impl<'a> Growth<'a> {
    fn new(title: &str, unit: &str, sizes: &'a [usize]) -> Self {
        let columns: Vec<String> = sizes.iter().map(|size| format!("{size} {unit}")).collect();
        let mut heads: Vec<&dyn Display> = vec![&"call"];
        heads.extend(columns.iter().map(|head| head as &dyn Display));
        heads.extend([&"worst step, power" as &dyn Display, &"last step, power"]);
        let title = format!("{title} (power 1: in proportion; 2: squared)");
        Self {
            table: Table::new(title, &heads),
            sizes,
        }
    }

    fn row(
        &mut self,
        name: &str,
        measure: impl FnMut(usize) -> Result<Point, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let points: Vec<Point> = self
            .sizes
            .iter()
            .copied()
            .map(measure)
            .collect::<Result<_, _>>()?;
        let rates: Vec<String> = points
            .iter()
            .map(|point| format!("{:.2}", point.nanos / point.size))
            .collect();
        let powers: Vec<f64> = points
            .iter()
            .zip(points.iter().skip(1))
            .map(|(from, to)| from.power_to(to))
            .collect();
        let worst = powers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let last = powers.last().copied().unwrap_or(f64::NAN);
        let (worst, last) = (format!("{worst:.2}"), format!("{last:.2}"));
        let mut cells: Vec<&dyn Display> = vec![&name];
        cells.extend(rates.iter().map(|rate| rate as &dyn Display));
        cells.extend([&worst as &dyn Display, &last]);
        self.table.row(&cells);
        Ok(())
    }

    fn print(&self) {
        self.table.print();
    }
}
