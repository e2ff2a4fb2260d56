//! Tokens: from a request's headers to a verified principal.
//!
//! | file | one idea |
//! |---|---|
//! | `authenticator` | the way of one request: header, cache, signature, claims, scope |
//! | `source` | which header holds the token |
//! | `jws`, `json` | a token's text, read strictly |
//! | `claims` | what a believed token must say |
//! | `keys`, `jwks`, `pem` | the keys that an issuer may sign with |
//! | `store`, `refresh`, `fetch` | where they come from, and how they stay fresh |
//! | `cache` | verified tokens, until they expire or their issuer's keys change |
//!
//! A signature is checked only with the keys of the issuer that the token names, and nothing in
//! the token says where keys come from.

mod authenticator;
mod cache;
mod claims;
mod clock;
mod error;
mod fetch;
mod json;
mod jwks;
mod jws;
mod keys;
mod pem;
mod principal;
mod refresh;
mod shared;
mod source;
mod store;
#[cfg(test)]
mod testing;

pub use authenticator::Authenticator;
pub use error::{AuthError, InvalidTokens};
pub use principal::{Caller, Principal, Signature};
pub use store::KeyStatus;
