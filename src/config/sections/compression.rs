//! `compression`: answers that are compressed for clients.

use serde::Serialize;

use crate::config::reader::{Field, Read, Reader};
use crate::config::values::{MIB, boolean, count, size};

/// `compression`: of answers of the data APIs, where the client takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compression {
    /// `enabled`: default true.
    pub enabled: bool,
    /// `loopback`: for clients on this machine or in this pod too, default false.
    pub loopback: bool,
    /// `min_bytes`: shorter answers are sent as they are, default 1 KiB.
    pub min_bytes: usize,
    /// `gzip_level`: 1 to 9, default 3: the size of Go's default in less time.
    pub gzip_level: u8,
    /// `zstd_level`: 1 to 9, default 1.
    pub zstd_level: u8,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            enabled: true,
            loopback: false,
            min_bytes: 1024,
            gzip_level: 3,
            zstd_level: 1,
        }
    }
}

pub(super) fn compression(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Compression> {
    let default = Compression::default();
    let mut section = r.section(field)?;
    let enabled = section.or(r, "enabled", default.enabled, boolean);
    let loopback = section.or(r, "loopback", default.loopback, boolean);
    let min_bytes = section.or(r, "min_bytes", default.min_bytes, |r, field| {
        size(r, field, 0..=MIB)
    });
    let gzip_level = section.or(r, "gzip_level", default.gzip_level, level);
    let zstd_level = section.or(r, "zstd_level", default.zstd_level, level);
    section.finish(r)?;
    Ok(Compression {
        enabled: enabled?,
        loopback: loopback?,
        min_bytes: min_bytes?,
        gzip_level: gzip_level?,
        zstd_level: zstd_level?,
    })
}

fn level(r: &mut Reader<'_>, field: &Field<'_>) -> Read<u8> {
    let level = count(r, field, 1..=9)?;
    Ok(u8::try_from(level).unwrap_or(9))
}
