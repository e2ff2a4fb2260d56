//! `POST /-/cache/flush`: removes cached responses, of one upstream or of all.

use hyper::StatusCode;

use crate::prometheus::form::Form;
use crate::proxy::Proxy;

/// Flushes the upstream in the query string, `upstream=NAME`, or all if it is empty.
pub(super) async fn answer(proxy: &Proxy, query: &str) -> (StatusCode, String) {
    let upstream = match upstream(query) {
        Ok(upstream) => upstream,
        Err(why) => return (StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let snapshot = proxy.snapshot();
    let Some(answers) = snapshot.answers() else {
        let text = "nothing is cached: the config has no `cache`\n";
        return (StatusCode::NOT_FOUND, text.to_owned());
    };
    let is_known = |name: &str| {
        let mut all = snapshot.rules().upstreams().iter();
        all.any(|upstream| &**upstream.name() == name)
    };
    if !upstream.as_deref().is_none_or(is_known) {
        let text = "there is no upstream of that name\n";
        return (StatusCode::NOT_FOUND, text.to_owned());
    }
    match answers.flush(upstream.as_deref(), proxy.metrics()).await {
        Ok(()) => {
            let of = upstream.as_deref().unwrap_or("all upstreams");
            tracing::info!(of, "answers flushed");
            (StatusCode::OK, format!("answers of {of} flushed\n"))
        }
        Err(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not flushed: {why}\n"),
        ),
    }
}

/// The only parameter. If a misspelt one were ignored, it would flush all instead of one.
fn upstream(query: &str) -> Result<Option<String>, &'static str> {
    const USAGE: &str = "the only parameter is upstream=NAME; without it all is flushed";
    let form = Form::parse(query.as_bytes()).map_err(|_| USAGE)?;
    let mut all = form.iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(("upstream", name)), None) if !name.is_empty() => Ok(Some(name.to_owned())),
        _ => Err(USAGE),
    }
}
