//! What is forwarded to an upstream and back: bodies that stream, bodies that are refused, and
//! upstreams that misbehave.

mod answers;
mod compression;
mod cors;
mod passthrough;
mod refused_bodies;
mod reuse;
mod streaming;
mod upstream;
