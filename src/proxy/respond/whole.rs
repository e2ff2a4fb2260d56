//! Responses of the traces API that are buffered and filtered; the same for messages of gRPC
//! streams.

use super::{search, tags, unreadable};
use crate::body::budget::Room;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::WholeAnswer;
use crate::proxy::error::ProxyError;
use crate::tempo::answer::Format;
use crate::tempo::metrics_answer;

/// The response, or the message, without other tenants' data.
pub(super) async fn filter(
    answer: &WholeAnswer,
    text: &[u8],
    format: Format,
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, ProxyError> {
    match answer {
        WholeAnswer::Search(page) => search::filter(page, text, format, room, context)
            .await
            .map_err(|error| unreadable(&error)),
        WholeAnswer::Tags(plan) => tags::filter(plan, &[text], format, room, context).await,
        WholeAnswer::Metrics { trust, hidden } => {
            let names = hidden.labels();
            let hide: Vec<&str> = names.iter().map(String::as_str).collect();
            let rules = metrics_answer::Rules {
                trust: *trust,
                hide: &hide,
            };
            metrics_answer::filter(text, format, &rules).map_err(|error| unreadable(&error))
        }
    }
}
