//! `listeners` and `admin`: the addresses that requests are accepted at.

use std::collections::HashMap;
use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;
use serde::{Serialize, Serializer};

use super::cors::{Cors, cors};
use crate::config::certificates::{CertificateChain, PrivateKey};
use crate::config::files;
use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::url;
use crate::config::values::{address, choice};

/// Whether client certificates are required.
const REQUIRED: [(&str, bool); 2] = [("required", true), ("optional", false)];

/// One entry of `listeners`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// `address`: IP address and port. Not reloadable.
    pub address: SocketAddr,
    /// `tls`: HTTPS instead of HTTP.
    pub tls: Option<ListenerTls>,
    /// `cors`: which web pages of other sites may read answers; `None` (default) if Partywall has
    /// no part in that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
}

/// A listener's `tls`. Files are read when the config is (re)loaded and are watched, so these
/// values are current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerTls {
    /// `cert_file`: the chain, leaf first.
    #[serde(rename = "cert_file", serialize_with = "serialize::hidden")]
    pub certificates: CertificateChain,
    /// `key_file`: the leaf's key.
    #[serde(rename = "key_file", serialize_with = "serialize::hidden")]
    pub key: PrivateKey,
    /// `client_ca_file`: requests client certificates.
    #[serde(flatten)]
    pub clients: Option<ClientCertificates>,
}

/// Which client certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientCertificates {
    /// `client_ca_file`: at least one authority.
    #[serde(rename = "client_ca_file", serialize_with = "serialize::hidden")]
    pub authorities: Vec<CertificateDer<'static>>,
    /// `client_certificates`: `required` (default, true) or `optional`.
    #[serde(rename = "client_certificates", serialize_with = "required")]
    pub required: bool,
}

/// `admin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admin {
    /// `address`: IP address and port, default `127.0.0.1:8081`. Not reloadable.
    pub address: SocketAddr,
    /// `hosts`: accepted host names, besides `localhost` and every IP address; in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Box<str>>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8081)),
            hosts: Vec::new(),
        }
    }
}

type Bound<'n> = (Field<'n>, SocketAddr);

/// One of `listeners`, with the position of its address.
pub(super) fn listener<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Listener)> {
    let mut section = r.section(field)?;
    let bound = section.required(r, "address", bound);
    let tls = section.optional(r, "tls", tls);
    let cors = section.optional(r, "cors", cors);
    section.finish(r)?;
    let (field, address) = bound?;
    let listener = Listener {
        address,
        tls: tls?,
        cors: cors?,
    };
    Ok((field, listener))
}

/// `admin`.
pub(super) fn admin<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Admin)> {
    let mut section = r.section(field)?;
    let bound = section.required(r, "address", bound);
    let hosts = section.or(r, "hosts", Vec::new(), |r, field| {
        let hosts = r.some_of(field, url::host)?;
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
            return Err(r.error(field, "requires `client_ca_file`"));
        }
        choice(r, field, &REQUIRED)
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

/// No two sockets with the same address, including the default of `admin`.
pub(super) fn bound_once<'n>(
    r: &mut Reader<'_>,
    listeners: &Read<Vec<(Field<'n>, Listener)>>,
    admin: &Read<Option<(Field<'n>, Admin)>>,
) -> Read<()> {
    let (Ok(listeners), Ok(admin)) = (listeners, admin) else {
        return Ok(());
    };
    let mut result = unambiguous(r, listeners);
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

/// A connection finds its `tls` and `cors` by the address, and port 0 may occur several times.
fn unambiguous(r: &mut Reader<'_>, listeners: &[(Field<'_>, Listener)]) -> Read<()> {
    let mut first: HashMap<SocketAddr, &Listener> = HashMap::new();
    let mut result = Ok(());
    for (field, listener) in listeners {
        let other = first.entry(listener.address).or_insert(listener);
        let is_same = other.tls == listener.tls && other.cors == listener.cors;
        if listener.address.port() == 0 && !is_same {
            let message = "listeners of one address and port 0 must have the same `tls` and `cors`";
            result = Err(r.error(field, message));
        }
    }
    result
}

/// Whether the system would refuse to bind both. Port 0 is a different port each time; an
/// unspecified IP address includes all others.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

fn required<S: Serializer>(required: &bool, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&REQUIRED, required, to)
}
