//! Bodies of posts: read strictly, since what this proxy and Alertmanager read must be the same, and
//! written anew from what was read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::strict_json;

/// Why a posted body is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PostError {
    /// Not JSON of this shape, with a repeated key, or one that is not known. Alertmanager ignores
    /// unknown keys, but reads `Matchers` as `matchers`.
    #[error("the body cannot be read: {0}")]
    Malformed(Box<str>),
    /// What Alertmanager would refuse too, but for what is added here; in its words.
    #[error("{0}")]
    Invalid(&'static str),
    /// A silence whose matcher of a tenant label may match others' alerts.
    #[error(
        "a silence may name no tenants but your own: give `{label}` a value or an alternation such \
         as a|b of them, or leave it out, and it is added"
    )]
    ForeignSilence {
        /// The tenant label.
        label: Box<str>,
    },
    /// An alert of another tenant.
    #[error("alert number {number}: its label `{label}` is not a tenant of yours")]
    ForeignAlert {
        /// The alert's place in the body, from 1.
        number: usize,
        /// The tenant label.
        label: Box<str>,
    },
    /// An alert without a tenant label, of a caller with several tenants.
    #[error("alert number {number}: it needs the label `{label}`, with one of your tenants")]
    NoTenant {
        /// The alert's place in the body, from 1.
        number: usize,
        /// The tenant label.
        label: Box<str>,
    },
    /// The id to change is none.
    #[error("silence not found")]
    NoSuchSilence,
}

/// Reads a body whose value has this shape: a list would be read as an object's values in their order.
pub(super) fn read<T: DeserializeOwned>(
    body: &[u8],
    has_shape: impl FnOnce(&Value) -> bool,
) -> Result<T, PostError> {
    let value = strict_json::value(body).ok_or_else(|| {
        let why = "it is not one JSON value, nested at most 32 deep, in which no key is repeated";
        PostError::Malformed(why.into())
    })?;
    if !has_shape(&value) {
        return Err(PostError::Malformed(
            "a list stands where an object should, or the other way round".into(),
        ));
    }
    T::deserialize(value).map_err(|error| PostError::Malformed(error.to_string().into()))
}

/// Whether it is a list of objects.
pub(super) fn are_objects(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|all| all.iter().all(Value::is_object))
}

pub(super) fn written(value: &impl Serialize) -> Result<Vec<u8>, PostError> {
    serde_json::to_vec(value).map_err(|error| PostError::Malformed(error.to_string().into()))
}
