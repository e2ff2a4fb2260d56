//! `reload`: how changes of the config are detected.

use std::time::Duration;

use serde::Serialize;

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::positive_duration;

/// `reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reload {
    /// `poll_interval`: how often the config and the files it names are read, default 5 s.
    #[serde(serialize_with = "serialize::duration")]
    pub poll_interval: Duration,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
        }
    }
}

pub(super) fn reload(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Reload> {
    let default = Reload::default();
    let mut section = r.section(field)?;
    let poll_interval = section.or(r, "poll_interval", default.poll_interval, positive_duration);
    section.finish(r)?;
    Ok(Reload {
        poll_interval: poll_interval?,
    })
}
