//! The one request that is sent for all clients that ask the same. It runs in a task of its own:
//! the client that asked first may read slowly or disconnect without affecting the others.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderMap, VARY};
use hyper::{Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::key::{CacheKey, forbids_caching};
use super::response::{CacheHit, CachedResponse, FlushEpoch};
use super::single_flight::{Leader, Outcome};
use super::{AnswerCache, mark};
use crate::body::budget::Budget;
use crate::body::{Piece, ResponseBody};
use crate::prometheus::completeness::is_complete;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::Enforced;
use crate::proxy::error::ProxyError;
use crate::proxy::exchange::{Exchanged, exchange};
use crate::proxy::respond;
use crate::shares::Exceeded;
use crate::telemetry::log;
use crate::telemetry::metrics::{Lookup, Metrics};

/// The single-flight leader's right, and duty, to send the request.
pub(in crate::proxy) struct CacheFill {
    pub(super) cache: Arc<AnswerCache>,
    pub(super) leader: Leader,
    pub(super) cache_key: CacheKey,
    /// `None` where the response cannot be cached, only shared.
    pub(super) epoch: Option<FlushEpoch>,
}

impl CacheFill {
    /// Sends the request. Requests that wait for it share the response, if it may be cached.
    pub(in crate::proxy) async fn fetch(
        self,
        context: &RequestContext,
        enforced: Enforced,
    ) -> Exchanged {
        let (client, fetched) = oneshot::channel();
        let context = context.clone();
        let run = async move { self.run(client, &context, enforced).await };
        tokio::spawn(log::in_current_trace(run));
        fetched.await.unwrap_or_else(|_| Exchanged {
            upstream_status: None,
            response: Err(ProxyError::defect()),
        })
    }

    async fn run(
        self,
        mut client: oneshot::Sender<Exchanged>,
        context: &RequestContext,
        enforced: Enforced,
    ) {
        let budget = context.budget(enforced.holder());
        let tenants = enforced.holder().tenants_alone();
        let fetched = tokio::select! {
            fetched = exchange(enforced, context, |_| {}) => fetched,
            () = self.is_abandoned(client.closed()) => return,
        };
        let Exchanged {
            upstream_status,
            response: Ok(mut response),
        } = fetched
        else {
            self.leader.publish(Outcome::NotShared);
            // A client that has disconnected needs no response.
            let _ = client.send(fetched);
            return;
        };
        mark(&mut response, Some(Lookup::Miss));
        if !may_be_cached(&response, self.cache.settings.max_answer_bytes) {
            self.leader.publish(Outcome::NotShared);
            let _ = client.send(Exchanged {
                upstream_status,
                response: Ok(response),
            });
            return;
        }
        let (pieces, receiver) = mpsc::unbounded_channel();
        let (head, body) = response.into_parts();
        let headers = head.headers.clone();
        let relayed = ResponseBody::relayed(receiver, &body);
        let _ = client.send(Exchanged {
            upstream_status,
            response: Ok(Response::from_parts(head, relayed)),
        });
        let gathered = tokio::select! {
            gathered = gather(body, &pieces, self.cache.settings.max_answer_bytes, &budget) => gathered,
            () = self.is_abandoned(pieces.closed()) => return,
        };
        drop(pieces);
        match gathered {
            Some(gathered) => {
                // The cached response serves every caller with these tenants, so it is not charged
                // to this one.
                let budget = context.budget(&tenants);
                self.store(headers, gathered, &budget, &context.metrics)
                    .await;
            }
            None => self.leader.publish(Outcome::NotShared),
        }
    }

    /// Waits until neither this client nor any follower waits for the response.
    async fn is_abandoned(&self, client_gone: impl Future<Output = ()>) {
        client_gone.await;
        self.leader.has_no_followers().await;
    }

    async fn store(
        &self,
        mut headers: HeaderMap,
        body: Vec<Bytes>,
        budget: &Budget,
        metrics: &Metrics,
    ) {
        headers.remove(super::MARK);
        let Some(body) = whole_and_complete(body, budget).await else {
            self.leader.publish(Outcome::NotShared);
            return;
        };
        let cached = Arc::new(CachedResponse { headers, body });
        self.leader.publish(Outcome::Answer(CacheHit {
            cached: Arc::clone(&cached),
            age: None,
        }));
        // A request that asks meanwhile still follows this leader.
        if let Some(epoch) = self.epoch {
            let store = &self.cache.store;
            store
                .put(&self.cache_key, epoch, &cached, budget, metrics)
                .await;
        }
    }
}

/// Whether the response's status and headers permit caching it.
fn may_be_cached(response: &Response<ResponseBody>, max_bytes: usize) -> bool {
    let headers = response.headers();
    let length = hyper::body::Body::size_hint(response.body()).lower();
    response.status() == StatusCode::OK
        && length <= max_bytes as u64
        && is_json(headers)
        && !forbids_caching(headers)
        && varies_by_known(headers)
}

fn is_json(headers: &HeaderMap) -> bool {
    use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = text.and_then(|text| text.split(';').next());
    let is_json = media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case(respond::JSON));
    is_json && !headers.contains_key(CONTENT_ENCODING)
}

/// Whether it varies only by headers that are part of the key or that are never forwarded (RFC 9110
/// §12.5.5).
fn varies_by_known(headers: &HeaderMap) -> bool {
    const KNOWN: [&str; 3] = ["accept", "accept-encoding", "origin"];
    headers.get_all(VARY).iter().all(|value| {
        let names = value.to_str().unwrap_or("*").split(',');
        names.map(str::trim).all(|name| {
            name.is_empty() || KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name))
        })
    })
}

/// Reads a response as fast as the upstream sends it, and passes each chunk on to this client.
/// Returns all chunks if they fit; a response that is too long goes to this client alone.
async fn gather(
    mut body: ResponseBody,
    client: &mpsc::UnboundedSender<Piece>,
    max_bytes: usize,
    budget: &Budget,
) -> Option<Vec<Bytes>> {
    // If the client has disconnected, others may still wait.
    let give = |piece| drop(client.send(piece));
    let mut gathered = Vec::new();
    let mut length = 0;
    loop {
        match body.data().await {
            Some(Ok(data)) => {
                length += data.len();
                let held = held(&data, length <= max_bytes, budget);
                let Some(held) = held else {
                    give(Piece::Data(data));
                    give(Piece::Rest(Box::new(body)));
                    return None;
                };
                give(Piece::Data(held.clone()));
                gathered.push(held);
            }
            Some(Err(error)) => {
                give(Piece::Broken(error));
                return None;
            }
            None => {
                give(Piece::End);
                return Some(gathered);
            }
        }
    }
}

/// A copy that is counted in the budget: the original chunk may keep a larger buffer alive.
fn held(data: &[u8], fits: bool, budget: &Budget) -> Option<Bytes> {
    fits.then(|| budget.hold(Bytes::copy_from_slice(data)).ok())?
}

/// The response in one buffer, if it is complete and not a partial result.
async fn whole_and_complete(pieces: Vec<Bytes>, budget: &Budget) -> Option<Bytes> {
    let whole = joined(&pieces, budget).ok()?;
    drop(pieces);
    // Takes a few milliseconds for the largest.
    let reading = whole.clone();
    let complete = tokio::task::spawn_blocking(move || is_complete(&reading)).await;
    complete.is_ok_and(|complete| complete).then_some(whole)
}

fn joined(pieces: &[Bytes], budget: &Budget) -> Result<Bytes, Exceeded> {
    let mut share = budget.share();
    share.resize(pieces.iter().map(Bytes::len).sum())?;
    Ok(share.bind(pieces.concat().into()))
}
