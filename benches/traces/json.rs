//! A JSON trace streaming through the filter, against only looking at its bytes.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use memchr::{memchr, memchr_iter};
use partywall::tempo::trace::{ForeignSpans, JsonFilter, Outcome, TraceApi, TraceOwner};

use crate::harness::Table;
use crate::made_up::{CHUNK, JsonTrace, SPAN_BYTES, Shape, Whose};
use crate::memory::{PeakMemory, extra_in_own_process};
use crate::{Effort, Laps, fastest_in_turns, owner};

/// What the proxy holds back at most while it does not know whose a `ResourceSpans` is.
const HELD: usize = 8 * 1024 * 1024;

pub(crate) fn bench(effort: Effort) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new(
        format!(
            "JSON: {} MB through the filter in chunks of {} KiB\n\
             (wanted: 1 GB/s or more, below 32 MB of extra memory)",
            effort.json_bytes / 1_000_000,
            CHUNK / 1024
        ),
        &[
            &"trace",
            &"GB/s",
            &"memchr, GB/s",
            &"time of memchr's",
            &"count quotes, GB/s",
            &"time of the count's",
            &"extra memory, MB",
        ],
    );
    for (name, shape) in shapes(effort) {
        let stream = JsonTrace::make(shape, effort.json_bytes);
        measure(&name, &stream, effort, &mut table)?;
    }
    let control = megabytes(extra_in_own_process(CONTROL));
    table.row(&[&CONTROL, &"", &"", &"", &"", &"", &control]);
    table.print();
    Ok(())
}

/// What is measured, by its name in the table.
fn shapes(effort: Effort) -> Vec<(String, Shape)> {
    let mut shapes = Vec::new();
    for (api, name) in [(TraceApi::V1, "v1"), (TraceApi::V2, "v2")] {
        for whose in [Whose::Ours, Whose::EveryOther] {
            let name = format!("{name}, {}", whose.name());
            shapes.push((name, Shape::usual(api, whose)));
        }
    }
    let usual = Shape::usual(TraceApi::V2, Whose::EveryOther);
    let escapes = Shape {
        stack_traces: true,
        ..usual
    };
    let behind = Shape {
        // Nearly as much as is held back.
        spans: (HELD / SPAN_BYTES * 9 / 10).min(effort.json_bytes / SPAN_BYTES / 8),
        resource_behind: true,
        ..usual
    };
    shapes.push(("v2, half foreign, escapes".to_owned(), escapes));
    shapes.push(("v2, half foreign, resource last".to_owned(), behind));
    shapes
}

/// Shows that the measure sees what it is to see.
const CONTROL: &str = "(control: 16 MB touched)";

/// Prints the bytes that filtering the stream of this name takes, for [`extra_in_own_process`].
pub(crate) fn print_extra_memory(name: &str, effort: Effort) -> Result<(), Box<dyn Error>> {
    let mut shapes = shapes(effort).into_iter();
    let extra = if let Some((_, shape)) = shapes.find(|(other, _)| other == name) {
        let stream = JsonTrace::make(shape, effort.json_bytes);
        let owner = Arc::new(owner()?);
        extra_memory(|| filter(&stream, &owner, &mut Laps::default()))?
    } else {
        extra_memory(|| {
            black_box(vec![1_u8; 16_000_000]);
            Ok(())
        })?
    };
    println!("{}", extra.ok_or("the system does not tell")?);
    Ok(())
}

fn measure(
    name: &str,
    stream: &JsonTrace,
    effort: Effort,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let owner = Arc::new(owner()?);
    let [filtered, searched, counted] = fastest_in_turns(
        effort.rounds,
        [
            &mut |laps| filter(stream, &owner, laps),
            &mut |laps| {
                each(stream, laps, |chunk| {
                    black_box(memchr(0, chunk));
                    Ok(())
                })
            },
            &mut |laps| {
                each(stream, laps, |chunk| {
                    black_box(memchr_iter(b'"', chunk).count());
                    Ok(())
                })
            },
        ],
    )?
    .map(|time| time.as_secs_f64());
    let bytes = stream.chunks().map(Bytes::len).sum::<usize>() as f64;
    let speed = |seconds: f64| format!("{:.2}", bytes / seconds / 1e9);
    table.row(&[
        &name,
        &speed(filtered),
        &speed(searched),
        &format!("{:.1}", filtered / searched),
        &speed(counted),
        &format!("{:.1}", filtered / counted),
        &megabytes(extra_in_own_process(name)),
    ]);
    Ok(())
}

/// Goes through a stream, with a lap for about a megabyte.
fn each(
    stream: &JsonTrace,
    laps: &mut Laps,
    mut look: impl FnMut(&Bytes) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for (index, chunk) in stream.chunks().enumerate() {
        look(chunk)?;
        if index % 16 == 15 {
            laps.lap();
        }
    }
    Ok(())
}

/// Passes the whole stream through a filter, dropping what it puts out as a connection does.
fn filter(
    stream: &JsonTrace,
    owner: &Arc<TraceOwner>,
    laps: &mut Laps,
) -> Result<(), Box<dyn Error>> {
    let mut filter = JsonFilter::new(stream.api, owner.clone(), &ForeignSpans::Redact, HELD);
    let mut out = Vec::new();
    let mut kept = 0;
    each(stream, laps, |chunk| {
        filter.push(chunk, &mut out)?;
        kept += out.drain(..).map(|piece| piece.len()).sum::<usize>();
        Ok(())
    })?;
    let outcome = filter.finish(&mut out)?;
    kept += out.drain(..).map(|piece| piece.len()).sum::<usize>();
    if outcome == Outcome::Nothing || kept != stream.ours {
        return Err(format!("{kept} bytes kept, not {}", stream.ours).into());
    }
    Ok(())
}

fn extra_memory(
    run: impl FnOnce() -> Result<(), Box<dyn Error>>,
) -> Result<Option<usize>, Box<dyn Error>> {
    let peak = PeakMemory::start();
    run()?;
    Ok(peak.and_then(|peak| peak.extra()))
}

fn megabytes(bytes: Option<usize>) -> String {
    bytes.map_or_else(
        || "unknown".to_owned(),
        |bytes| format!("{:.1}", bytes as f64 / 1e6),
    )
}
