//! The sections about the process itself: `promql`, `traces`, `limits`, `timeouts`, `drain`, `reload`,
//! `log`.

use tracing_subscriber::EnvFilter;

use crate::config::read::{Field, Read, Reader};
use crate::config::settings::{
    Drain, ForeignMatchers, ForeignSpans, Limits, Log, PromQl, Reload, SearchMetadata, Timeouts,
    Traces,
};
use crate::config::values::{
    GIB, KIB, MIB, choice, count, duration, positive_duration, size, text,
};

pub(super) fn promql(r: &mut Reader<'_>, field: &Field<'_>) -> Read<PromQl> {
    let default = PromQl::default();
    let mut section = r.section(field)?;
    let foreign_matchers = section.or(
        r,
        "foreign_matchers",
        default.foreign_matchers,
        |r, field| {
            let choices = [
                ("intersect", ForeignMatchers::Intersect),
                ("reject", ForeignMatchers::Reject),
            ];
            choice(r, field, &choices)
        },
    );
    section.finish(r)?;
    Ok(PromQl {
        foreign_matchers: foreign_matchers?,
    })
}

pub(super) fn traces(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Traces> {
    let default = Traces::default();
    let mut section = r.section(field)?;
    let search_metadata = section.or(r, "search_metadata", default.search_metadata, |r, field| {
        let choices = [
            ("verify", SearchMetadata::Verify),
            ("mask", SearchMetadata::Mask),
            ("trust", SearchMetadata::Trust),
        ];
        choice(r, field, &choices)
    });
    let foreign_spans = section.or(r, "foreign_spans", default.foreign_spans, |r, field| {
        let choices = [
            ("redact", ForeignSpans::Redact),
            ("deny", ForeignSpans::Deny),
        ];
        choice(r, field, &choices)
    });
    section.finish(r)?;
    Ok(Traces {
        search_metadata: search_metadata?,
        foreign_spans: foreign_spans?,
    })
}

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
    // hyper takes no buffer below 8 KiB for a head.
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
    // The URL is a part of the head.
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

pub(super) fn timeouts(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Timeouts> {
    let default = Timeouts::default();
    let mut section = r.section(field)?;
    let first_request = section.or(r, "first_request", default.first_request, positive_duration);
    let header = section.or(r, "header", default.header, positive_duration);
    let body_idle = section.or(r, "body_idle", default.body_idle, positive_duration);
    let body_total = section.or(r, "body_total", default.body_total, positive_duration);
    let idle = section.or(r, "idle", default.idle, positive_duration);
    let unauthenticated_idle = section.or(
        r,
        "unauthenticated_idle",
        default.unauthenticated_idle,
        positive_duration,
    );
    section.finish(r)?;
    Ok(Timeouts {
        first_request: first_request?,
        header: header?,
        body_idle: body_idle?,
        body_total: body_total?,
        idle: idle?,
        unauthenticated_idle: unauthenticated_idle?,
    })
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

pub(super) fn reload(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Reload> {
    let default = Reload::default();
    let mut section = r.section(field)?;
    let poll_interval = section.or(r, "poll_interval", default.poll_interval, positive_duration);
    section.finish(r)?;
    Ok(Reload {
        poll_interval: poll_interval?,
    })
}

pub(super) fn log(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Log> {
    let default = Log::default();
    let mut section = r.section(field)?;
    let json = section.or(r, "format", default.json, |r, field| {
        choice(r, field, &[("text", false), ("json", true)])
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

/// A bare word that is no level would be a module with every level: a misspelt `debug` too.
fn is_filter(filter: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let no_bare_module = filter
        .split(',')
        .all(|part| part.contains('=') || LEVELS.contains(&part));
    no_bare_module && EnvFilter::builder().parse(filter).is_ok()
}
