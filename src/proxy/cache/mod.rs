//! Answers to metric queries, kept for a while. They are asked for after enforcement: who is
//! denied never comes here, and what is looked for is what would be sent, for the caller's scope.
//!
//! | file | one idea |
//! |---|---|
//! | `question` | what would be sent, where to and for whom, as one key |
//! | `kept` | an answer as it is kept |
//! | `store` | where answers are kept: `memory` or `redis` |
//! | `flight` | those who ask the same at the same time wait for one of them |
//! | `lead` | that one: it asks the upstream, and its answer is kept if it is whole |

mod fill;
mod key;
mod memory;
mod redis;
mod response;
mod single_flight;
mod store;

use std::sync::Arc;

use hyper::Response;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

pub(super) use self::fill::Lead;
use self::key::{Question, asks_for_fresh};
pub use self::redis::InvalidRedis;
use self::response::Found;
use self::single_flight::{Flights, Landing, Seat};
use self::store::Store;
use super::context::RequestContext;
use super::enforce::Enforced;
use super::route::Route;
use crate::auth::Caller;
use crate::body::ResponseBody;
use crate::body::budget::Budget;
use crate::config::settings::Cache as Settings;
use crate::telemetry::metrics::{Lookup, Metrics};

/// Tells the client where its answer comes from.
const MARK: HeaderName = HeaderName::from_static("x-partywall-cache");

/// Answers that are kept, and those that are on their way.
pub struct AnswerCache {
    settings: Settings,
    store: Store,
    flights: Arc<Flights>,
}

/// What came of a look for a kept answer.
pub(super) enum Asked {
    /// This is it.
    Answer(Box<Response<ResponseBody>>),
    /// There is none; who asks the same from now on waits for what this finds.
    Lead(Lead),
    /// The upstream is to be asked, for this request alone. `None` where such answers are never
    /// kept.
    Alone(Option<Lookup>),
}

impl AnswerCache {
    /// An empty one, or what Redis has.
    ///
    /// # Errors
    /// When Redis' settings are of no use; whether it is there is not asked.
    pub fn new(settings: &Settings) -> Result<Self, InvalidRedis> {
        Ok(Self {
            store: Store::new(settings)?,
            flights: Arc::default(),
            settings: settings.clone(),
        })
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Forgets the answers of an upstream, or all; those that are under way are not kept.
    ///
    /// # Errors
    /// When the store cannot be reached: its answers may be given until they are too old.
    pub async fn flush(&self, upstream: Option<&str>, metrics: &Metrics) -> Result<(), String> {
        self.flights.forget();
        self.store.flush(upstream, metrics).await
    }

    /// What is kept in this process's memory.
    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// Waits for whoever asks the same already, or looks for a kept answer.
    async fn find(
        self: &Arc<Self>,
        question: Question,
        budget: &Budget,
        metrics: &Metrics,
    ) -> Asked {
        loop {
            let leader = match self.flights.join(question.key) {
                Seat::Leader(leader) => leader,
                Seat::Follower(follower) => match follower.landed().await {
                    Landing::Answer(Found { kept, age }) => {
                        let lookup = age.map_or(Lookup::Collapsed, |_| Lookup::Hit);
                        return answered(lookup, &Found { kept, age }, metrics);
                    }
                    Landing::Nothing => return Asked::Alone(Some(Lookup::Miss)),
                    // Then it may be this one's turn.
                    Landing::Left => continue,
                },
            };
            let looked = self.store.get(&question, budget, metrics).await;
            return match looked.found {
                Some(found) => {
                    leader.land(Landing::Answer(found.clone()));
                    answered(Lookup::Hit, &found, metrics)
                }
                None => Asked::Lead(Lead {
                    cache: Arc::clone(self),
                    leader,
                    question,
                    ticket: looked.ticket,
                }),
            };
        }
    }
}

/// Whether answers are cached, but this client wants another.
pub(super) fn wants_fresh(answers: Option<&Arc<AnswerCache>>, headers: &HeaderMap) -> bool {
    answers.is_some() && asks_for_fresh(headers)
}

/// Looks for an answer to what would be sent. Whoever waits for another's waits no longer than it
/// would for the upstream.
pub(super) async fn ask(
    answers: Option<&Arc<AnswerCache>>,
    context: &RequestContext,
    route: &Route,
    caller: Option<&Caller>,
    enforced: &Enforced,
    wants_fresh: bool,
) -> Asked {
    let metrics = &context.metrics;
    let (Some(cache), Some(caller)) = (answers, caller) else {
        return Asked::Alone(None);
    };
    let Some(question) = Question::of(route, caller, enforced) else {
        return Asked::Alone(None);
    };
    // What the upstream answers by the caller's own token is between the two.
    let asked = if wants_fresh || enforced.upstream().forwards_token() {
        Asked::Alone(Some(Lookup::Bypass))
    } else {
        let patience = enforced.upstream().settings().timeouts.response_head;
        let budget = context.budget(enforced.holder());
        let finding = cache.find(question, &budget, metrics);
        let found = tokio::time::timeout(patience, finding).await;
        found.unwrap_or(Asked::Alone(Some(Lookup::Miss)))
    };
    match &asked {
        Asked::Answer(_) | Asked::Alone(None) => {}
        Asked::Alone(Some(lookup)) => metrics.answers.looked_up(*lookup),
        Asked::Lead(_) => metrics.answers.looked_up(Lookup::Miss),
    }
    asked
}

fn answered(lookup: Lookup, found: &Found, metrics: &Metrics) -> Asked {
    metrics.answers.looked_up(lookup);
    let mut response = found.response();
    mark(&mut response, Some(lookup));
    Asked::Answer(Box::new(response))
}

/// Tells the client.
pub(super) fn mark(response: &mut Response<ResponseBody>, lookup: Option<Lookup>) {
    if let Some(lookup) = lookup {
        let value = HeaderValue::from_static(lookup.name());
        response.headers_mut().insert(MARK, value);
    }
}
