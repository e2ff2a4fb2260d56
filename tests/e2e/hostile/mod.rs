//! Hostile clients, broken upstreams and floods against the real binary, over raw sockets where
//! framing matters. Whatever comes: the process lives, its memory stays bounded, and others are
//! served meanwhile.

mod faults;
mod framing;
mod http2;
mod neighbours;
mod operator;
mod predicted;
mod pressure;
mod red;
mod requests;
mod resources;
mod strangers;
