//! Loads of the config, and its warnings.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ResultLabels, add};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WarningLabels {
    warning: &'static str,
}

/// The metrics, as registered.
pub(super) struct ConfigMetrics {
    reloads: Family<ResultLabels, Counter>,
    last_reload_successful: Gauge,
    last_reload_success: Gauge<f64, AtomicU64>,
    warnings: Family<WarningLabels, Gauge>,
}

impl ConfigMetrics {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            reloads: add(
                r,
                "config_reloads",
                "Loads of the config, by result",
                Family::default(),
            ),
            last_reload_successful: add(
                r,
                "config_last_reload_successful",
                "Whether the last load of the config succeeded",
                Gauge::default(),
            ),
            last_reload_success: add(
                r,
                "config_last_reload_success_timestamp_seconds",
                "When the config was last loaded successfully",
                Gauge::default(),
            ),
            warnings: add(
                r,
                "config_warnings",
                "Warnings of the config in force, by kind",
                Family::default(),
            ),
        }
    }

    /// A load of the config at `now`, in seconds since the epoch.
    pub(super) fn reloaded(&self, ok: bool, now: f64) {
        let result = if ok { "ok" } else { "error" };
        self.reloads.get_or_create(&ResultLabels { result }).inc();
        self.last_reload_successful.set(i64::from(ok));
        if ok {
            self.last_reload_success.set(now);
        }
    }

    /// How many warnings of each kind the config in force has.
    pub(super) fn warned(&self, counts: impl IntoIterator<Item = (&'static str, usize)>) {
        for (warning, count) in counts {
            self.warnings
                .get_or_create(&WarningLabels { warning })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
