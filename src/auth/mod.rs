//! Tokens: from a request's headers to a verified principal.
