//! The Prometheus and Thanos HTTP APIs: parameters, answers, remote read. Pure.
//!
//! A request walks through [`endpoints`] (which call is it), [`body_type`], [`form`] and
//! [`multipart`] (its parameters, read as Go reads them), [`params`] (which of them may go up, and confined how) or [`remote_read`]; its
//! answer through [`answer`] (streamed, its warnings scrubbed), [`filter`] (read whole, foreign
//! entries removed) or [`errors`]. [`clusters`] puts the answers of several stores side by side.
//!
//! Sources of the rules here, unless named otherwise: `web/api/v1/api.go` and `web/web.go` of
//! Prometheus 2.42 to 3.14, `pkg/api/query/v1.go` of Thanos 0.42.

pub mod answer;
pub mod body_type;
pub mod canonical;
pub mod clusters;
pub mod completeness;
pub mod endpoints;
pub mod errors;
pub mod filter;
pub mod form;
mod json;
pub mod multipart;
pub mod params;
pub mod position;
pub mod remote_read;
pub mod warnings;
pub mod window;

pub use json::Unreadable;
