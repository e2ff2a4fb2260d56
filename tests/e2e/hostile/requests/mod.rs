//! Attacks on the way in, each named by its id in the threat table (P paths, Q parameters, L
//! queries, V tenants, J tokens, H headers, X framing), against the real binary in front of an
//! upstream that records every request.
//!
//! A refusal is only one if no byte of the request reached the upstream; an acceptance names
//! exactly what reached it.

mod errors;
mod framing;
mod headers;
mod params;
mod paths;
mod tokens;
