//! Why the process does not start.

use thiserror::Error;

use crate::config::ConfigErrors;
use crate::proxy::snapshot::SnapshotError;
use crate::telemetry::audit::AuditError;
use crate::telemetry::spans::SpansError;

/// Why the process could not start, or did not end well.
#[derive(Debug, Error)]
pub enum AppError {
    /// The config file.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// What the config file asks for.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Where the audit trail is to go.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Where spans are to go.
    #[error(transparent)]
    Spans(#[from] SpansError),
    /// An address, a signal handler.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
