//! Names what enforcement decided, for the metrics and the audit trail.

use super::{AlertmanagerAnswer, GrpcAnswer, ResponsePlan, TracesAnswer};
use crate::auth::Caller;
use crate::grpc::method::Method;
use crate::prometheus::endpoints::Endpoint;
use crate::proxy::route::Target;
use crate::telemetry::metrics::Decision;
use crate::tempo::endpoints::Endpoint as TracesEndpoint;
use crate::tenancy::TenantScope;

/// The decision on a request that may be sent.
pub(super) fn of(target: &Target, plan: &ResponsePlan, caller: Option<&Caller>) -> Decision {
    match (target, plan) {
        (Target::PassThrough | Target::Health(_), _) => Decision::Passed,
        _ if has_all(caller) => Decision::Unrestricted,
        (Target::Metrics(endpoint), _) if has_no_tenant_data(endpoint) => Decision::Passed,
        // Of the traces API, only the difference of two traces is requested on the caller's behalf.
        (Target::Traces(TracesEndpoint::TraceDiff), _) => Decision::Confined,
        (_, ResponsePlan::Traces(TracesAnswer::Public))
        | (Target::Grpc(Method::HealthCheck), _) => Decision::Passed,
        (
            _,
            ResponsePlan::Filter(_)
            | ResponsePlan::Traces(TracesAnswer::Trace { .. })
            | ResponsePlan::Alertmanager(
                AlertmanagerAnswer::Receivers(_)
                | AlertmanagerAnswer::Silences(_)
                | AlertmanagerAnswer::Silence(_)
                | AlertmanagerAnswer::Status,
            ),
        ) => Decision::Filtered,
        // Also with `X-Scope-OrgID`, where the response is unmodified.
        (
            _,
            ResponsePlan::Stream
            | ResponsePlan::Scrub(_)
            | ResponsePlan::Traces(TracesAnswer::Whole(..))
            | ResponsePlan::Alertmanager(
                AlertmanagerAnswer::Unmodified
                | AlertmanagerAnswer::Alerts(_)
                | AlertmanagerAnswer::Written,
            )
            | ResponsePlan::Grpc(GrpcAnswer::Unmodified | GrpcAnswer::Filtered(_))
            | ResponsePlan::AllTenants
            | ResponsePlan::PassThrough,
        ) => Decision::Confined,
    }
}

/// The decision on a request that is restricted to its caller's scope, unless that is all tenants.
pub(super) fn of_scope(caller: Option<&Caller>, restricted: Decision) -> Decision {
    if has_all(caller) {
        Decision::Unrestricted
    } else {
        restricted
    }
}

fn has_all(caller: Option<&Caller>) -> bool {
    caller.is_some_and(|caller| matches!(caller.scope(), Ok(TenantScope::AllTenants)))
}

fn has_no_tenant_data(endpoint: &Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::BuildInfo
            | Endpoint::ParseQuery
            | Endpoint::FormatQuery
            | Endpoint::Features
            | Endpoint::OpenApi
    )
}
