//! What operators see: metrics, logs, the admin endpoint.

pub mod admin;
pub mod log;
pub mod metrics;
mod upstreams;
