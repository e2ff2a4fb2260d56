//! In front of a Tempo with multitenancy: one `X-Scope-OrgID`, ours.

use super::{Door, assert_plain};
use crate::kit::client::Ask;
use crate::kit::grpc::{Call, call};
use crate::kit::tempo_messages::SearchRequest;
use crate::kit::tempo_upstream::trace_id;
use crate::kit::upstream::Seen;

const HEADER: &str = "x-scope-orgid";

async fn open() -> Door {
    Door::with(|setup| {
        setup.tempo.as_mut().expect("a Tempo").tenancy = "org_id: true".to_owned();
    })
    .await
}

fn org_ids(seen: &Seen) -> Vec<&str> {
    let all = seen.headers.get_all(HEADER).iter();
    all.map(|value| value.to_str().expect("text")).collect()
}

#[tokio::test]
async fn the_tenant_is_the_only_org_id_over_http() {
    let door = open().await;
    for (path, params) in [
        ("/api/search", &[("q", "{ .a = 1 }"), ("limit", "5")][..]),
        ("/api/search", &[("tags", "a=b")]),
        ("/api/v2/search/tags", &[]),
        ("/api/search/tags", &[]),
        ("/api/v2/search/tag/rootName/values", &[]),
        ("/api/search/tag/http.method/values", &[]),
        ("/api/search/tag/status.code/values", &[]),
        (
            "/api/metrics/query_range",
            &[("q", "{ rootName = \"x\" } | rate()")],
        ),
        ("/api/traces/1", &[]),
        ("/api/v2/traces/1", &[("q", "{}")]),
    ] {
        let ask = Ask::get(path, params)
            .with_header("x-scope-orgid", "B")
            .with_header("X-SCOPE-ORGID", "B|C");
        let answer = door.ask(&ask).await;
        assert!(
            answer.status == 200 || answer.status == 404,
            "{path}: {}",
            answer.text()
        );
        let seen = door.upstream.take_one();
        assert_eq!(org_ids(&seen), ["A"], "{path}");
        assert_eq!(seen.path(), path);
        let sent: Vec<(String, String)> = seen.params();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        assert_eq!(sent, params.iter().map(own).collect::<Vec<_>>(), "{path}");
        assert_eq!(seen.header("authorization"), None);
    }
    let answer = door.get(&format!("/api/v2/traces/{}", trace_id("3"))).await;
    assert!(
        answer.text().contains("B-ROOT"),
        "Tempo has told tenants apart already"
    );
}

#[tokio::test]
async fn the_tenant_is_the_only_org_id_over_grpc() {
    let door = open().await;
    let message = SearchRequest {
        query: "{ .a = 1 }".to_owned(),
        ..SearchRequest::default()
    };
    let one = Call::new("/tempopb.StreamingQuerier/Search", &message)
        .with("x-scope-orgid", "B")
        .with("X-Scope-OrgID", "B|C");
    let answer = door.call(&one).await;
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert!(!answer.messages.is_empty());
    let seen = door.upstream.take_one();
    assert_eq!(org_ids(&seen), ["A"]);
    assert_eq!(seen.body, one.body);
}

#[tokio::test]
async fn several_tenants_are_joined_and_bad_ones_refused() {
    let door = open().await;
    let ask = Ask::get("/api/search", &[("q", "{}")]);
    let signer = &door.proxy.signer;
    let as_tenants = |token: String| {
        let (door, ask) = (&door, &ask);
        async move { door.client.ask(&door.proxy.url, ask, Some(&token)).await }
    };
    assert_eq!(as_tenants(signer.tenants(&["A", "b.c"])).await.status, 200);
    let seen = door.upstream.take_one();
    assert_eq!(org_ids(&seen), ["A|b.c"]);
    let long = "x".repeat(151);
    for bad in ["A|B", "a b", "a/b", "..", "é", "a,b", &long] {
        assert_plain(bad, &as_tenants(signer.tenant(bad)).await, 403);
        assert_plain(bad, &as_tenants(signer.tenants(&["A", bad])).await, 403);
        door.assert_nothing_forwarded(bad);
    }
    assert_plain("all", &as_tenants(signer.admin()).await, 403);
    let one = Call::new(
        "/tempopb.StreamingQuerier/Search",
        &SearchRequest::default(),
    );
    let answer = call(&door.proxy.url, &one, Some(&signer.tenant("A|B"))).await;
    assert_eq!(answer.code(), 7, "{answer:?}");
    door.assert_nothing_forwarded("bad tenants");
}

#[tokio::test]
async fn everything_else_of_tempo_stays_closed() {
    let door = open().await;
    for path in [
        "/querier/api/search",
        "/status/overrides",
        "/api/mcp",
        "/api/overrides",
        "/flush",
    ] {
        assert_plain(path, &door.get(path).await, 403);
    }
    let one = Call::framed(
        "/tempopb.Querier/SearchRecent",
        crate::kit::grpc::frame(0, b""),
    );
    assert_eq!(door.call(&one).await.code(), 12);
    door.assert_nothing_forwarded("closed");
}
