//! Shadow mode: nothing is enforced at one upstream, for a while, and what would have become of
//! requests is told. Always the real binary.
#![cfg(test)]
#![allow(unreachable_pub, missing_docs, reason = "the modules of a test")]
#![allow(clippy::disallowed_methods, reason = "a test's own bodies are small")]

#[path = "../common/mod.rs"]
mod common;

mod stage;

mod closed;
mod compared;
mod grpc;
mod open;
mod switched;
mod tools;
