//! Enforcement for the metrics API: a confined query is forwarded, or the response is filtered.

mod confine;
mod everything;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request};

use self::confine::Confiner;
pub(in crate::proxy) use self::everything::SelectorsOfEverything;
use super::input::MetricsCall;
use super::{
    Enforced, Enforcement, Filter, MetadataPlan, Origin, OwnAnswer, OwnTargets, ResponsePlan,
    UpstreamTarget, guard, query_size,
};
use crate::auth::Caller;
use crate::body::budget::Budget;
use crate::body::{ClientBody, RequestBody};
use crate::headers;
use crate::prometheus::clusters;
use crate::prometheus::endpoints::{Endpoint, PublicPart};
use crate::prometheus::filter::RulesOptions;
use crate::prometheus::form::Form;
use crate::prometheus::params::{self, Allowed};
use crate::prometheus::remote_read;
use crate::proxy::authorize::{matchers_of, scope};
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tenancy::{Matchers, TenantScope};
use crate::upstream::Upstream;

/// Confines a request to an endpoint of the metrics API.
pub(super) fn enforce(
    context: &RequestContext,
    target: &UpstreamTarget,
    endpoint: &Endpoint,
    caller: &Arc<Caller>,
    request: Request<ClientBody>,
) -> Result<Enforcement, ProxyError> {
    let matchers = admitted_matchers(endpoint, caller, request.method())?;
    let room = context.request_room(caller.holder());
    let call = MetricsCall::new(request, endpoint)?;
    let rebuild = Rebuild {
        target,
        endpoint,
        head: &call.head,
        budget: &room.budget,
    };
    if *endpoint == Endpoint::RemoteRead {
        let message = remote_read::decode(call.message(), room.bytes)
            .map_err(|error| guard::refused_read(&error))?;
        query_size::remote_read(context, &message)?;
        guard::remote_read(context, caller, &message)?;
        let body = match matchers {
            Some(matchers) => room.budget.hold(
                remote_read::confine(&message, matchers, room.bytes)
                    .map_err(|error| guard::refused_read(&error))?,
            )?,
            None => call.message().clone(),
        };
        return rebuild.remote_read(body).map(Enforcement::One);
    }
    let form = call.parameters(endpoint)?;
    refuse_clusters(context, &form)?;
    query_size::metrics(context, endpoint, &form)?;
    context.queries.received_parameters(form.iter());
    let opened = &target.upstream().settings().open_to_admins;
    match endpoint.public_part() {
        Some((part, group)) if matchers.is_some() || !opened.contains(&group) => {
            return rebuild.public_part(part);
        }
        _ => {}
    }
    let Some(matchers) = matchers else {
        let enforced = rebuild.form(&form, ResponsePlan::AllTenants);
        return enforced.map(Enforcement::One);
    };
    restricted(context, &rebuild, caller, matchers, form)
}

/// Confines a request that has parameters, or plans how its answer is filtered.
fn restricted(
    context: &RequestContext,
    rebuild: &Rebuild<'_>,
    caller: &Arc<Caller>,
    matchers: &Matchers,
    form: Form<'_>,
) -> Result<Enforcement, ProxyError> {
    let endpoint = rebuild.endpoint;
    let (allowed, origin) = confined(context, endpoint, caller, matchers, form)?;
    let Allowed {
        sent,
        local,
        unselective,
    } = allowed;
    let plan = match endpoint {
        Endpoint::Federate | Endpoint::OpenApi => ResponsePlan::Stream,
        Endpoint::Rules => ResponsePlan::Filter(Filter::Rules {
            caller: Arc::clone(caller),
            options: RulesOptions {
                exclude_alerts: local.exclude_alerts,
                by_labels: sent.iter().any(|(name, _)| name == "match[]"),
                by_files: sent.iter().any(|(name, _)| name == "file[]"),
                page: local.page,
            },
        }),
        Endpoint::Alerts => {
            let filter = Filter::Alerts(Arc::clone(caller));
            return rebuild.alerts(filter).map(Enforcement::One);
        }
        Endpoint::Targets => ResponsePlan::Filter(Filter::Targets(Arc::clone(caller))),
        Endpoint::ScrapePools => {
            let filter = Filter::ScrapePools(Arc::clone(caller));
            return rebuild.scrape_pools(filter).map(Enforcement::One);
        }
        Endpoint::TargetsMetadata => {
            ResponsePlan::Filter(Filter::TargetsMetadata(Arc::clone(caller)))
        }
        Endpoint::Metadata => {
            let metric = sent.iter().find(|(name, _)| *name == "metric");
            let metric = metric.map(|(_, value)| value.to_owned());
            ResponsePlan::Filter(Filter::Metadata(Box::new(MetadataPlan {
                names: rebuild.metric_names(matchers)?,
                own: rebuild.own_targets(caller, matchers, metric)?,
                limits: local.metadata,
            })))
        }
        search if search.is_search() => {
            let own = local
                .include_metadata
                .then(|| rebuild.own_targets(caller, matchers, None))
                .transpose()?;
            ResponsePlan::Filter(Filter::Search(own.map(Box::new)))
        }
        _ => ResponsePlan::Scrub(origin),
    };
    let request = rebuild.form(&sent, plan)?;
    match unselective {
        None => Ok(Enforcement::One(request)),
        Some(unselective) => rebuild.once_accepted(unselective, request),
    }
}

/// The matchers that confine a caller, if it may send this request; `None` for all tenants.
pub(super) fn admitted_matchers<'c>(
    endpoint: &Endpoint,
    caller: &'c Caller,
    method: &Method,
) -> Result<Option<&'c Matchers>, ProxyError> {
    if !endpoint.allows(method.as_str()) {
        return Err(ProxyError::method_not_allowed(endpoint.methods()));
    }
    Ok(match scope(caller)? {
        TenantScope::AllTenants => None,
        TenantScope::Tenants(_) => Some(matchers_of(caller)?),
    })
}

/// The confined parameters to forward, and their query.
pub(super) fn confined<'f>(
    context: &RequestContext,
    endpoint: &Endpoint,
    caller: &Caller,
    matchers: &Matchers,
    form: Form<'f>,
) -> Result<(Allowed<'f>, Option<Origin>), ProxyError> {
    let mut confine = Confiner::new(context, matchers);
    let allowed = params::allow(endpoint, form, matchers, &mut confine);
    let allowed = allowed.map_err(confine::refusal)?;
    context.queries.forwarded_parameters(allowed.sent.iter());
    guard::metrics(context, caller, endpoint, &allowed.sent, confine.text())?;
    Ok((allowed, confine.into_origin().map(Origin)))
}

/// Where clusters have names, a request that names one must not be answered by another.
fn refuse_clusters(context: &RequestContext, form: &Form<'_>) -> Result<(), ProxyError> {
    let has_name = |upstream: &Arc<Upstream>| upstream.settings().cluster.is_some();
    let names_one = form.iter().any(|(name, _)| name == clusters::PARAMETER);
    if !names_one || !context.rules.upstreams().iter().any(has_name) {
        return Ok(());
    }
    let text = "parameter `cluster` is not allowed here: it goes with /api/v1/query and \
                query_range, at the root; all else is below /clusters/{name}";
    Err(ProxyError::new(ErrorKind::Forbidden, text).because(Reason::Parameter))
}

/// How far back metric names are looked up for `/api/v1/metadata`, in seconds. Metadata is that of
/// current targets; an hour covers those that are down for a while.
const NAMES_WINDOW: u64 = 3600;

/// The longest query string that all servers in between can be expected to accept.
const LONGEST_IN_URL: usize = 4096;

/// Rebuilds the request: one path, all parameters in one place, selected headers.
pub(super) struct Rebuild<'a> {
    pub(super) target: &'a UpstreamTarget,
    pub(super) endpoint: &'a Endpoint,
    pub(super) head: &'a Parts,
    pub(super) budget: &'a Budget,
}

impl Rebuild<'_> {
    /// A POST's parameters go in its body, a GET's in the URL; but a GET that has become too long,
    /// as queries for many tenants do, becomes a POST if the endpoint supports it.
    pub(super) fn form(&self, form: &Form<'_>, plan: ResponsePlan) -> Result<Enforced, ProxyError> {
        let path = self.endpoint.path();
        let parameters = form.encode();
        let mut headers = headers::for_data_request(&self.head.headers);
        let is_long = parameters.len() > LONGEST_IN_URL;
        if self.endpoint.allows("POST") && (self.head.method == Method::POST || is_long) {
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form_type);
            let body = RequestBody::Whole(Some(self.budget.hold(parameters)?));
            return self.enforced(Method::POST, &path, headers, body, plan);
        }
        let target = if parameters.is_empty() {
            path.into_owned()
        } else {
            format!("{path}?{parameters}")
        };
        self.enforced(Method::GET, &target, headers, RequestBody::Empty, plan)
    }

    fn remote_read(&self, body: Bytes) -> Result<Enforced, ProxyError> {
        let mut headers = headers::for_data_request(&self.head.headers);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        headers.insert("content-encoding", HeaderValue::from_static("snappy"));
        let path = self.endpoint.path();
        let body = RequestBody::Whole(Some(body));
        self.enforced(Method::POST, &path, headers, body, ResponsePlan::Stream)
    }

    /// Alerts are taken from the response to `/rules`, as Prometheus and Thanos do themselves: only
    /// there are they next to the templates of their texts.
    fn alerts(&self, filter: Filter) -> Result<Enforced, ProxyError> {
        let mut form = Form::default();
        form.push("type", "alert");
        let rebuild = Rebuild {
            endpoint: &Endpoint::Rules,
            ..*self
        };
        rebuild.form(&form, ResponsePlan::Filter(filter))
    }

    /// Scrape pools are made of the answer to `/targets`, which says whose they are.
    fn scrape_pools(&self, filter: Filter) -> Result<Enforced, ProxyError> {
        let mut form = Form::default();
        form.push("state", "active");
        let rebuild = Rebuild {
            endpoint: &Endpoint::Targets,
            ..*self
        };
        rebuild.form(&form, ResponsePlan::Filter(filter))
    }

    /// What is shown of an endpoint that is about the upstream itself.
    fn public_part(&self, part: PublicPart) -> Result<Enforcement, ProxyError> {
        let answer = match part {
            PublicPart::Flags => {
                let plan = ResponsePlan::Filter(Filter::Flags);
                return self.form(&Form::default(), plan).map(Enforcement::One);
            }
            PublicPart::Empty(data) => {
                OwnAnswer::Json(format!(r#"{{"status":"success","data":{data}}}"#).into_bytes())
            }
            PublicPart::NoEvents => OwnAnswer::NoContent,
        };
        Ok(Enforcement::Answered(answer))
    }

    /// The side request of a metadata call: which metric names the tenants have.
    fn metric_names(&self, matchers: &Matchers) -> Result<Enforced, ProxyError> {
        let names = Endpoint::LabelValues("__name__".into());
        let mut form = Form::default();
        form.push("match[]", format!("{{{}}}", matchers.promql()));
        form.push("start", names_since());
        let rebuild = Rebuild {
            endpoint: &names,
            ..*self
        };
        rebuild.form(&form, ResponsePlan::Stream)
    }

    /// What the tenants' own targets say of their metrics, or of one.
    fn own_targets(
        &self,
        caller: &Arc<Caller>,
        matchers: &Matchers,
        metric: Option<String>,
    ) -> Result<OwnTargets, ProxyError> {
        let metric = metric.filter(|metric| !metric.is_empty());
        let mut form = Form::default();
        form.push("match_target", format!("{{{}}}", matchers.promql()));
        if let Some(metric) = &metric {
            form.push("metric", metric.clone());
        }
        let rebuild = Rebuild {
            endpoint: &Endpoint::TargetsMetadata,
            ..*self
        };
        Ok(OwnTargets {
            caller: Arc::clone(caller),
            request: rebuild.form(&form, ResponsePlan::Stream)?,
            metric,
        })
    }

    fn enforced(
        &self,
        method: Method,
        target: &str,
        headers: hyper::HeaderMap,
        body: RequestBody,
        plan: ResponsePlan,
    ) -> Result<Enforced, ProxyError> {
        self.target.request(method, target, headers, body, plan)
    }
}

/// Where the window of metric names starts: seconds since the epoch.
fn names_since() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    now.saturating_sub(NAMES_WINDOW).to_string()
}
