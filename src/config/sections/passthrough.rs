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
    /// `upstream`: the one for paths outside the data APIs where no cluster of their prefix or host
    /// has one; by default the first that is a default of its API, if there is one.
    pub upstream: Option<Arc<str>>,
}

/// Whether it requires a token, and the upstream that it names, if any.
pub(super) fn passthrough(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    upstreams: &Read<Vec<Named>>,
) -> Read<(bool, Option<Arc<str>>)> {
    let mut section = r.section(field)?;
    let authenticated = section.or(r, "authentication", true, |r, field| {
        choice(r, field, &AUTHENTICATION)
    });
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
    Ok((authenticated?, upstream?))
}

fn authentication<S: Serializer>(authenticated: &bool, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&AUTHENTICATION, authenticated, to)
}
