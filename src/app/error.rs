//! Why the process does not start.

use thiserror::Error;

use super::descriptors;
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
    /// The limit of open files.
    #[error(
        "the hard limit of open files is {0}, and Partywall needs {fewest}: raise it \
         (ulimit -Hn, LimitNOFILE)", fewest = descriptors::FEWEST
    )]
    Descriptors(usize),
    /// An address, a signal handler.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
