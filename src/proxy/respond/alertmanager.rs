//! Responses of Alertmanager's API.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};

use super::{
    JSON, MAX_ERROR_BYTES, buffered, build, check_is_plain, check_media_type, side_request,
    unreadable,
};
use crate::alertmanager::alerts::{self, Own};
use crate::alertmanager::errors::{self, Did};
use crate::alertmanager::{silences, status};
use crate::body::budget::Room;
use crate::body::{ResponseBody, Streamed};
use crate::headers;
use crate::prometheus::Unreadable;
use crate::proxy::authorize::matchers_of;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{AlertmanagerAnswer, AlertsPage};
use crate::proxy::error::ProxyError;
use crate::tenancy::Matchers;

/// Makes the client's response.
pub(super) async fn respond(
    head: Parts,
    body: Streamed,
    answer: AlertmanagerAnswer,
    room: &Room,
    context: &RequestContext,
) -> Result<Response<ResponseBody>, ProxyError> {
    if head.status != StatusCode::OK {
        let did = match answer {
            AlertmanagerAnswer::Written => Did::Write,
            _ => Did::Read,
        };
        return failed(head.status, body, did, room).await;
    }
    if let AlertmanagerAnswer::Written = answer {
        let headers = headers::for_data_response(&head.headers);
        return Ok(build(head.status, headers, ResponseBody::streamed(body)));
    }
    check_is_plain(&head.headers)?;
    check_media_type(&head.headers, JSON)?;
    let text = buffered(body, room).await?;
    let filtered = match answer {
        // It is streamed before, or written.
        AlertmanagerAnswer::Unmodified | AlertmanagerAnswer::Written => {
            return Err(ProxyError::defect());
        }
        AlertmanagerAnswer::Alerts(page) => page_of(*page, &text, room, context).await?,
        AlertmanagerAnswer::Receivers(caller) => {
            readable(alerts::receivers(&text, matchers_of(&caller)?))?
        }
        AlertmanagerAnswer::Silences(caller) => {
            readable(silences::list(&text, matchers_of(&caller)?))?
        }
        AlertmanagerAnswer::Silence(caller) => {
            let own = readable(silences::one(&text, matchers_of(&caller)?))?;
            let Some(own) = own else {
                return Ok(no_silence());
            };
            own
        }
        AlertmanagerAnswer::Status => readable(status::status(&text))?,
    };
    let headers = headers::for_data_response(&head.headers);
    let body = ResponseBody::whole(room.budget.hold(filtered)?);
    Ok(build(head.status, headers, body))
}

/// Alerts, with the ids of those silences and alerts that are the caller's too.
async fn page_of(
    page: AlertsPage,
    text: &Bytes,
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, ProxyError> {
    let AlertsPage {
        caller,
        listing,
        silences: all_silences,
        alerts: all_alerts,
    } = page;
    let tenants: &Matchers = matchers_of(&caller)?;
    let refers = readable(alerts::references(text, listing, tenants))?;
    let mut own = Own::default();
    if refers.silences {
        let all = side_request(all_silences, JSON, room, context).await?;
        own.silences = readable(silences::own_ids(&all, tenants))?;
    }
    if refers.alerts {
        let all = side_request(all_alerts, JSON, room, context).await?;
        own.alerts = readable(alerts::own_fingerprints(&all, tenants))?;
    }
    readable(alerts::list(text, listing, tenants, &own))
}

fn readable<T>(filtered: Result<T, Unreadable>) -> Result<T, ProxyError> {
    filtered.map_err(|error| unreadable(&error))
}

/// Alertmanager's own response for a silence that it does not have: a 404 without a body.
fn no_silence() -> Response<ResponseBody> {
    let nothing = ResponseBody::whole(Bytes::new());
    build(StatusCode::NOT_FOUND, HeaderMap::new(), nothing)
}

/// An error of Alertmanager: its status, and a text that may be shown.
async fn failed(
    status: StatusCode,
    body: Streamed,
    did: Did,
    room: &Room,
) -> Result<Response<ResponseBody>, ProxyError> {
    if !status.is_client_error() && !status.is_server_error() {
        return Err(unreadable(&format!("its status is {status}")));
    }
    let text = body.collect(&room.with_limit(MAX_ERROR_BYTES)).await;
    let text = text.unwrap_or_default();
    let text = errors::error_answer(status.as_u16(), &text, did);
    let mut headers = HeaderMap::new();
    if !text.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    }
    Ok(build(status, headers, ResponseBody::whole(text)))
}
