//! What operators see: metrics, logs, the audit trail, traces, the admin endpoint.

pub mod admin;
pub mod audit;
mod explain;
mod flush;
pub mod log;
pub mod metrics;
pub mod spans;
pub mod traceparent;
