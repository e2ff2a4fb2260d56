//! `path_prefix` and `hosts`: where clients find an upstream.

use std::sync::Arc;

use crate::config::read::{Field, Read, Reader};
use crate::config::values::text;
use crate::prometheus::endpoints::{self, Class};
use crate::tempo::endpoints as tempo;

/// A path of whole segments that mean themselves in every server's reading.
pub(super) fn path_prefix(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Arc<str>> {
    let prefix = text(r, field)?;
    let is_plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let segments = prefix.strip_prefix('/').map(|rest| rest.split('/'));
    if !segments.is_some_and(|mut segments| segments.all(is_plain)) {
        let message = "must be like /clusters/eu: segments of letters, digits and `-._~`, no \
                       slash at the end";
        return Err(r.error(field, message));
    }
    let is_free = endpoints::classify(&prefix) == Class::PassThrough
        && tempo::classify(&prefix) == tempo::Class::Other;
    if !is_free {
        let message = "is a path of the APIs themselves: choose another, like /clusters/eu";
        return Err(r.error(field, message));
    }
    Ok(prefix.into())
}

/// A host name as requests are compared with it: lower case, no port, no dot at the end.
pub(in crate::config::build) fn host<'n>(
    r: &mut Reader<'_>,
    field: &Field<'n>,
) -> Read<(Field<'n>, Box<str>)> {
    let host = text(r, field)?.to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !host.bytes().all(allowed) || host.ends_with('.') {
        let message = "must be a host name or an IPv4 address, without port: eu.example.com";
        return Err(r.error(field, message));
    }
    Ok((field.clone(), host.into()))
}
