//! Tempo: streams and traces, as they are.

use super::stage::{ask, metric, shadow, verdict};
use crate::kit::client::{Ask, Client};
use crate::kit::grpc::{Call, call};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::tempo_messages::SearchRequest;
use crate::kit::tempo_upstream::{TempoUpstream, is_ownership_query, trace_id};

const SEARCH: &str = "/tempopb.StreamingQuerier/Search";
const UNIMPLEMENTED: u8 = 12;

async fn stage() -> (TempoUpstream, Partywall) {
    let upstream = TempoUpstream::start().await;
    let mut setup = Setup::tempo(&upstream.url);
    if let Some(tempo) = &mut setup.tempo {
        tempo.options = vec![shadow()];
    }
    let proxy = Partywall::start(setup).await;
    (upstream, proxy)
}

fn search() -> Call {
    let message = SearchRequest {
        query: "{ }".to_owned(),
        limit: 20,
        start: 10,
        end: 20,
        ..SearchRequest::default()
    };
    Call::new(SEARCH, &message).with("x-scope-orgid", "one")
}

#[tokio::test]
async fn streams_pass_as_they_are() {
    let (upstream, proxy) = stage().await;
    let direct = call(&upstream.url, &search(), None).await;
    assert_eq!(direct.code(), 0);
    upstream.take();
    let token = proxy.signer.tenant("A");
    for (token, expected) in [
        (None, "denied; reason=missing"),
        (Some("bad"), "denied; reason=malformed"),
        (Some(token.as_str()), "rewritten"),
    ] {
        let answer = call(&proxy.url, &search(), token).await;
        assert_eq!(answer.code(), 0, "{answer:?}");
        assert_eq!(answer.messages, direct.messages);
        assert_eq!(answer.headers["x-partywall-shadow"], expected);
        let seen = upstream.take_one();
        assert!(!is_ownership_query(&seen));
        assert_eq!(seen.path(), SEARCH);
        assert_eq!(seen.body, search().body);
        assert_eq!(seen.header("x-scope-orgid"), Some("one"));
        assert_eq!(seen.header("authorization"), None);
    }
    let closed = Call::new("/tempopb.Pusher/PushBytesV2", &SearchRequest::default());
    let answer = call(&proxy.url, &closed, Some(&token)).await;
    assert_eq!(answer.code(), UNIMPLEMENTED);
    assert!(upstream.take().is_empty());
}

#[tokio::test]
async fn traces_and_searches_pass_as_they_are() {
    let (upstream, proxy) = stage().await;
    let token = proxy.signer.tenant("A");
    let id = trace_id("3");
    for target in [
        format!("/api/traces/{id}"),
        format!("/api/v2/traces/{id}"),
        "/api/search?q=%7B%7D&limit=20".to_owned(),
        "/api/search/tags".to_owned(),
        "/api/v2/search/tag/service.name/values".to_owned(),
    ] {
        let question = Ask::get(&target, &[]).with_header("accept", "application/json");
        let direct = Client::default().ask(&upstream.url, &question, None).await;
        upstream.take();
        for token in [None, Some(token.as_str())] {
            let answer = ask(&proxy, &question, token).await;
            assert_eq!(answer.status, direct.status, "{target}");
            assert_eq!(answer.body, direct.body, "{target}");
            let expected = if token.is_none() { "denied" } else { "" };
            assert!(verdict(&answer).starts_with(expected), "{target}");
            assert!(!verdict(&answer).is_empty(), "{target}");
            assert_eq!(upstream.take_one().target, target);
        }
    }
    let denied = "partywall_shadow_requests_total{upstream=\"traces\"";
    assert!(metric(&proxy, denied).await >= 10.0);
}
