//! Why the process does not start.

use thiserror::Error;

use super::descriptors;
use crate::config::ConfigErrors;
use crate::proxy::snapshot::SnapshotError;
use crate::telemetry::audit::AuditError;
use crate::telemetry::spans::SpansError;

/// Why the process could not start, or did not end properly.
#[derive(Debug, Error)]
pub enum AppError {
    /// The config file is invalid.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The config asks for something impossible.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The audit trail cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Spans cannot be exported.
    #[error(transparent)]
    Spans(#[from] SpansError),
    /// The limit of open files is too low.
    #[error(
        "the hard limit of open files is {0}, and Partywall needs {fewest}: raise it \
         (ulimit -Hn, LimitNOFILE)", fewest = descriptors::FEWEST
    )]
    Descriptors(usize),
    /// An address cannot be bound, or a signal handler not installed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
