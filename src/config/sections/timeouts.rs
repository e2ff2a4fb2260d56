//! `timeouts`: the bounds of all waiting for clients.

use std::time::Duration;

use serde::Serialize;

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::positive_duration;

/// `timeouts` on the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// `first_request`: from accept to the end of the first request's headers, default 10 s.
    #[serde(serialize_with = "serialize::duration")]
    pub first_request: Duration,
    /// `header`: from the first to the last byte of a request's headers, default 10 s.
    #[serde(serialize_with = "serialize::duration")]
    pub header: Duration,
    /// `body_idle`: between two chunks of a request body, default 30 s.
    #[serde(serialize_with = "serialize::duration")]
    pub body_idle: Duration,
    /// `body_total`: from the first to the last byte of a request body that is buffered, default
    /// 1 min.
    #[serde(serialize_with = "serialize::duration")]
    pub body_total: Duration,
    /// `idle`: a connection without a request, default 2 min.
    #[serde(serialize_with = "serialize::duration")]
    pub idle: Duration,
    /// `unauthenticated_idle`: the same, if no request on it had a valid token, default 10 s.
    #[serde(serialize_with = "serialize::duration")]
    pub unauthenticated_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_request: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            body_total: Duration::from_mins(1),
            idle: Duration::from_mins(2),
            unauthenticated_idle: Duration::from_secs(10),
        }
    }
}

pub(super) fn timeouts(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Timeouts> {
    let default = Timeouts::default();
    let mut section = r.section(field)?;
    let first_request = section.or(r, "first_request", default.first_request, positive_duration);
    let header = section.or(r, "header", default.header, positive_duration);
    let body_idle = section.or(r, "body_idle", default.body_idle, positive_duration);
    let body_total = section.or(r, "body_total", default.body_total, positive_duration);
    let idle = section.or(r, "idle", default.idle, positive_duration);
    let unauthenticated_idle = section.or(
        r,
        "unauthenticated_idle",
        default.unauthenticated_idle,
        positive_duration,
    );
    section.finish(r)?;
    Ok(Timeouts {
        first_request: first_request?,
        header: header?,
        body_idle: body_idle?,
        body_total: body_total?,
        idle: idle?,
        unauthenticated_idle: unauthenticated_idle?,
    })
}
