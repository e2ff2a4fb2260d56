//! What must hold of each guard, whatever bytes it is given. The targets in `targets/` feed libFuzzer's
//! inputs to one `check` each; a failed check panics.
//!
//! The oracles decode with other people's code (`promql-parser`, `opentelemetry-proto` and `prost`,
//! `serde_json`, `form_urlencoded`, hyper) or with a slow reference here. Only `traceql` parses again with
//! Partywall's own parser, which tests compare with a real Tempo's. Where an oracle can't tell, because an
//! input means different things to different readers, only the safe direction is asserted: nothing foreign
//! comes out.

pub mod config;
pub mod form;
pub mod framing;
pub mod grpc;
pub mod path;
pub mod promql;
pub mod remote_read;
pub mod scopes;
pub mod token;
pub mod trace;
pub mod trace_json;
pub mod trace_protobuf;
pub mod traceql;

use std::backtrace::Backtrace;
use std::panic;

/// Lets panics of `promql-parser` pass: Partywall catches them. libFuzzer's own hook, which aborts, has
/// all others.
pub fn start() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map(panic::Location::file);
        let is_parser = |file: &str| file.contains("/promql-parser-") || file.contains("/lrpar-");
        let is_std = |file: &str| file.contains("/library/");
        let is_caught = file.is_some_and(is_parser)
            || (file.is_some_and(is_std)
                && Backtrace::force_capture()
                    .to_string()
                    .contains("promql_parser::"));
        if !is_caught {
            abort(panic);
        }
    }));
}

/// The first bytes of an input choose how a guard is called, the rest is what it is given.
pub(crate) fn split<const CHOICES: usize>(data: &[u8]) -> Option<(&[u8; CHOICES], &[u8])> {
    data.split_first_chunk()
}
