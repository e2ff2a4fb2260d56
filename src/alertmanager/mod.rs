//! The API of Alertmanager (`/api/v2`): parameters, bodies, answers. Pure.
//!
//! [`endpoints`] finds out which call a request is, and [`params`] what of its parameters is
//! forwarded. [`alerts`] and [`silences`] filter answers and confine what is posted; [`status`]
//! withholds the configuration; [`errors`] decides which of Alertmanager's texts are shown.
//!
//! Sources of the rules, unless named otherwise: `api/v2/api.go`, `api/v2/compat.go`,
//! `api/v2/openapi.yaml`, `silence/silence.go` and `matcher` of Alertmanager 0.25 to 0.34.

pub mod alerts;
pub mod endpoints;
pub mod errors;
mod ownership;
pub mod params;
mod posted;
pub mod silences;
pub mod status;
#[cfg(test)]
mod testing;

pub use self::posted::{PARSED, PostError};
