//! The API of Grafana Tempo: parameters, request messages, answers. Pure.
//!
//! A request walks through [`endpoints`] (which call is it), [`params`] (HTTP) or [`requests`]
//! (gRPC): what goes up, and confined how. Its answer walks through [`search`], [`tags`] or
//! [`metrics_answer`], whose JSON and protobuf forms lose the same things; an error through
//! [`errors`]. How TraceQL is confined is a closure's business here.
//!
//! Sources of the rules, unless named otherwise: `pkg/api`, `pkg/tempopb/tempo.proto`,
//! `modules/frontend` and `pkg/traceql` of Tempo 2.4 to 3.1.

pub mod answer;
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
