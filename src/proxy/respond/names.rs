//! Names of tags that Tempo lists whatever the filter: which of them are the caller's own.

use std::collections::{BTreeSet, HashSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::side::{SENT_AT_ONCE, side_request_to_tempo};
use super::unreadable;
use crate::body::budget::Room;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::NamesPlan;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::tempo::tag_name::TagName;
use crate::tempo::tags::{Names, TagsAnswer, has_value};

/// The most names that are checked for one call. Tempo has a column for about a dozen attributes, and
/// for those of `parquet_dedicated_columns`.
const MAX_CHECKED: usize = 64;

/// A name with its scope.
type Attribute<'a> = (&'a str, &'a str);

/// Takes out the names that Tempo lists whatever the filter, unless the caller has a value of them. A
/// name that was not checked is taken out.
///
/// # Errors
/// If one of the requests fails, or they take too long.
pub(super) async fn keep_own(
    names: &mut Names<'_>,
    plan: &NamesPlan,
    room: &Room,
    context: &RequestContext,
) -> Result<(), ProxyError> {
    if names.attributes().next().is_none() {
        return Ok(());
    }
    let within = plan.within();
    let late = |_| {
        let text = format!(
            "names of tags could not be checked within {within:?} \
             (timeouts.response_head and body_idle together)"
        );
        ProxyError::new(ErrorKind::UpstreamTimeout, text)
    };
    let kept = only_own(names, plan, room, context);
    tokio::time::timeout(within, kept).await.map_err(late)?
}

async fn only_own(
    names: &mut Names<'_>,
    plan: &NamesPlan,
    room: &Room,
    context: &RequestContext,
) -> Result<(), ProxyError> {
    let (text, format) = side_request_to_tempo(plan.unfiltered()?, room, context).await?;
    let answer = TagsAnswer {
        text: &text,
        format,
    };
    let unfiltered = Names::merge([answer]).map_err(|error| unreadable(&error))?;
    let listed: HashSet<Attribute<'_>> = names.attributes().collect();
    let doubtful = unfiltered.attributes().filter(|one| listed.contains(one));
    let doubtful: BTreeSet<Attribute<'_>> = doubtful.collect();
    let check = |attribute| async move {
        let is_own = is_own(attribute, plan, room, context).await?;
        Ok::<_, ProxyError>(is_own.then_some(attribute))
    };
    let checks: Vec<_> = doubtful
        .iter()
        .copied()
        .take(MAX_CHECKED)
        .map(check)
        .collect();
    let own = stream::iter(checks).buffer_unordered(SENT_AT_ONCE);
    let own: Vec<Option<Attribute<'_>>> = own.try_collect().await?;
    let own: HashSet<Attribute<'_>> = own.into_iter().flatten().collect();
    names.retain(|scope, name| !doubtful.contains(&(scope, name)) || own.contains(&(scope, name)));
    Ok(())
}

/// Whether the caller has a value of it. Of a name that no request can have, it is unknown.
async fn is_own(
    (scope, name): Attribute<'_>,
    plan: &NamesPlan,
    room: &Room,
    context: &RequestContext,
) -> Result<bool, ProxyError> {
    let Ok(tag) = TagName::in_scope(scope, name) else {
        return Ok(false);
    };
    for request in plan.own_values(&tag) {
        let (text, format) = side_request_to_tempo(request?, room, context).await?;
        let answer = TagsAnswer {
            text: &text,
            format,
        };
        if has_value(answer).map_err(|error| unreadable(&error))? {
            return Ok(true);
        }
    }
    Ok(false)
}
