//! A protobuf trace redacted in chunks, against a copy of it.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use partywall::tempo::trace::{ForeignSpans, ProtobufFilter, TraceApi};

use crate::harness::Table;
use crate::made_up::{ProtobufTrace, Whose};
use crate::{Effort, fastest_in_turns, owner};

pub(crate) fn bench(effort: Effort) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new(
        format!(
            "Protobuf: {} MB redacted in chunks, against a copy of it into memory already touched",
            effort.protobuf_bytes / 1_000_000
        ),
        &[
            &"trace",
            &"spans each",
            &"ResourceSpans",
            &"pieces sent",
            &"redacted, ms",
            &"copied, ms",
            &"of a copy",
        ],
    );
    let mut copy = Vec::new();
    for (api, name) in [(TraceApi::V1, "v1"), (TraceApi::V2, "v2")] {
        for whose in [Whose::Ours, Whose::EveryOther] {
            // One span each is the worst a trace can be.
            for spans in [1, 50, 5000] {
                let trace = ProtobufTrace::make(api, whose, spans, effort.protobuf_bytes);
                measure(
                    &trace,
                    &format!("{name}, {}", whose.name()),
                    effort,
                    &mut copy,
                    &mut table,
                )?;
            }
        }
    }
    table.print();
    Ok(())
}

fn measure(
    trace: &ProtobufTrace,
    name: &str,
    effort: Effort,
    copy: &mut Vec<u8>,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    /// As a connection hands them on.
    const CHUNK: usize = 64 * 1024;
    let owner = Arc::new(owner()?);
    copy.resize(trace.body.len(), 1);
    let mut pieces = 0;
    let [redacted, copied] = fastest_in_turns(
        effort.rounds,
        [
            &mut |_| {
                let (owner, redact) = (Arc::clone(&owner), &ForeignSpans::Redact);
                let mut filter = ProtobufFilter::new(trace.api, owner, redact, usize::MAX);
                let mut out = Vec::new();
                for chunk in trace.body.chunks(CHUNK) {
                    filter.push(black_box(&trace.body.slice_ref(chunk)), &mut out)?;
                }
                filter.finish(&mut out)?;
                pieces = out.len();
                let length: usize = out.iter().map(Bytes::len).sum();
                (length == trace.ours)
                    .then_some(())
                    .ok_or_else(|| format!("{length} bytes kept, not {}", trace.ours).into())
            },
            &mut |_| {
                copy.copy_from_slice(black_box(&trace.body));
                black_box(&copy);
                Ok(())
            },
        ],
    )?;
    table.row(&[
        &name,
        &trace.spans,
        &trace.resource_spans,
        &pieces,
        &format!("{:.3}", redacted.as_secs_f64() * 1e3),
        &format!("{:.3}", copied.as_secs_f64() * 1e3),
        &format!("{:.4}", redacted.as_secs_f64() / copied.as_secs_f64()),
    ]);
    Ok(())
}
