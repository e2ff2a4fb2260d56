//! What operators see: metrics, logs, the admin endpoint.

pub mod admin;
mod explain;
pub mod log;
pub mod metrics;
