//! Shadow mode: nothing is enforced at one upstream, for a while, and what would have become of
//! requests is told. Always the real binary.

mod stage;

mod closed;
mod compared;
mod grpc;
mod open;
mod switched;
mod tools;
