//! The `partywall` command.

fn main() {}
