//! Traces end to end: the real binary in front of recorded answers (`recorded`), and in front of
//! a real Tempo, whose answers must be those of a private one (`live`).

mod live;
mod recorded;
