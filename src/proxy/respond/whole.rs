//! Responses of the traces API that are buffered and filtered; the same for messages of gRPC
//! streams.

use super::search;
use crate::body::budget::Room;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::WholeAnswer;
use crate::tempo::answer::{Format, Unreadable};
use crate::tempo::metrics_answer;
use crate::tempo::tags;

/// The response, or the message, without other tenants' data.
pub(super) async fn filter(
    answer: &WholeAnswer,
    text: &[u8],
    format: Format,
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, Unreadable> {
    match answer {
        WholeAnswer::Search(page) => search::filter(page, text, format, room, context).await,
        WholeAnswer::TagNames(asked, scope) => {
            let scope = (!scope.is_empty()).then_some(&**scope);
            tags::filter_names(text, format, *asked, scope)
        }
        WholeAnswer::TagValues(asked, only) => tags::filter_values(text, format, *asked, |value| {
            only.as_ref().is_none_or(|values| values.contains(value))
        }),
        WholeAnswer::Metrics { trust, hidden } => {
            let names = hidden.labels();
            let hide: Vec<&str> = names.iter().map(String::as_str).collect();
            let rules = metrics_answer::Rules {
                trust: *trust,
                hide: &hide,
            };
            metrics_answer::filter(text, format, &rules)
        }
    }
}
