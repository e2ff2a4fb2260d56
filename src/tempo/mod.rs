//! The API of Grafana Tempo: parameters, request messages, answers. Pure.
//!
//! [`endpoints`] finds out which call a request is; [`params`] (HTTP) or [`requests`] (gRPC) decide
//! what of it is forwarded, and confine it. [`search`], [`tags`] and [`metrics_answer`] filter the
//! answers, with the same rules for JSON and protobuf, and [`errors`] filters errors. Callers pass
//! closures that confine TraceQL.
//!
//! Sources of the rules, unless named otherwise: `pkg/api`, `pkg/tempopb/tempo.proto`,
//! `modules/frontend` and `pkg/traceql` of Tempo 2.4 to 3.1.

pub mod answer;
mod any_value;
pub mod endpoints;
pub mod errors;
pub mod metrics_answer;
pub mod params;
pub mod requests;
pub mod search;
pub mod tag_name;
pub mod tags;
pub mod trace;
pub mod window;

#[cfg(test)]
mod testing;
