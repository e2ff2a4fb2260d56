//! Verifies the caller's token.

use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;

use super::context::RequestContext;
use super::error::{ErrorKind, ProxyError};
use super::route::Route;
use crate::auth::{AuthError, Caller};

/// The caller; `None` where the route requires no token.
pub(super) async fn authenticate(
    context: &RequestContext,
    route: &Route,
    headers: &HeaderMap,
) -> Result<Option<Arc<Caller>>, ProxyError> {
    if !route.needs_token() {
        return Ok(None);
    }
    match context.rules.authenticator().authenticate(headers).await {
        Ok(caller) => {
            context.metrics.token(None);
            Ok(Some(caller))
        }
        Err(error) => {
            context.metrics.token(Some(error.reason()));
            Err(refusal(&error))
        }
    }
}

fn refusal(error: &AuthError) -> ProxyError {
    if let AuthError::KeysUnavailable = error {
        return ProxyError::new(ErrorKind::KeysUnavailable, error.to_string())
            .retry_after(Duration::from_secs(5));
    }
    ProxyError::unauthenticated(error.to_string(), error.reason(), error.www_authenticate())
}
