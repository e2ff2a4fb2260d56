//! Connections of clients: how they are accepted, bounded and drained, and clients who leave.

mod drain;
mod leaving;
mod listener;
mod pipelined;
