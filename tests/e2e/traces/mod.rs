//! Traces end to end: the real binary in front of recorded answers (`recorded`), and in front of
//! a real Tempo, whose answers must be those of a private one (`live`).
#![cfg(test)]
#![allow(unreachable_pub, missing_docs, reason = "the modules of a test")]

#[path = "../common/mod.rs"]
mod common;
mod live;
mod recorded;
