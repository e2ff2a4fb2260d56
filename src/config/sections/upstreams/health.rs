//! `health`: how an upstream's health is checked.

use std::time::Duration;

use hyper::http::uri::PathAndQuery;
use serde::Serialize;

use super::api::Api;
use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::{boolean, positive_duration, text};

/// An upstream's `health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// `path`: below the base path, optionally with a query. Default: `/-/ready` for Prometheus
    /// and Alertmanager, `/ready` for Tempo.
    pub path: Box<str>,
    /// `interval`: from one check to the next, default 10 s.
    #[serde(serialize_with = "serialize::duration")]
    pub interval: Duration,
    /// `timeout`: of one check, default 5 s.
    #[serde(serialize_with = "serialize::duration")]
    pub timeout: Duration,
    /// `gates_readiness`: whether Partywall is not ready while the upstream is unhealthy, default
    /// false.
    pub gates_readiness: bool,
}

impl HealthCheck {
    /// The default for an upstream of this API.
    pub fn of(api: Api) -> Self {
        Self {
            path: match api {
                Api::Prometheus | Api::Alertmanager => "/-/ready".into(),
                Api::Tempo => "/ready".into(),
            },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            gates_readiness: false,
        }
    }
}

pub(super) fn health(r: &mut Reader<'_>, field: &Field<'_>, api: Api) -> Read<HealthCheck> {
    let default = HealthCheck::of(api);
    let mut section = r.section(field)?;
    let path = section.or(r, "path", default.path, path);
    let interval = section.or(r, "interval", default.interval, positive_duration);
    let timeout = section.or(r, "timeout", default.timeout, positive_duration);
    let gates_readiness = section.or(r, "gates_readiness", default.gates_readiness, boolean);
    section.finish(r)?;
    Ok(HealthCheck {
        path: path?,
        interval: interval?,
        timeout: timeout?,
        gates_readiness: gates_readiness?,
    })
}

fn path(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Box<str>> {
    let path = text(r, field)?;
    let is_visible = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if path.starts_with('/') && is_visible && path.parse::<PathAndQuery>().is_ok() {
        Ok(path.into())
    } else {
        Err(r.error(field, "must be a path like /-/ready, perhaps with a query"))
    }
}
