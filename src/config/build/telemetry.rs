//! `audit`, `metrics` and `tracing`.

use crate::config::read::{Field, Read, Reader};
use crate::config::settings::{Audit, AuditOutput, AuditQueries, Metrics, Tracing};
use crate::config::url;
use crate::config::values::{choice, count, path, share, text};

pub(super) fn audit(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Audit> {
    let default = Audit::default();
    let mut section = r.section(field)?;
    let output = section.or(r, "output", default.output, output);
    let sampling = section.or(r, "sampling", default.sampling, share);
    let queries = section.or(r, "queries", default.queries, |r, field| {
        let choices = [
            ("full", AuditQueries::Full),
            ("hash", AuditQueries::Hash),
            ("none", AuditQueries::None),
        ];
        choice(r, field, &choices)
    });
    section.finish(r)?;
    Ok(Audit {
        output: output?,
        sampling: sampling?,
        queries: queries?,
    })
}

/// What a word of `output` means.
type Word = fn() -> AuditOutput;

/// A word, or a path: what has a slash.
fn output(r: &mut Reader<'_>, field: &Field<'_>) -> Read<AuditOutput> {
    if text(r, field)?.contains('/') {
        return path(r, field).map(AuditOutput::File);
    }
    let words: [(&str, Word); 3] = [
        ("log", || AuditOutput::Log),
        ("stdout", || AuditOutput::Stdout),
        ("none", || AuditOutput::None),
    ];
    choice(r, field, &words).map(|output| output())
}

pub(super) fn metrics(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Metrics> {
    let mut section = r.section(field)?;
    let per_tenant = section.optional(r, "per_tenant", |r, field| {
        let mut section = r.section(field)?;
        let max_tenants = section.or(r, "max_tenants", 100, |r, field| {
            count(r, field, 1..=100_000)
        });
        section.finish(r)?;
        max_tenants
    });
    section.finish(r)?;
    Ok(Metrics {
        per_tenant: per_tenant?,
    })
}

pub(super) fn tracing(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Tracing> {
    let mut section = r.section(field)?;
    let otlp_endpoint = section.required(r, "otlp_endpoint", url::absolute);
    let sample_ratio = section.or(r, "sample_ratio", 0.01, share);
    let service_name = section.or(r, "service_name", "partywall".into(), |r, field| {
        text(r, field).map(Into::into)
    });
    section.finish(r)?;
    let tracing = Tracing {
        otlp_endpoint: otlp_endpoint?,
        sample_ratio: sample_ratio?,
        service_name: service_name?,
    };
    if cfg!(feature = "otlp") {
        Ok(tracing)
    } else {
        let message = "this build of Partywall cannot export spans: build it with \
                       `cargo build --release --locked --features otlp`, or leave out `tracing`";
        Err(r.error(field, message))
    }
}
