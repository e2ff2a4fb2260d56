//! `health`: how it is found out whether an upstream can answer.

use hyper::http::uri::PathAndQuery;

use crate::config::read::{Field, Read, Reader};
use crate::config::settings::{Api, HealthCheck};
use crate::config::values::{boolean, positive_duration, text};

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
