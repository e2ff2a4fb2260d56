//! A tenant: the value of its label or attribute.

use std::fmt;

use thiserror::Error;

/// The longest tenant value, in bytes. Label values have no limit of their own in Prometheus; a
/// longer tenant is a mistake or an attack.
pub const MAX_TENANT_BYTES: usize = 256;

/// A tenant, by the value of its label or attribute: not empty, at most [`MAX_TENANT_BYTES`],
/// without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Box<str>);

/// Why a text is not a tenant. The text itself is not quoted: it comes from a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidTenant {
    /// An empty value would match every series that lacks the label.
    #[error("a tenant is empty")]
    Empty,
    #[error("a tenant is longer than {MAX_TENANT_BYTES} bytes")]
    TooLong,
    /// NUL, newlines and other control characters, and U+FFFD, which Prometheus' lexer refuses in
    /// strings (it replaces invalid UTF-8).
    #[error("a tenant contains a control character")]
    ControlCharacter,
}

impl Tenant {
    /// Takes a value literally: wildcards and regex operators have no meaning in it.
    pub fn new(value: &str) -> Result<Self, InvalidTenant> {
        if value.is_empty() {
            return Err(InvalidTenant::Empty);
        }
        if value.len() > MAX_TENANT_BYTES {
            return Err(InvalidTenant::TooLong);
        }
        if value.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return Err(InvalidTenant::ControlCharacter);
        }
        Ok(Self(value.into()))
    }

    /// The value as in the label or attribute.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_long_and_control_values_are_refused() {
        assert_eq!(Tenant::new(""), Err(InvalidTenant::Empty));
        assert_eq!(Tenant::new(&"x".repeat(257)), Err(InvalidTenant::TooLong));
        assert_eq!(Tenant::new("a\nb"), Err(InvalidTenant::ControlCharacter));
        assert_eq!(Tenant::new("a\0"), Err(InvalidTenant::ControlCharacter));
        assert_eq!(
            Tenant::new("a\u{fffd}"),
            Err(InvalidTenant::ControlCharacter)
        );
    }
}
