//! From the tree to [`Settings`]: one file a group of sections, read in the order of the file.

mod issuers;
mod process;
mod rules;
mod tenancy;
mod tenant_limits;
mod tokens;
mod upstreams;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::read::{Field, Read, Reader};
use crate::config::settings::{Admin, Listener, Passthrough, Settings};
use crate::config::values::{address, choice, shown, text};

/// The whole file. Every section is read, whatever is wrong with the others.
pub(super) fn settings(r: &mut Reader<'_>, root: &Field<'_>) -> Read<Settings> {
    let mut section = r.section(root)?;
    let listeners = section.required(r, "listeners", |r, field| {
        r.some_of(field, |r, field| only_address(r, field))
    });
    let admin = section.optional(r, "admin", only_address);
    let bound = bound_once(r, &listeners, &admin);
    let upstreams = section.required(r, "upstreams", upstreams::upstreams);
    let tokens = section.required(r, "tokens", tokens::tokens);
    let known = tenancy::Known {
        issuers: match &tokens {
            Ok(tokens) => tokens.issuers.clone(),
            Err(reported) => Err(*reported),
        },
        apis: match &upstreams {
            Ok(upstreams) => upstreams.apis.clone(),
            Err(_) => Vec::new(),
        },
    };
    let tenancy = section.required(r, "tenancy", |r, field| tenancy::tenancy(r, field, &known));
    let promql = section.optional(r, "promql", process::promql);
    let traces = section.optional(r, "traces", process::traces);
    let upstream_names = match &upstreams {
        Ok(upstreams) => upstreams.names.clone(),
        Err(reported) => Err(*reported),
    };
    let passthrough = section.optional(r, "passthrough", |r, field| {
        passthrough(r, field, &upstream_names)
    });
    let limits = section.optional(r, "limits", process::limits);
    let tenant_limits = section.optional(r, "tenant_limits", tenant_limits::tenant_limits);
    let timeouts = section.optional(r, "timeouts", process::timeouts);
    let drain = section.optional(r, "drain", process::drain);
    let reload = section.optional(r, "reload", process::reload);
    let log = section.optional(r, "log", process::log);
    section.finish(r)?;
    bound?;

    let upstreams = upstreams?.all?;
    let (authenticated, upstream) = passthrough?.unwrap_or((true, None));
    let first = || upstreams.first().map(|upstream| Arc::clone(&upstream.name));
    let Some(upstream) = upstream.or_else(first) else {
        return Err(r.error(root, "has no upstream"));
    };
    Ok(Settings {
        listeners: listeners?
            .into_iter()
            .map(|(_, address)| Listener { address })
            .collect(),
        admin: admin?.map_or_else(Admin::default, |(_, address)| Admin { address }),
        upstreams,
        tokens: tokens?.all?,
        tenancy: tenancy?,
        promql: promql?.unwrap_or_default(),
        traces: traces?.unwrap_or_default(),
        passthrough: Passthrough {
            authenticated,
            upstream,
        },
        limits: limits?.unwrap_or_default(),
        tenant_limits: tenant_limits?.unwrap_or_default(),
        timeouts: timeouts?.unwrap_or_default(),
        drain: drain?.unwrap_or_default(),
        reload: reload?.unwrap_or_default(),
        log: log?.unwrap_or_default(),
    })
}

type Bound<'n> = (Field<'n>, SocketAddr);

/// `{ address }`: a listener, or `admin`.
fn only_address<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<Bound<'n>> {
    let mut section = r.section(field)?;
    let bound = section.required(r, "address", |r, field| {
        Ok((field.clone(), address(r, field)?))
    });
    section.finish(r)?;
    bound
}

/// No two sockets at one address, `admin` at its default included.
fn bound_once<'n>(
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

/// Whether it asks for a token, and the upstream if it names one.
fn passthrough(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    upstreams: &Read<Vec<Arc<str>>>,
) -> Read<(bool, Option<Arc<str>>)> {
    let mut section = r.section(field)?;
    let authenticated = section.or(r, "authentication", true, |r, field| {
        choice(r, field, &[("required", true), ("none", false)])
    });
    let upstream = section.optional(r, "upstream", |r, field| {
        let name = text(r, field)?;
        match upstreams {
            Ok(names) if !names.iter().any(|known| **known == *name) => {
                let message = format!("{} is not the name of an upstream", shown(&name));
                Err(r.error(field, message))
            }
            _ => Ok(name.into()),
        }
    });
    section.finish(r)?;
    Ok((authenticated?, upstream?))
}
