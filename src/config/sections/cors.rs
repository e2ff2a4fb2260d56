//! `listeners[].cors`: which web pages of other sites may read answers.

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::Uri;
use serde::{Serialize, Serializer};

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::{boolean, duration, text};

/// Longer is of no use: no browser remembers it (Firefox a day, Chromium two hours).
const MOST_MAX_AGE: Duration = Duration::from_hours(24);

/// A listener's `cors`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cors {
    /// `origins`.
    pub origins: Origins,
    /// `credentials`: whether pages may have the browser send cookies and client certificates,
    /// which a proxy in front may need. Default false.
    pub credentials: bool,
    /// `max_age`: for how long browsers may remember the answer to a preflight. Default 10 minutes.
    #[serde(serialize_with = "serialize::duration")]
    pub max_age: Duration,
}

/// `origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// `["*"]`: every page.
    Any,
    /// Pages of these origins, as browsers write them (RFC 6454 §6.2).
    These(BTreeSet<String>),
}

impl Serialize for Origins {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => to.collect_seq(["*"]),
            Self::These(origins) => to.collect_seq(origins),
        }
    }
}

/// `cors`.
pub(super) fn cors(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Cors> {
    let mut section = r.section(field)?;
    let origins = section.required(r, "origins", origins);
    let credentials = section.or(r, "credentials", false, |r, field| {
        let credentials = boolean(r, field)?;
        if credentials && matches!(origins, Ok(Origins::Any)) {
            let message = "with origins: [\"*\"] every web page could read a user's data with the \
                           user's cookies: list the origins";
            return Err(r.error(field, message));
        }
        Ok(credentials)
    });
    let max_age = section.or(r, "max_age", Duration::from_mins(10), |r, field| {
        let max_age = duration(r, field)?;
        if max_age > MOST_MAX_AGE {
            return Err(r.error(field, "must be at most 24h: no browser remembers it longer"));
        }
        Ok(max_age)
    });
    section.finish(r)?;
    Ok(Cors {
        origins: origins?,
        credentials: credentials?,
        max_age: max_age?,
    })
}

fn origins(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Origins> {
    let origins = r.some_of(field, origin)?;
    if origins.iter().all(|origin| origin == "*") {
        return Ok(Origins::Any);
    }
    if origins.iter().any(|origin| origin == "*") {
        return Err(r.error(field, "`*` is every origin: list it alone, or leave it out"));
    }
    Ok(Origins::These(origins.into_iter().collect()))
}

/// `*`, or an origin as browsers write it, since it is compared byte by byte.
fn origin(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let origin = text(r, field)?;
    if origin == "*" || is_origin(&origin) {
        return Ok(origin);
    }
    let message = "must be an origin as browsers write it, https://host or https://host:port: in \
                   small letters, without the scheme's own port, a path, a slash at the end or a \
                   wildcard; or `*` alone";
    Err(r.error(field, message))
}

fn is_origin(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    let uri: Option<Uri> = origin.parse().ok();
    authority.bytes().all(is_plain)
        && !authority.ends_with(own_port)
        && uri.is_some_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
}
