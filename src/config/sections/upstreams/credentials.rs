//! `credentials`: what Partywall sends to an upstream to authenticate.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::config::files;
use crate::config::reader::{Field, Read, Reader};
use crate::config::secret::Secret;
use crate::config::values::{expanded, flag, secret};

/// An upstream's `credentials`; at most one kind. Files are read when the config is (re)loaded and
/// are watched, so these values are current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    None,
    /// `bearer_token` or `bearer_token_file`.
    Bearer(Secret),
    /// `basic: { username, password | password_file }`.
    Basic {
        /// `username`
        username: String,
        /// `password`
        password: Secret,
    },
    /// `forward_token: true`: the caller's own token.
    ForwardToken,
}

impl Serialize for Credentials {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => Value::Null,
            Self::Bearer(token) => json!({"bearer_token": token}),
            Self::Basic { username, password } => {
                json!({"basic": {"username": username, "password": password}})
            }
            Self::ForwardToken => json!({"forward_token": true}),
        }
        .serialize(to)
    }
}

pub(super) fn credentials(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Credentials> {
    let mut section = r.section(field)?;
    let credentials = section.exactly_one(
        r,
        &[
            ("bearer_token", |r, field| {
                let token = secret(r, field)?;
                if !files::is_bearer_token(token.expose()) {
                    let message = "must be visible ASCII characters without spaces";
                    return Err(r.error(field, message));
                }
                Ok(Credentials::Bearer(token))
            }),
            ("bearer_token_file", |r, field| {
                files::bearer_token(r, field).map(Credentials::Bearer)
            }),
            ("basic", basic),
            ("forward_token", |r, field| {
                flag(r, field).map(|()| Credentials::ForwardToken)
            }),
        ],
    );
    section.finish(r)?;
    credentials
}

/// RFC 7617 §2: neither contains control characters, the user name no colon.
fn basic(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Credentials> {
    let mut section = r.section(field)?;
    let username = section.required(r, "username", |r, field| {
        let username = expanded(r, field)?;
        if username.chars().any(|c| c.is_control() || c == ':') {
            return Err(r.error(field, "must not hold a colon or control characters"));
        }
        Ok(username)
    });
    let password =
        section.exactly_one(r, &[("password", secret), ("password_file", files::secret)]);
    let password = password.and_then(|password| {
        if password.expose().chars().any(char::is_control) {
            let message = "the password must not hold control characters";
            return Err(r.error(field, message));
        }
        Ok(password)
    });
    section.finish(r)?;
    Ok(Credentials::Basic {
        username: username?,
        password: password?,
    })
}
