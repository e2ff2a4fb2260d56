//! Values of labels and attributes that are hard for an expression.

/// Operators, newlines, other scripts, and what folds into ASCII letters.
pub const HARD_VALUES: [&str; 24] = [
    "a",
    "b",
    "ab",
    "aab",
    "A",
    "a.b",
    "axb",
    "a\nb",
    "a b",
    "a|b",
    "a-b",
    "team-a",
    "team-a-x",
    "team-a-\n",
    "team-ab",
    "é",
    "aé",
    "٣",
    "3",
    "K",
    "ſ",
    "\\",
    "*",
    "a\u{2028}b",
];
