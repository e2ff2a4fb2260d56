//! `passthrough`: paths outside the data APIs.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::upstreams::Named;
use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::{choice, shown, text};

/// Whether a token is required.
const AUTHENTICATION: [(&str, bool); 2] = [("required", true), ("none", false)];

/// `passthrough`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passthrough {
    /// `authentication`: `required` (default, true) or `none`.
    #[serde(rename = "authentication", serialize_with = "authentication")]
    pub authenticated: bool,
    /// `health_authentication`: the same, for the paths by which clients check the stores' health.
    #[serde(rename = "health_authentication", serialize_with = "authentication")]
    pub health_authenticated: bool,
    /// `methods`: those that are forwarded; `None` (default) for every method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// `paths`: those that are forwarded; `None` (default) for every path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<PathPattern>>,
    /// `upstream`: the one for paths outside the data APIs where no cluster of their prefix or host
    /// has one; by default the first that is a default of its API, if there is one.
    pub upstream: Option<Arc<str>>,
}

impl Default for Passthrough {
    fn default() -> Self {
        Self {
            authenticated: true,
            health_authenticated: true,
            methods: None,
            paths: None,
            upstream: None,
        }
    }
}

/// One entry of `paths`: a path (`/graph`), or all below one (`/static/*`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathPattern(String);

impl PathPattern {
    /// Whether a path, which is in its canonical form, is meant.
    pub fn matches(&self, path: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(folder) => path.starts_with(folder),
            None => path == self.0,
        }
    }
}

/// The section. Its `upstream` is `None` where it names none.
pub(super) fn passthrough(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    upstreams: &Read<Vec<Named>>,
) -> Read<Passthrough> {
    let default = Passthrough::default();
    let mut section = r.section(field)?;
    let authenticated = section.or(r, "authentication", default.authenticated, |r, field| {
        choice(r, field, &AUTHENTICATION)
    });
    let health_authenticated = section.or(
        r,
        "health_authentication",
        default.health_authenticated,
        |r, field| choice(r, field, &AUTHENTICATION),
    );
    let methods = section.optional(r, "methods", |r, field| r.some_of(field, method));
    let paths = section.optional(r, "paths", |r, field| r.some_of(field, path_pattern));
    let upstream = section.optional(r, "upstream", |r, field| {
        let name = text(r, field)?;
        let Ok(upstreams) = upstreams else {
            return Ok(name.into());
        };
        match upstreams.iter().find(|known| *known.name == *name) {
            None => {
                let message = format!("{} is not the name of an upstream", shown(&name));
                Err(r.error(field, message))
            }
            Some(named) if !named.is_default => {
                let message = "must be an upstream without path_prefix and hosts: the others take \
                               what lies below their own";
                Err(r.error(field, message))
            }
            Some(_) => Ok(name.into()),
        }
    });
    section.finish(r)?;
    Ok(Passthrough {
        authenticated: authenticated?,
        health_authenticated: health_authenticated?,
        methods: methods?,
        paths: paths?,
        upstream: upstream?,
    })
}

/// A method, which is case-sensitive (RFC 9110 §9.1).
fn method(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let method = text(r, field)?;
    if method.len() > 32 || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        let message = "must be a method in capital letters, such as GET";
        return Err(r.error(field, message));
    }
    Ok(method)
}

/// What no path in its canonical form holds would never match.
fn path_pattern(r: &mut Reader<'_>, field: &Field<'_>) -> Read<PathPattern> {
    let pattern = text(r, field)?;
    let path = pattern.strip_suffix("/*").unwrap_or(&pattern);
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"%?#;*\\".contains(&byte);
    if !pattern.starts_with('/')
        || !path.bytes().all(is_plain)
        || path
            .split('/')
            .skip(1)
            .any(|part| matches!(part, "." | ".."))
        || path.contains("//")
    {
        let message = "must be a path like /graph, or end in /* for all that is below: plain \
                       ASCII, without escapes, `..`, empty segments or another `*`";
        return Err(r.error(field, message));
    }
    Ok(PathPattern(pattern))
}

fn authentication<S: Serializer>(authenticated: &bool, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&AUTHENTICATION, authenticated, to)
}
