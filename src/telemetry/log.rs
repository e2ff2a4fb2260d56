//! Logs on standard error.
//!
//! What is logged while a request is served names the trace that it is part of. The trace's id is
//! kept beside the request ([`in_trace`]) and read when a line is written: a span for each request
//! would cost it thousands of instructions, whether or not anything is logged.

use std::fmt;
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::futures::TaskLocalFuture;
use tokio::task_local;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::traceparent::TraceId;
use crate::config::settings::Log;

/// Starts logging for the process. A second call changes nothing.
pub fn init(settings: &Log) {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours only on a terminal; a file or a log collector would get the escape codes.
    let is_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr);
    let format = Format::default().with_ansi(is_terminal);
    let started = if settings.json {
        let format = WithTrace::json(format.json());
        builder.json().event_format(format).finish().try_init()
    } else {
        let format = WithTrace::text(format);
        builder.event_format(format).finish().try_init()
    };
    // Only tests start it twice; the first one stays.
    drop(started);
    std::panic::set_hook(Box::new(log_panic));
}

/// Logs panics as errors, since each is a defect. Panics of promql-parser are caught where it is
/// called, and callers can cause them at will, so they must not fill the log.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    if location.contains("promql-parser") {
        tracing::debug!(location, "promql-parser panicked on a query");
    } else {
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(location, %backtrace, "panic");
    }
}

task_local! {
    /// The trace that this task's request is part of.
    static TRACE: Option<TraceId>;
}

/// Lines that `work` logs name this trace. They do not in tasks that it spawns, but for those that
/// it spawns [`in_current_trace`].
pub(crate) fn in_trace<F: Future>(
    trace_id: Option<TraceId>,
    work: F,
) -> TaskLocalFuture<Option<TraceId>, F> {
    TRACE.scope(trace_id, work)
}

/// Lines that `work` logs name the trace that lines name here.
pub(crate) fn in_current_trace<F: Future>(work: F) -> TaskLocalFuture<Option<TraceId>, F> {
    in_trace(current_trace(), work)
}

fn current_trace() -> Option<TraceId> {
    TRACE.try_with(|trace_id| *trace_id).ok().flatten()
}

/// A format whose lines name the trace, where there is one.
struct WithTrace<F> {
    format: F,
    is_json: bool,
}

impl<F> WithTrace<F> {
    fn text(format: F) -> Self {
        let is_json = false;
        Self { format, is_json }
    }

    fn json(format: F) -> Self {
        let is_json = true;
        Self { format, is_json }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(trace_id) = current_trace() else {
            return self.format.format_event(context, writer, event);
        };
        let (mut line, trace_id) = (String::new(), trace_id.as_str());
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        if self.is_json {
            let members = line.strip_prefix('{').unwrap_or_default();
            return write!(writer, "{{\"trace_id\":\"{trace_id}\",{members}");
        }
        writeln!(writer, "{} trace_id=\"{trace_id}\"", line.trim_end())
    }
}

/// How often a [`Throttle`] lets one line through.
const THROTTLED_TO: Duration = Duration::from_secs(10);

/// Holds back lines that others can bring about at will.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Throttled>);

#[derive(Debug, Default)]
struct Throttled {
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// Whether a line may be written now, and how many were held back before it.
    pub(crate) fn now(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| last.elapsed() < THROTTLED_TO) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry::traceparent::TraceId;

    const TRACE_ID: &[u8; 32] = b"4bf92f3577b34da6a3ce929d0e0e4736";

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The line that is written inside a trace, after one outside of it.
    async fn two_lines() {
        tracing::warn!(n = 1, "outside");
        let trace_id = TraceId::parse(TRACE_ID);
        let work = async {
            tokio::task::yield_now().await;
            let spawned = async { tracing::warn!(n = 3, "spawned") };
            tokio::spawn(in_current_trace(spawned)).await.unwrap();
            tracing::warn!(n = 2, "inside");
        };
        in_trace(trace_id, work).await;
    }

    fn lines_of(subscriber: impl Subscriber + Send + Sync, lines: &Lines) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        tracing::subscriber::with_default(subscriber, || runtime.unwrap().block_on(two_lines()));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_within_a_trace_name_it() {
        let lines = Lines::default();
        let writer = lines.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let format = WithTrace::text(Format::default().with_ansi(false));
        let text = lines_of(
            builder.with_ansi(false).event_format(format).finish(),
            &lines,
        );
        let [outside, spawned, inside] = &*text else {
            panic!("{text:?}");
        };
        assert!(outside.ends_with(": outside n=1"), "{outside}");
        let trace = "trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"";
        assert!(
            spawned.ends_with(&format!(": spawned n=3 {trace}")),
            "{spawned}"
        );
        assert!(
            inside.ends_with(&format!(": inside n=2 {trace}")),
            "{inside}"
        );
    }

    #[test]
    fn json_lines_within_a_trace_name_it() {
        let lines = Lines::default();
        let writer = lines.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let format = WithTrace::json(Format::default().json());
        let text = lines_of(builder.json().event_format(format).finish(), &lines);
        let read = |line: &String| serde_json::from_str::<Value>(line).unwrap();
        let ids: Vec<Value> = text
            .iter()
            .map(|line| read(line)["trace_id"].clone())
            .collect();
        let trace = json!("4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(ids, [Value::Null, trace.clone(), trace]);
        let numbers: Vec<Value> = text
            .iter()
            .map(|line| read(line)["fields"]["n"].clone())
            .collect();
        assert_eq!(numbers, [json!(1), json!(3), json!(2)]);
    }

    #[test]
    fn throttle_lets_one_line_through_and_counts_the_others() {
        let throttle = Throttle::default();
        assert_eq!(throttle.now(), Some(0));
        assert_eq!((throttle.now(), throttle.now()), (None, None));
        let long_ago = Instant::now().checked_sub(THROTTLED_TO);
        throttle.0.lock().unwrap().last = long_ago;
        assert_eq!(throttle.now(), Some(2));
    }
}
