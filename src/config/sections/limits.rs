//! `limits`: the bounds of all buffers, caches and queues.

use serde::{Serialize, Serializer};

use crate::config::reader::{Field, Read, Reader};
use crate::config::values::{GIB, KIB, MIB, count, size};

/// `limits`. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// `connections`: open at once, on all listeners together, default 10 000.
    pub connections: usize,
    /// `unauthenticated_connections_per_address`: open at once from one client address (for IPv6,
    /// one /64) without a valid token so far, default 1000; `None`, written 0, is unbounded.
    #[serde(serialize_with = "zero_for_none")]
    pub unauthenticated_connections_per_address: Option<usize>,
    /// `requests`: in flight at once, default 2000; others get a 503.
    pub requests: usize,
    /// `header_bytes`: a request's headers, default 64 KiB.
    pub header_bytes: usize,
    /// `uri_bytes`: a request's path and query, default 32 KiB, or `header_bytes` if that is less.
    pub uri_bytes: usize,
    /// `body_bytes`: a request body that is buffered (forms, remote read), default 2 MiB.
    pub body_bytes: usize,
    /// `body_bytes_per_second`: the minimum rate at which a client must send a request body, on
    /// average, default 1 KiB; 0 for no minimum.
    pub body_bytes_per_second: usize,
    /// `incomplete_bodies`: request bodies that are being buffered at once, default 1000.
    pub incomplete_bodies: usize,
    /// `query_bytes`: one query or selector, default 64 KiB.
    pub query_bytes: usize,
    /// `query_depth`: nested brackets and unary operators in one query or selector, default 100.
    pub query_depth: usize,
    /// `query_nodes`: names, values, operators and brackets of one query, or of all selectors of a
    /// request, default 4000.
    pub query_nodes: usize,
    /// `format_bytes`: the length of a text for `format_query` or `parse_query`, times the depth of
    /// its tree, default 256 KiB.
    pub format_bytes: usize,
    /// `query_selectors`: in one query, default 1000.
    pub query_selectors: usize,
    /// `answer_bytes`: a response that is buffered for filtering, default 64 MiB.
    pub answer_bytes: usize,
    /// `answer_bytes_per_second`: the minimum rate at which a client must read available bytes,
    /// averaged over `timeouts.body_idle` of waiting, default 1 KiB; 0 for no minimum.
    pub answer_bytes_per_second: usize,
    /// `buffered_bytes`: all bodies of requests and responses that are in memory at once, default
    /// 512 MiB.
    pub buffered_bytes: usize,
    /// `rewrite_cache_bytes`: cached confined queries, default 8 MiB.
    pub rewrite_cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            unauthenticated_connections_per_address: Some(2000),
            requests: 2000,
            header_bytes: 64 * 1024,
            uri_bytes: 32 * 1024,
            body_bytes: 2 * 1024 * 1024,
            body_bytes_per_second: 1024,
            incomplete_bodies: 1000,
            query_bytes: 64 * 1024,
            query_depth: 100,
            query_nodes: 4000,
            format_bytes: 256 * 1024,
            query_selectors: 1000,
            answer_bytes: 64 * 1024 * 1024,
            answer_bytes_per_second: 1024,
            buffered_bytes: 512 * 1024 * 1024,
            rewrite_cache_bytes: 8 * 1024 * 1024,
        }
    }
}

/// The longest path and query that the HTTP library takes (`MAX_LEN` in `uri/mod.rs` of `http`).
const LONGEST_URI: usize = 65_534;

pub(super) fn limits(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Limits> {
    let default = Limits::default();
    let mut section = r.section(field)?;
    let mut counted = |r: &mut Reader<'_>, key, default| {
        section.or(r, key, default, |r, field| count(r, field, 1..=1_000_000))
    };
    let connections = counted(r, "connections", default.connections);
    let requests = counted(r, "requests", default.requests);
    let incomplete_bodies = counted(r, "incomplete_bodies", default.incomplete_bodies);
    let query_depth = counted(r, "query_depth", default.query_depth);
    let query_nodes = counted(r, "query_nodes", default.query_nodes);
    let query_selectors = counted(r, "query_selectors", default.query_selectors);
    let unauthenticated_connections_per_address = section.or(
        r,
        "unauthenticated_connections_per_address",
        default.unauthenticated_connections_per_address,
        |r, field| {
            let bound = count(r, field, 0..=1_000_000)?;
            Ok((bound > 0).then_some(bound))
        },
    );
    let mut sized = |r: &mut Reader<'_>, key, default, range| {
        section.or(r, key, default, |r, field| size(r, field, range))
    };
    // hyper accepts no buffer below 8 KiB for headers.
    let header_bytes = sized(r, "header_bytes", default.header_bytes, 8 * KIB..=MIB);
    let body_bytes = sized(r, "body_bytes", default.body_bytes, 1..=GIB);
    let query_bytes = sized(r, "query_bytes", default.query_bytes, 1..=16 * MIB);
    let format_bytes = sized(r, "format_bytes", default.format_bytes, 1..=GIB);
    let answer_bytes = sized(r, "answer_bytes", default.answer_bytes, 1..=16 * GIB);
    let body_bytes_per_second = sized(
        r,
        "body_bytes_per_second",
        default.body_bytes_per_second,
        0..=GIB,
    );
    let answer_bytes_per_second = sized(
        r,
        "answer_bytes_per_second",
        default.answer_bytes_per_second,
        0..=GIB,
    );
    let buffered_bytes = sized(r, "buffered_bytes", default.buffered_bytes, 1..=64 * GIB);
    let rewrite_cache_bytes = sized(
        r,
        "rewrite_cache_bytes",
        default.rewrite_cache_bytes,
        1..=16 * GIB,
    );
    // The URL is part of the header buffer.
    let longest = header_bytes.unwrap_or(default.header_bytes);
    let uri_bytes = section.or(
        r,
        "uri_bytes",
        default.uri_bytes.min(longest),
        |r, field| {
            let bytes = size(r, field, 1..=MIB)?;
            if bytes > longest {
                return Err(r.error(field, "must not be more than header_bytes"));
            }
            if bytes > LONGEST_URI {
                let text = "must not be more than 65534, which is the longest URL that is read";
                return Err(r.error(field, text));
            }
            Ok(bytes)
        },
    );
    section.finish(r)?;
    Ok(Limits {
        connections: connections?,
        unauthenticated_connections_per_address: unauthenticated_connections_per_address?,
        requests: requests?,
        header_bytes: header_bytes?,
        uri_bytes: uri_bytes?,
        body_bytes: body_bytes?,
        body_bytes_per_second: body_bytes_per_second?,
        incomplete_bodies: incomplete_bodies?,
        query_bytes: query_bytes?,
        query_depth: query_depth?,
        query_nodes: query_nodes?,
        format_bytes: format_bytes?,
        query_selectors: query_selectors?,
        answer_bytes: answer_bytes?,
        answer_bytes_per_second: answer_bytes_per_second?,
        buffered_bytes: buffered_bytes?,
        rewrite_cache_bytes: rewrite_cache_bytes?,
    })
}

fn zero_for_none<S: Serializer>(bound: &Option<usize>, to: S) -> Result<S::Ok, S::Error> {
    bound.unwrap_or(0).serialize(to)
}
