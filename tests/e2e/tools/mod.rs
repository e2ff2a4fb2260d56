//! The operator's tools, as the real binary: `explain`, `test`, `doctor`, completions, help, the
//! API reference, and the transcripts of them in docs/.
#![cfg(test)]
#![allow(unreachable_pub, missing_docs, reason = "the modules of a test")]

#[path = "../common/mod.rs"]
mod common;

mod tool;

mod docs;
mod doctor;
mod explain;
mod help;
mod policy;
mod reference;
mod terminal;
