//! Tokens: from a request's headers to a verified principal.
//!
//! | file | content |
//! |---|---|
//! | `authenticator` | the steps of one request: header, cache, signature, claims, scope |
//! | `source`, `opaque` | which header has the token |
//! | `jws` | strict parsing of a token's text |
//! | `claims` | the claims that a token must have to be trusted |
//! | `keys`, `jwks`, `pem` | the keys that an issuer may sign with |
//! | `store`, `refresh`, `fetch` | where keys come from, and how they are refreshed |
//! | `cache` | verified tokens, until they expire or their issuer's keys change |
//!
//! A signature is verified only with the keys of the issuer that the token names, and nothing in the
//! token decides where keys come from.

mod authenticator;
mod cache;
mod claims;
mod clock;
mod error;
mod fetch;
mod jwks;
mod jws;
mod keys;
mod opaque;
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
