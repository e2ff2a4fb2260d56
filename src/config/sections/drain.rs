//! `drain`: how the process shuts down.

use std::time::Duration;

use serde::Serialize;

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::duration;

/// `drain`: applies on SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// `min`: how long new requests are still accepted, while not ready, default 0 s.
    #[serde(serialize_with = "serialize::duration")]
    pub min: Duration,
    /// `max`: how long requests in flight have after that, default 30 s.
    #[serde(serialize_with = "serialize::duration")]
    pub max: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            min: Duration::ZERO,
            max: Duration::from_secs(30),
        }
    }
}

pub(super) fn drain(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Drain> {
    let default = Drain::default();
    let mut section = r.section(field)?;
    let min = section.or(r, "min", default.min, duration);
    let max = section.or(r, "max", default.max, duration);
    section.finish(r)?;
    Ok(Drain {
        min: min?,
        max: max?,
    })
}
