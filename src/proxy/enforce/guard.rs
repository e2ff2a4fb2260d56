//! Applies the guards of the caller's tenants to its requests.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::auth::Caller;
use crate::grpc::method::Method;
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::form::Form;
use crate::prometheus::{remote_read, window};
use crate::promql;
use crate::proxy::authorize::scope;
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tempo;
use crate::tenancy::{GuardRefusal, QueryGuard, TenantScope};

/// The guards that apply to a caller; `None` if there are none.
fn of<'a>(
    context: &RequestContext,
    caller: &'a Caller,
) -> Result<Option<QueryGuard<'a>>, ProxyError> {
    let limits = &context.settings().tenant_limits;
    if !limits.guards() {
        return Ok(None);
    }
    Ok(match scope(caller)? {
        TenantScope::Tenants(tenants) => QueryGuard::strictest_of(limits, tenants.tenants()),
        TenantScope::AllTenants => None,
    })
}

/// Checks a call of the metrics API by the forwarded parameters, each of which occurs once, and by
/// its query.
pub(super) fn metrics(
    context: &RequestContext,
    caller: &Caller,
    endpoint: &Endpoint,
    sent: &Form<'_>,
    query: Option<&str>,
) -> Result<(), ProxyError> {
    let Some(guard) = of(context, caller)? else {
        return Ok(());
    };
    let value = |wanted: &str| {
        let found = sent.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value)
    };
    if let Some(window) = window::window(endpoint, value) {
        guard.check_window(&window).map_err(refused)?;
    }
    if !matches!(endpoint, Endpoint::Query | Endpoint::QueryRange) {
        return Ok(());
    }
    let lookback = window::lookback(value(window::LOOKBACK));
    guard.check_lookback(lookback).map_err(refused)?;
    query.map_or(Ok(()), |query| check_query(&guard, query).map_err(refused))
}

fn check_query(guard: &QueryGuard<'_>, query: &str) -> Result<(), GuardRefusal> {
    if !guard.needs_query_ranges() {
        return Ok(());
    }
    let Some(within) = promql::lookback(query) else {
        return guard.unreadable_query().map_or(Ok(()), Err);
    };
    guard.check_range("the longest range within this query", within.range)?;
    for (range, step) in within.subqueries {
        guard.check_points("a subquery", range, step)?;
    }
    Ok(())
}

/// Checks each query of a remote read, decoded.
pub(super) fn remote_read(
    context: &RequestContext,
    caller: &Caller,
    message: &[u8],
) -> Result<(), ProxyError> {
    let Some(guard) = of(context, caller)? else {
        return Ok(());
    };
    let ranges = remote_read::ranges(message).map_err(|error| refused_read(&error))?;
    for range in ranges {
        guard
            .check_range("the range of this remote read", range)
            .map_err(refused)?;
    }
    Ok(())
}

/// The error for a remote read that cannot be parsed.
pub(super) fn refused_read(error: &remote_read::RemoteReadError) -> ProxyError {
    let kind = match error {
        remote_read::RemoteReadError::TooLong(_) => ErrorKind::TooLarge,
        _ => ErrorKind::BadRequest,
    };
    ProxyError::new(kind, error.to_string()).because(Reason::RemoteRead)
}

/// Checks a call of the traces API.
pub(super) fn traces<'f>(
    context: &RequestContext,
    caller: &Caller,
    endpoint: &tempo::endpoints::Endpoint,
    given: impl Iterator<Item = (&'f str, &'f str)>,
) -> Result<(), ProxyError> {
    let Some(guard) = of(context, caller)? else {
        return Ok(());
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    match tempo::window::of_http_call(endpoint, given, now) {
        Some(window) => guard.check_window(&window).map_err(refused),
        None => Ok(()),
    }
}

/// Checks a gRPC call of the traces API.
pub(super) fn grpc(
    context: &RequestContext,
    caller: &Caller,
    method: Method,
    message: &[u8],
) -> Result<(), ProxyError> {
    let Some(guard) = of(context, caller)? else {
        return Ok(());
    };
    match tempo::window::of_grpc_message(method, message) {
        Some(window) => guard.check_window(&window).map_err(refused),
        None => Ok(()),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refused(refusal: GuardRefusal) -> ProxyError {
    ProxyError::new(ErrorKind::Unprocessable, refusal.to_string()).because(refusal.reason())
}
