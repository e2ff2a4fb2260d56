//! `path_prefix`: where clients reach an upstream.

use std::sync::Arc;

use crate::config::reader::{Field, Read, Reader};
use crate::config::values::text;
use crate::prometheus::endpoints::{self, Class};
use crate::tempo::endpoints as tempo;

/// A path of whole segments that every server reads literally.
pub(super) fn path_prefix(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Arc<str>> {
    let prefix = text(r, field)?;
    let is_plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let segments = prefix.strip_prefix('/').map(|rest| rest.split('/'));
    if !segments.is_some_and(|mut segments| segments.all(is_plain)) {
        let message = "must be like /clusters/eu: segments of letters, digits and `-._~`, no \
                       slash at the end";
        return Err(r.error(field, message));
    }
    let is_free = endpoints::classify(&prefix) == Class::PassThrough
        && tempo::classify(&prefix) == tempo::Class::Other;
    if !is_free {
        let message = "is a path of the APIs themselves: choose another, like /clusters/eu";
        return Err(r.error(field, message));
    }
    Ok(prefix.into())
}
