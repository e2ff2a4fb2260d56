//! The Prometheus and Thanos HTTP APIs: parameters, responses, remote read. Pure.
//!
//! A request passes through [`endpoints`] (which endpoint it is), [`body_type`], [`form`] and
//! [`multipart`] (its parameters, parsed as Go does) and [`params`] (which of them are forwarded, and
//! how they are confined), or [`remote_read`]; its response through [`answer`] (streamed, with its
//! warnings scrubbed), [`filter`] (buffered, with other tenants' entries removed) or [`errors`].
//! [`clusters`] combines the responses of several stores.
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
pub(crate) mod json;
pub mod multipart;
pub mod params;
pub mod position;
pub mod remote_read;
pub mod warnings;
pub mod window;

pub use json::Unreadable;
