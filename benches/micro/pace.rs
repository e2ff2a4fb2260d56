//! How long one call takes.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How often things are called.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    quick: bool,
}

impl Pace {
    /// `quick` calls only to see that everything runs.
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick }
    }

    /// Whether everything is called but once.
    pub(crate) fn is_quick(self) -> bool {
        self.quick
    }

    /// Nanoseconds a call, of the fastest batch: what else the machine does only adds to it.
    ///
    /// The call must succeed; refusals are faster and would look like an improvement.
    pub(crate) fn nanos<T, E: Into<Box<dyn Error>>>(
        self,
        mut call: impl FnMut() -> Result<T, E>,
    ) -> Result<f64, Box<dyn Error>> {
        const BATCHES: usize = 15;
        const BATCH: Duration = Duration::from_millis(3);
        call().map_err(Into::into)?;
        let mut time = |calls: u32| {
            let start = Instant::now();
            for _ in 0..calls {
                let _ = black_box(call());
            }
            start.elapsed()
        };
        if self.quick {
            return Ok(nanos(time(1)));
        }
        let mut calls = 1;
        while time(calls) < BATCH {
            calls *= 2;
        }
        let fastest = (0..BATCHES).map(|_| time(calls)).min().unwrap_or_default();
        Ok(nanos(fastest) / f64::from(calls))
    }

    /// How many inputs [`nanos_of_each`] is to have.
    pub(crate) fn distinct(self) -> usize {
        if self.quick { 1 } else { 100 }
    }
}

/// Nanoseconds of the fastest of calls that can be made only once with each of these.
pub(crate) fn nanos_of_each<I, T, E: Into<Box<dyn Error>>>(
    inputs: &[I],
    mut call: impl FnMut(&I) -> Result<T, E>,
) -> Result<f64, Box<dyn Error>> {
    let mut fastest = Duration::MAX;
    for input in inputs {
        let start = Instant::now();
        black_box(call(input)).map_err(Into::into)?;
        fastest = fastest.min(start.elapsed());
    }
    Ok(nanos(fastest))
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
