//! `listeners` and `admin`: where requests come in.

use std::net::SocketAddr;

use crate::config::read::{Field, Read, Reader};
use crate::config::settings::Admin;
use crate::config::values::address;

pub(super) type Bound<'n> = (Field<'n>, SocketAddr);

/// `{ address }`: a listener, or `admin`.
pub(super) fn only_address<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<Bound<'n>> {
    let mut section = r.section(field)?;
    let bound = section.required(r, "address", |r, field| {
        Ok((field.clone(), address(r, field)?))
    });
    section.finish(r)?;
    bound
}

/// No two sockets at one address, `admin` at its default included.
pub(super) fn bound_once<'n>(
    r: &mut Reader<'_>,
    listeners: &Read<Vec<Bound<'n>>>,
    admin: &Read<Option<Bound<'n>>>,
) -> Read<()> {
    let (Ok(listeners), Ok(admin)) = (listeners, admin) else {
        return Ok(());
    };
    let mut result = Ok(());
    let mut taken: Vec<(SocketAddr, String)> = Vec::new();
    if admin.is_none() {
        taken.push((Admin::default().address, "by `admin`, by default".into()));
    }
    for (field, address) in listeners.iter().chain(admin) {
        if let Some((other, place)) = taken.iter().find(|(other, _)| overlap(*other, *address)) {
            let message = format!("{other} is already in use {place}");
            result = Err(r.error(field, message));
        }
        taken.push((*address, format!("in line {}", field.line())));
    }
    result
}

/// Whether the system would refuse the second of two. Port 0 is a different port each time; an
/// unspecified IP address is every one.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}
