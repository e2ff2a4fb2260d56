//! A JSON trace streaming through the filter, against only looking at its bytes.

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use memchr::{memchr, memchr_iter};
use partywall::trace::{ForeignSpans, JsonFilter, Outcome, TraceApi, TraceOwner};

use crate::harness::Table;
use crate::memory::{PeakMemory, extra_in_own_process};
use crate::{ATTRIBUTE, Effort, Laps, OURS, PODS, Whose, fastest_in_turns, owner};

/// As a connection hands them on.
const CHUNK: usize = 64 * 1024;

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
        let stream = Stream::make(shape, effort.json_bytes);
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
        let stream = Stream::make(shape, effort.json_bytes);
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
    stream: &Stream,
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
    stream: &Stream,
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
fn filter(stream: &Stream, owner: &Arc<TraceOwner>, laps: &mut Laps) -> Result<(), Box<dyn Error>> {
    let mut filter = JsonFilter::new(stream.api, owner.clone(), ForeignSpans::Redact, HELD);
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

/// About as long as a made-up span is.
const SPAN_BYTES: usize = 700;

/// What a made-up answer of Tempo is like.
#[derive(Clone, Copy)]
struct Shape {
    api: TraceApi,
    whose: Whose,
    /// Of each `ResourceSpans`.
    spans: usize,
    stack_traces: bool,
    resource_behind: bool,
}

impl Shape {
    fn usual(api: TraceApi, whose: Whose) -> Self {
        Self {
            api,
            whose,
            spans: 50,
            stack_traces: false,
            resource_behind: false,
        }
    }
}

/// An answer in chunks: a head, the same stretch of `ResourceSpans` some times over, and a tail.
/// The stretch is too long for a processor's caches, and a fraction of the whole.
struct Stream {
    api: TraceApi,
    head: Bytes,
    stretch: Vec<Bytes>,
    times: usize,
    tail: Bytes,
    /// The length of what is to be kept.
    ours: usize,
}

impl Stream {
    /// Of about this many bytes.
    fn make(shape: Shape, bytes: usize) -> Self {
        const TIMES: usize = 4;
        let mut stretch = String::new();
        let mut elements = 0;
        let mut ours = 0;
        while stretch.len() < bytes / TIMES {
            let before = stretch.len();
            write_resource_spans(shape, elements, &mut stretch);
            stretch.push(',');
            if shape.whose.tenant(elements) == OURS {
                ours += stretch.len() - before;
            }
            elements += 1;
        }
        let mut last = String::new();
        write_resource_spans(shape, 0, &mut last);
        let (head, tail, new_tail) = match shape.api {
            TraceApi::V1 => (r#"{"batches":["#, "]}", "]}"),
            TraceApi::V2 => (
                r#"{"trace":{"resourceSpans":["#,
                r#"]},"metrics":{"inspectedBytes":"170000000"}}"#,
                r#"]},"metrics":{}}"#,
            ),
        };
        let ours = head.len() + ours * TIMES + last.len() + new_tail.len();
        let stretch = Bytes::from(stretch);
        Self {
            api: shape.api,
            head: head.into(),
            stretch: stretch
                .chunks(CHUNK)
                .map(|chunk| stretch.slice_ref(chunk))
                .collect(),
            times: TIMES,
            tail: (last + tail).into(),
            ours,
        }
    }

    fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        let body = (0..self.times).flat_map(|_| &self.stretch);
        std::iter::once(&self.head).chain(body).chain([&self.tail])
    }
}

/// Writes one as gogo's jsonpb does.
fn write_resource_spans(shape: Shape, index: usize, out: &mut String) {
    let pod = index % PODS;
    let resource = format!(
        r#""resource":{{"attributes":[{},{},{},{}]}}"#,
        attribute("service.name", "checkout"),
        attribute("k8s.pod.name", &format!("checkout-7d9f8b6c5-{pod:05}")),
        attribute("telemetry.sdk.language", "go"),
        attribute(ATTRIBUTE, shape.whose.tenant(index)),
    );
    out.push('{');
    if !shape.resource_behind {
        out.push_str(&resource);
        out.push(',');
    }
    out.push_str(r#""scopeSpans":[{"scope":{"name":"net/http","version":"0.61.0"},"spans":["#);
    for span in 0..shape.spans {
        if span > 0 {
            out.push(',');
        }
        write_span(index * shape.spans + span, shape.stack_traces, out);
    }
    out.push_str("]}]");
    if shape.resource_behind {
        out.push(',');
        out.push_str(&resource);
    }
    out.push('}');
}

fn write_span(id: usize, stack_trace: bool, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        r#"{{"traceId":"CrwAAAAAAAAAAAAAAAAABA==","spanId":"{id:011x}=","parentSpanId":"{:011x}=","name":"POST /api/v1/orders","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":[{},{},{},{{"key":"http.response.status_code","value":{{"intValue":"200"}}}},{{"key":"retry","value":{{"boolValue":false}}}}"#,
        id / 2,
        1_795_229_745_605_554_688 + id,
        1_795_229_745_665_554_688 + id,
        attribute("http.request.method", "POST"),
        attribute("url.path", "/api/v1/orders"),
        attribute("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
    );
    if stack_trace {
        out.push(',');
        let frames = r"\tat com.example.Shop.\u003cinit\u003e(Shop.java:42)\n".repeat(6);
        out.push_str(&attribute("exception.stacktrace", &frames));
    }
    out.push_str(r#"],"status":{}}"#);
}

/// An attribute with a string, which is written as it is.
fn attribute(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
}
