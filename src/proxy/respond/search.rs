//! Pages of search results: finds out what may be said of each trace as a whole.
//!
//! - Two searches for the caller's own spans describe the traces of a page, whoever has other spans in
//!   them.
//! - Of traces for which that is not enough, a search finds those that have nothing but the caller's
//!   spans.
//! - The others are fetched, redacted, and described by what is left of them.
//!
//! With `search_metadata: verify` there is only the second step. What is known of a trace that is
//! described as before is not looked up again
//! ([`trace_verdicts`](crate::proxy::trace_verdicts)).

use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Instant, timeout, timeout_at};

use super::side::{side_body, side_request_to_tempo};
use super::unreadable;
use crate::body::account;
use crate::body::budget::Room;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{Enforced, Page, SharedTraces, TraceOwnership, VerifyTraces};
use crate::proxy::error::ProxyError;
use crate::proxy::forward;
use crate::proxy::trace_verdicts::VerdictKey;
use crate::telemetry::metrics::TraceSource;
use crate::tempo::answer::{Format, Unreadable};
use crate::tempo::search::{
    JsonPage, Listed, Metadata, OwnSpans, OwnSpansQueries, Owners, ProtobufPage, Reveal, Rules,
    SideQuery, owners, ownership_queries, side_answer_of_json,
};
use crate::tempo::tag_name::TagName;
use crate::tempo::trace::{
    ForeignSpans, ProtobufFilter, SummaryBuilder, TraceApi, TraceOwner, TraceSummary,
};
use crate::tenancy::AttributeValue;

/// How long a page waits for the searches that describe its traces.
const SEARCHED_WITHIN: Duration = Duration::from_secs(2);

/// How long a page waits for the traces that it fetches.
const FETCHED_WITHIN: Duration = Duration::from_secs(5);

/// How many traces of a page are fetched at once.
const FETCHED_AT_ONCE: usize = 8;

/// The longest trace that is read for a page, in bytes of the response.
const MAX_TRACE_BYTES: usize = 16 * 1024 * 1024;

const NOT_SEARCHED: &str = "a search for the caller's spans of a page's traces failed: these \
    traces are verified and fetched instead, which costs Tempo more";

const NOT_FETCHED: &str = "a trace of a page could not be fetched: what the page says of it as a \
    whole is masked";

/// The page without other tenants' data.
pub(super) async fn filter(
    page: &Page,
    text: &[u8],
    format: Format,
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, Unreadable> {
    let hide = page.hidden.names();
    let rules = |reveal| Rules {
        reveal,
        hide: &hide,
        hide_names: page.hidden.span_names(),
        traces_only: page.is_tag_search,
    };
    let verify = match &page.ownership {
        TraceOwnership::Trusted => return unverified(text, format, &rules(Reveal::All)),
        TraceOwnership::Unknown => return unverified(text, format, &rules(Reveal::Nothing)),
        TraceOwnership::Verified(verify) => verify,
    };
    match format {
        Format::Json => {
            let page = JsonPage::parse(text)?;
            let each = describe(verify, &page.listed()?, room, context).await;
            page.filter(&rules(Reveal::Each(&each)))
        }
        Format::Protobuf => {
            let page = ProtobufPage::parse(text)?;
            let each = describe(verify, &page.listed()?, room, context).await;
            page.filter(&rules(Reveal::Each(&each)))
        }
    }
}

fn unverified(text: &[u8], format: Format, rules: &Rules<'_>) -> Result<Vec<u8>, Unreadable> {
    match format {
        Format::Json => JsonPage::parse(text)?.filter(rules),
        Format::Protobuf => ProtobufPage::parse(text)?.filter(rules),
    }
}

/// A trace of a page, with what is known of it.
struct Known<'a> {
    listed: &'a Listed<'a>,
    key: Option<VerdictKey>,
    metadata: Metadata,
    source: TraceSource,
}

impl Known<'_> {
    fn set(&mut self, metadata: Metadata, source: TraceSource) {
        (self.metadata, self.source) = (metadata, source);
    }
}

/// What may be said of each trace of a page. What cannot be found out is masked.
async fn describe(
    verify: &VerifyTraces,
    page: &[Listed<'_>],
    room: &Room,
    context: &RequestContext,
) -> Vec<Metadata> {
    let verdicts = &context.trace_verdicts;
    let mut traces: Vec<Known<'_>> = page
        .iter()
        .map(|listed| {
            let key = VerdictKey::of(verify, listed);
            let cached = key.and_then(|key| verdicts.get(key));
            let source = match cached {
                Some(_) => TraceSource::Cached,
                None => TraceSource::Failed,
            };
            Known {
                listed,
                key,
                metadata: cached.unwrap_or(Metadata::Masked),
                source,
            }
        })
        .collect();
    let is_unknown = |known: &&mut Known<'_>| known.source != TraceSource::Cached;
    let unknown: Vec<&mut Known<'_>> = traces.iter_mut().filter(is_unknown).collect();
    let unknown = search_own_spans(verify, unknown, room, context).await;
    verify_owners(verify, unknown, room, context).await;
    let shown = traces.into_iter().map(|known| {
        context.metrics.search.shown(known.source);
        known.metadata
    });
    shown.collect()
}

/// Logs at a limited rate.
fn warn(context: &RequestContext, error: &str, what: &str) {
    if let Some(suppressed) = context.trace_verdicts.failures.now() {
        tracing::warn!(error, suppressed, "{what}");
    }
}

/// Describes traces by the caller's spans in them; returns those that are left.
async fn search_own_spans<'k, 'p>(
    verify: &VerifyTraces,
    mut unknown: Vec<&'k mut Known<'p>>,
    room: &Room,
    context: &RequestContext,
) -> Vec<&'k mut Known<'p>> {
    let traces = unknown.iter().map(|known| known.listed);
    let Some(queries) = verify.own_spans(traces) else {
        return unknown;
    };
    let found = query_own_spans(verify, &queries, room, context);
    let found = match timeout(SEARCHED_WITHIN, found).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            warn(context, &error.log_text(), NOT_SEARCHED);
            return unknown;
        }
        Err(_) => {
            let error = format!("not complete after {} s", SEARCHED_WITHIN.as_secs());
            warn(context, &error, NOT_SEARCHED);
            return unknown;
        }
    };
    unknown.retain_mut(|known| {
        let Some(summary) = found.of(known.listed) else {
            return true;
        };
        if let Some(key) = known.key {
            context
                .trace_verdicts
                .is_computed(key, Arc::clone(&summary));
        }
        known.set(Metadata::Computed(summary), TraceSource::Computed);
        false
    });
    unknown
}

async fn query_own_spans(
    verify: &VerifyTraces,
    queries: &OwnSpansQueries,
    room: &Room,
    context: &RequestContext,
) -> Result<OwnSpans, ProxyError> {
    let (counts, times) = tokio::try_join!(
        search(verify, &queries.counts, room, context),
        search(verify, &queries.times, room, context),
    )?;
    OwnSpans::read(&counts, &times).map_err(|error| unreadable(&error))
}

/// Sends a search of our own; returns its answer as protobuf.
async fn search(
    verify: &VerifyTraces,
    query: &SideQuery,
    room: &Room,
    context: &RequestContext,
) -> Result<Bytes, ProxyError> {
    let request = verify.request(query)?;
    let (answer, format) = side_request_to_tempo(request, room, context).await?;
    match format {
        Format::Protobuf => Ok(answer),
        Format::Json => {
            let answer = side_answer_of_json(&answer).map_err(|error| unreadable(&error))?;
            Ok(room.budget.hold(answer)?)
        }
    }
}

/// Finds the traces that have nothing but the caller's spans, and describes the others.
async fn verify_owners(
    verify: &VerifyTraces,
    mut unknown: Vec<&mut Known<'_>>,
    room: &Room,
    context: &RequestContext,
) {
    if unknown.is_empty() {
        return;
    }
    let ids = unknown.iter().map(|known| known.listed.id);
    let owners = match query_owners(verify, ids, room, context).await {
        Ok(owners) => owners,
        Err(error) => {
            let what = "an ownership query failed: what its page says of whole traces is masked";
            warn(context, &error.log_text(), what);
            return;
        }
    };
    unknown.retain_mut(|known| {
        if !owners.own.contains(known.listed.id) {
            return true;
        }
        if let Some(key) = known.key {
            context.trace_verdicts.is_own(key);
        }
        known.set(Metadata::Own, TraceSource::Verified);
        false
    });
    compute(verify, unknown, &owners, room, context).await;
}

/// Which traces have nothing but the caller's spans, and which have others too.
async fn query_owners(
    verify: &VerifyTraces,
    ids: impl Iterator<Item = &str>,
    room: &Room,
    context: &RequestContext,
) -> Result<Owners, ProxyError> {
    let names = verify.resources().names();
    let tags = names
        .iter()
        .map(|name| TagName::resource(name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&error))?;
    let admits = |values: &[Option<AttributeValue<'_>>]| {
        let value_of = |name: &str| {
            let mut all = names.iter().zip(values);
            let found = all.find(|(known, _)| **known == name);
            Ok::<_, Infallible>(found.and_then(|(_, value)| value.clone()))
        };
        let Ok(is_own) = verify.resources().admit(value_of);
        is_own
    };
    let mut all = Owners::default();
    for query in ownership_queries(ids, &tags) {
        let answer = search(verify, &query, room, context).await?;
        let Owners { own, shared } =
            owners(&answer, &tags, admits).map_err(|error| unreadable(&error))?;
        all.own.extend(own);
        all.shared.extend(shared);
    }
    Ok(all)
}

/// Describes shared traces by the caller's spans in them.
async fn compute(
    verify: &VerifyTraces,
    mut shared: Vec<&mut Known<'_>>,
    owners: &Owners,
    room: &Room,
    context: &RequestContext,
) {
    let verdicts = &context.trace_verdicts;
    if let SharedTraces::Masked = verify.shared {
        for known in shared {
            known.source = TraceSource::Masked;
            if let Some(key) = known
                .key
                .filter(|_| owners.shared.contains(known.listed.id))
            {
                verdicts.is_shared(key);
            }
        }
        return;
    }
    let deadline = Instant::now() + FETCHED_WITHIN;
    for known in &mut shared {
        known.source = TraceSource::TimedOut;
    }
    let all = shared.iter().enumerate().map(|(place, known)| {
        let (listed, key) = (known.listed, known.key);
        async move {
            let Some(owner) = verify.permit_fetch() else {
                return (place, Metadata::Masked, TraceSource::OverLimit);
            };
            let summary = async {
                let request = verify.trace(listed)?;
                fetch(request, owner, room, context).await
            };
            let found = match key {
                Some(key) => verdicts.get_or_compute(key, summary).await,
                None => summary.await.map(described),
            };
            match found {
                Ok(Metadata::Masked) => (place, Metadata::Masked, TraceSource::Masked),
                Ok(metadata) => (place, metadata, TraceSource::Fetched),
                Err(error) => {
                    warn(context, &error.log_text(), NOT_FETCHED);
                    (place, Metadata::Masked, TraceSource::Failed)
                }
            }
        }
    });
    let all: Vec<_> = all.collect();
    let mut found = Vec::with_capacity(all.len());
    {
        let mut running = pin!(stream::iter(all).buffer_unordered(FETCHED_AT_ONCE));
        while let Ok(Some(one)) = timeout_at(deadline, running.next()).await {
            found.push(one);
        }
    }
    for (place, metadata, source) in found {
        if let Some(known) = shared.get_mut(place) {
            known.set(metadata, source);
        }
    }
}

fn described(summary: Option<TraceSummary>) -> Metadata {
    summary.map_or(Metadata::Masked, |summary| {
        Metadata::Computed(summary.into())
    })
}

/// Fetches a trace, and describes it by the caller's spans; `None` if it has none. No more of it
/// is held in memory than one `ResourceSpans`.
async fn fetch(
    request: Enforced,
    owner: Arc<TraceOwner>,
    room: &Room,
    context: &RequestContext,
) -> Result<Option<TraceSummary>, ProxyError> {
    let answered = forward::forward(request, context).await?;
    let mut body = side_body(answered, Format::Protobuf.media_type(), room)?;
    let limit = room.bytes.min(MAX_TRACE_BYTES);
    let mut filter = ProtobufFilter::new(TraceApi::V1, owner, &ForeignSpans::Redact, limit);
    let mut summary = SummaryBuilder::default();
    let (mut own, mut held, mut read) = (Vec::new(), room.budget.share(), 0);
    let wrong = |error: &dyn Display| unreadable(error);
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| wrong(&error))?;
        read += data.len();
        if read > limit {
            return Err(unreadable(&"a trace of a search is too large"));
        }
        filter
            .push(&data, &mut own)
            .map_err(|error| wrong(&error))?;
        account(&mut held, filter.held_bytes(), &own, data.len())?;
        for piece in own.drain(..) {
            summary.push(&piece).map_err(|error| wrong(&error))?;
        }
    }
    filter.finish(&mut own).map_err(|error| wrong(&error))?;
    Ok(summary.finish())
}
