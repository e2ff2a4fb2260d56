//! What is forwarded to an upstream and back: bodies that stream, bodies that are refused, and
//! upstreams that misbehave.

mod answers;
mod cors;
mod passthrough;
mod refused_bodies;
mod streaming;
mod upstream;
