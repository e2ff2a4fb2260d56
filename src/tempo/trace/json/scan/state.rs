//! The scanner's state: the current container, and what may come next.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    Object,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Value,
    ValueOrClose,
    Name,
    NameOrClose,
    Colon,
    CommaOrClose,
    Nothing,
}

/// A token that may continue in the next chunk.
#[derive(Clone, Copy)]
pub(super) enum Token {
    String { name: bool, escape: Escape },
    Scalar,
}

#[derive(Clone, Copy)]
pub(super) enum Escape {
    None,
    Backslash,
    /// This many hexadecimal digits must follow.
    Hex(u8),
}
