//! The operator's tools, as the real binary: `explain`, `test`, `doctor`, completions, help, the
//! API reference, the demo, and the transcripts of them in docs/.

mod demo;
mod docs;
mod doctor;
mod explain;
mod help;
mod policy;
mod reference;
mod terminal;
