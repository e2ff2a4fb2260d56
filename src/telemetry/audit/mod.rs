//! The audit trail: one line for each request that the config selects. Nothing here waits for a disk:
//! lines that cannot be written in time are dropped and counted.

mod record;
mod text;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;

pub use self::record::{Compared, Record, Shadowed, Tenants};
pub use self::text::Redaction;
pub(crate) use self::text::shown;
use self::writer::Writer;
use super::metrics::AuditCounters;
use crate::config::settings::{Audit as Settings, AuditOutput};

/// The audit trail of the process. Its settings change with the config.
pub struct Audit {
    trail: ArcSwap<Trail>,
    counters: AuditCounters,
}

/// Why an audit trail cannot be written.
#[derive(Debug, Error)]
#[error("audit.output: {output}: {cause}")]
pub struct AuditError {
    output: String,
    cause: std::io::Error,
}

impl Audit {
    /// Opens the output.
    ///
    /// # Errors
    /// When the output is a file that cannot be opened for appending.
    pub fn new(settings: &Settings, counters: AuditCounters) -> Result<Self, AuditError> {
        let trail = Trail::open(settings, &counters, None)?;
        Ok(Self {
            trail: ArcSwap::from_pointee(trail),
            counters,
        })
    }

    /// The settings for requests that start now.
    pub fn trail(&self) -> Arc<Trail> {
        self.trail.load_full()
    }

    /// Prepares other settings. An unchanged output stays open.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn prepare(&self, settings: &Settings) -> Result<Trail, AuditError> {
        Trail::open(settings, &self.counters, Some(&self.trail.load()))
    }

    /// Uses the prepared settings from now on.
    pub fn replace(&self, trail: Trail) {
        self.trail.store(Arc::new(trail));
    }

    /// Opens the file again, as after a rotation that renamed it.
    pub fn reopen(&self) {
        if let Destination::Queue(writer) = &self.trail.load().destination {
            writer.reopen();
        }
    }

    /// Waits until all queued lines are written, for at most `within`.
    pub fn close(&self, within: Duration) {
        if let Destination::Queue(writer) = &self.trail.load().destination {
            writer.close(within);
        }
    }
}

/// Which lines are written, and to where. A request uses the same from its start to its end.
pub struct Trail {
    settings: Settings,
    destination: Destination,
    /// Permitted requests so far, to sample them evenly.
    allowed: AtomicU64,
    counters: AuditCounters,
}

enum Destination {
    Log,
    Nowhere,
    Queue(Arc<Writer>),
}

impl Trail {
    fn open(
        settings: &Settings,
        counters: &AuditCounters,
        before: Option<&Self>,
    ) -> Result<Self, AuditError> {
        let before = before.filter(|before| before.settings.output == settings.output);
        let destination = match (&settings.output, before.map(|before| &before.destination)) {
            (AuditOutput::Log, _) => Destination::Log,
            (AuditOutput::None, _) => Destination::Nowhere,
            (_, Some(Destination::Queue(writer))) => Destination::Queue(Arc::clone(writer)),
            (AuditOutput::Stdout, _) => Writer::stdout(counters)
                .map(|writer| Destination::Queue(Arc::new(writer)))
                .map_err(|cause| AuditError {
                    output: "stdout".to_owned(),
                    cause,
                })?,
            (AuditOutput::File(path), _) => Writer::file(path, counters)
                .map(|writer| Destination::Queue(Arc::new(writer)))
                .map_err(|cause| AuditError {
                    output: path.display().to_string(),
                    cause,
                })?,
        };
        Ok(Self {
            settings: settings.clone(),
            destination,
            allowed: AtomicU64::new(0),
            counters: counters.clone(),
        })
    }

    /// How queries may be recorded.
    pub fn redaction(&self) -> Redaction {
        match self.destination {
            Destination::Nowhere => Redaction::nothing(),
            _ => Redaction::new(self.settings.queries),
        }
    }

    /// Whether this permitted request is recorded: the configured share of them is.
    pub fn samples(&self) -> bool {
        let sampling = self.settings.sampling;
        let count = self.allowed.fetch_add(1, Ordering::Relaxed);
        is_sampled(count, sampling)
    }

    pub fn write(&self, record: &Record<'_>) {
        match &self.destination {
            Destination::Nowhere => {}
            Destination::Log => {
                record.log();
                self.counters.written.inc();
            }
            Destination::Queue(writer) => writer.write(record.line()),
        }
    }
}

/// Spreads the sampled requests evenly: multiples of the golden ratio fall into every part of the
/// unit interval in proportion (Weyl's equidistribution).
pub(crate) fn is_sampled(count: u64, share: f64) -> bool {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    if share >= 1.0 {
        return true;
    }
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 64 bits")]
    let position = count.wrapping_mul(GOLDEN) as f64 / u64::MAX as f64;
    position < share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_share_is_the_configured_one() {
        for (share, expected) in [(0.0, 0), (0.01, 100), (0.5, 5000), (1.0, 10_000)] {
            let sampled = (0..10_000)
                .filter(|&count| is_sampled(count, share))
                .count();
            assert!(sampled.abs_diff(expected) <= 3, "{share}: {sampled}");
        }
    }
}
