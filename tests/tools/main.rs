//! The operator's tools, as the real binary: `explain`, `test`, `doctor`, completions, help, the
//! API reference, and README's transcripts of them.
#![cfg(test)]
#![allow(unreachable_pub, missing_docs, reason = "the modules of a test")]

#[path = "../common/mod.rs"]
mod common;

mod tool;

mod doctor;
mod explain;
mod help;
mod policy;
mod readme;
mod reference;
mod terminal;
