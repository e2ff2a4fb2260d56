//! `timeouts` of an upstream.

use std::time::Duration;

use serde::Serialize;

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::positive_duration;

/// An upstream's `timeouts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamTimeouts {
    /// `connect`: until a connection is open, including TLS, default 5 s.
    #[serde(serialize_with = "serialize::duration")]
    pub connect: Duration,
    /// `response_head`: from the end of the request to the end of the response headers, default 2
    /// min (Prometheus' own query timeout).
    #[serde(serialize_with = "serialize::duration")]
    pub response_head: Duration,
    /// `body_idle`: between two chunks of a response, default 1 min.
    #[serde(serialize_with = "serialize::duration")]
    pub body_idle: Duration,
    /// `keep_alive`: how long an unused connection may be used again, default 50 s: less than the
    /// 60 s after which common load balancers close one. An upstream that says `Keep-Alive:
    /// timeout` shortens it.
    #[serde(serialize_with = "serialize::duration")]
    pub keep_alive: Duration,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response_head: Duration::from_mins(2),
            body_idle: Duration::from_mins(1),
            keep_alive: Duration::from_secs(50),
        }
    }
}

pub(super) fn timeouts(r: &mut Reader<'_>, field: &Field<'_>) -> Read<UpstreamTimeouts> {
    let default = UpstreamTimeouts::default();
    let mut section = r.section(field)?;
    let connect = section.or(r, "connect", default.connect, positive_duration);
    let response_head = section.or(r, "response_head", default.response_head, positive_duration);
    let body_idle = section.or(r, "body_idle", default.body_idle, positive_duration);
    let keep_alive = section.or(r, "keep_alive", default.keep_alive, positive_duration);
    section.finish(r)?;
    Ok(UpstreamTimeouts {
        connect: connect?,
        response_head: response_head?,
        body_idle: body_idle?,
        keep_alive: keep_alive?,
    })
}
