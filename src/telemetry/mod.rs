//! What operators see: metrics, logs, the audit trail, traces.

pub mod audit;
pub mod log;
pub mod metrics;
pub mod spans;
pub mod traceparent;
