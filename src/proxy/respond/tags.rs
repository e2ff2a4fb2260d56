//! Answers with names and values of tags, of one request or of several.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::side::{SENT_AT_ONCE, side_request_to_tempo_unless};
use super::{names, unreadable};
use crate::body::budget::Room;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{SentTags, TagsPlan, TagsSubject};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::tempo::answer::Format;
use crate::tempo::tags::{Names, TagsAnswer, ValuesAnswer, merge_values};
use crate::tenancy::AttributeValues;

/// The client's answer, from that of the first request, or from all messages of its stream. The further
/// requests are sent now; if one of them fails, so does the call.
pub(super) async fn filter(
    plan: &TagsPlan,
    first: &[&[u8]],
    format: Format,
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, ProxyError> {
    let further = further(plan, room, context).await?;
    let further = further.iter().map(|(text, format, only)| {
        let format = *format;
        (TagsAnswer { text, format }, *only)
    });
    let first = first.iter().map(|text| TagsAnswer { text, format });
    let merged = match &plan.subject {
        TagsSubject::Names(names_plan) => {
            let scope = (!names_plan.scope.is_empty()).then_some(&*names_plan.scope);
            let all = first.chain(further.map(|(answer, _)| answer));
            let mut names = Names::merge(all).map_err(|error| unreadable(&error))?;
            names::keep_own(&mut names, names_plan, room, context).await?;
            names.write(format, plan.version, scope, plan.limit)
        }
        TagsSubject::Values(only) => {
            let only = only.as_ref();
            let all = first.map(|answer| (answer, only)).chain(further);
            let all = all.map(|(answer, only)| ValuesAnswer { answer, only });
            merge_values(all, format, plan.version, plan.limit)
        }
    };
    merged.map_err(|error| unreadable(&error))
}

/// The answers of the further requests, with their formats, and the only values of each. Together they
/// have as many bytes as one answer may have.
async fn further<'p>(
    plan: &'p TagsPlan,
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<(Bytes, Format, Option<&'p AttributeValues>)>, ProxyError> {
    if plan.further.is_empty() {
        return Ok(Vec::new());
    }
    let send = |sent: SentTags<'p>| async move {
        let request = sent.request?;
        let answer = side_request_to_tempo_unless(sent.absent, request, room, context).await?;
        Ok::<_, ProxyError>(answer.map(|(answer, format)| (answer, format, sent.only)))
    };
    let requests: Vec<_> = plan.further.requests().map(send).collect();
    let answers = stream::iter(requests).buffered(SENT_AT_ONCE);
    let answers = answers.try_fold((Vec::new(), 0_usize), |(mut all, bytes), one| {
        let bytes = bytes + one.as_ref().map_or(0, |(answer, ..)| answer.len());
        all.extend(one);
        let is_too_large = bytes > room.bytes;
        async move {
            if is_too_large {
                let text = format!(
                    "the answers for all alternatives have more than {} bytes \
                     (limits.answer_bytes)",
                    room.bytes
                );
                return Err(unreadable(&text));
            }
            Ok((all, bytes))
        }
    });
    let within = plan.further.within();
    let late = |_| {
        let text = format!(
            "the answers for all alternatives of your traces were not there within {within:?} \
             (timeouts.response_head and body_idle together)"
        );
        ProxyError::new(ErrorKind::UpstreamTimeout, text)
    };
    let (all, _) = tokio::time::timeout(within, answers)
        .await
        .map_err(late)??;
    Ok(all)
}
