//! `listeners` and `admin`: where requests come in.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::upstreams::place;
use crate::config::files;
use crate::config::read::{Field, Read, Reader};
use crate::config::settings::{Admin, ClientCertificates, Listener, ListenerTls};
use crate::config::values::{address, choice};

type Bound<'n> = (Field<'n>, SocketAddr);

/// One of `listeners`, and where its address is.
pub(super) fn listener<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Listener)> {
    let mut section = r.section(field)?;
    let bound = section.required(r, "address", bound);
    let tls = section.optional(r, "tls", tls);
    section.finish(r)?;
    let (field, address) = bound?;
    Ok((field, Listener { address, tls: tls? }))
}

/// `admin`.
pub(super) fn admin<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Admin)> {
    let mut section = r.section(field)?;
    let bound = section.required(r, "address", bound);
    let hosts = section.or(r, "hosts", Vec::new(), |r, field| {
        let hosts = r.some_of(field, place::host)?;
        Ok(hosts.into_iter().map(|(_, host)| host).collect())
    });
    section.finish(r)?;
    let (field, address) = bound?;
    let hosts = hosts?;
    Ok((field, Admin { address, hosts }))
}

fn bound<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<Bound<'n>> {
    Ok((field.clone(), address(r, field)?))
}

fn tls(r: &mut Reader<'_>, field: &Field<'_>) -> Read<ListenerTls> {
    let mut section = r.section(field)?;
    let certificates = section.required(r, "cert_file", files::certificate_chain);
    let key = section.required(r, "key_file", |r, field| {
        let key = files::private_key(r, field)?;
        if let Ok(chain) = &certificates {
            files::key_fits(r, field, &key, chain)?;
        }
        Ok(key)
    });
    let authorities = section.optional(r, "client_ca_file", files::authorities);
    let required = section.or(r, "client_certificates", true, |r, field| {
        if authorities == Ok(None) {
            return Err(r.error(field, "goes with `client_ca_file` only"));
        }
        choice(r, field, &[("required", true), ("optional", false)])
    });
    section.finish(r)?;
    let required = required?;
    Ok(ListenerTls {
        certificates: certificates?,
        key: key?,
        clients: authorities?.map(|authorities| ClientCertificates {
            authorities,
            required,
        }),
    })
}

/// No two sockets at one address, `admin` at its default included.
pub(super) fn bound_once<'n>(
    r: &mut Reader<'_>,
    listeners: &Read<Vec<(Field<'n>, Listener)>>,
    admin: &Read<Option<(Field<'n>, Admin)>>,
) -> Read<()> {
    let (Ok(listeners), Ok(admin)) = (listeners, admin) else {
        return Ok(());
    };
    let mut result = told_apart(r, listeners);
    let mut taken: Vec<(SocketAddr, String)> = Vec::new();
    if admin.is_none() {
        taken.push((Admin::default().address, "by `admin`, by default".into()));
    }
    let listeners = listeners
        .iter()
        .map(|(field, listener)| (field, &listener.address));
    let admin = admin.iter().map(|(field, admin)| (field, &admin.address));
    for (field, address) in listeners.chain(admin) {
        if let Some((other, place)) = taken.iter().find(|(other, _)| overlap(*other, *address)) {
            let message = format!("{other} is already in use {place}");
            result = Err(r.error(field, message));
        }
        taken.push((*address, format!("in line {}", field.line())));
    }
    result
}

/// A connection finds its `tls` by the address, and port 0 may be there several times.
fn told_apart(r: &mut Reader<'_>, listeners: &[(Field<'_>, Listener)]) -> Read<()> {
    let mut first: HashMap<SocketAddr, &Listener> = HashMap::new();
    let mut result = Ok(());
    for (field, listener) in listeners {
        let other = first.entry(listener.address).or_insert(listener);
        if listener.address.port() == 0 && other.tls != listener.tls {
            let message = "listeners of one address and port 0 must have the same `tls`";
            result = Err(r.error(field, message));
        }
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
