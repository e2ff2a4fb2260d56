//! `log`: logging to standard error.

use serde::{Serialize, Serializer};
use tracing_subscriber::EnvFilter;

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::{choice, text};

/// Whether log lines are JSON.
const FORMATS: [(&str, bool); 2] = [("text", false), ("json", true)];

/// `log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// `format`: `text` (default) or `json`. Not reloadable.
    #[serde(rename = "format", serialize_with = "format")]
    pub json: bool,
    /// `level`: a `tracing` filter, default `info`. Not reloadable.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            json: false,
            level: "info".into(),
        }
    }
}

pub(super) fn log(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Log> {
    let default = Log::default();
    let mut section = r.section(field)?;
    let json = section.or(r, "format", default.json, |r, field| {
        choice(r, field, &FORMATS)
    });
    let level = section.or(r, "level", default.level, |r, field| {
        let level = text(r, field)?;
        if is_filter(&level) {
            Ok(level)
        } else {
            let message = "must be off, error, warn, info, debug or trace, and may have \
                           exceptions: info,hyper=warn";
            Err(r.error(field, message))
        }
    });
    section.finish(r)?;
    Ok(Log {
        json: json?,
        level: level?,
    })
}

fn format<S: Serializer>(json: &bool, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&FORMATS, json, to)
}

/// A bare word that is not a level would be a module with every level: a misspelt `debug` too.
fn is_filter(filter: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let no_bare_module = filter
        .split(',')
        .all(|part| part.contains('=') || LEVELS.contains(&part));
    no_bare_module && EnvFilter::builder().parse(filter).is_ok()
}
