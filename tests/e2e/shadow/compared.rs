//! The confined copy of a request, and the sizes of both responses.

use std::time::Duration;

use super::stage::{ask, eventually, metric, records, shadow, shadow_for};
use crate::kit::client::Ask;
use crate::kit::dataset::Dataset;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::Prometheus;
use crate::kit::token::now;
use crate::kit::upstream::Upstream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_mode_shows_which_callers_would_see_less() {
    let data = Dataset::shared(now() - 30).only(&["acme", "beta"]);
    let store = Prometheus::with_data("compared", &data).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("audit");
    let mut setup = Setup::new(&store.url);
    setup.upstream_options = vec![shadow_for(Duration::from_hours(1), ", compare: 1")];
    setup.rest = format!("audit: {{output: {}, queries: full}}\n", file.display());
    let proxy = Partywall::start(setup).await;
    let time = data.end.to_string();
    let token = proxy.signer.tenant("acme");
    // Both tenants have as many targets.
    let questions = [("up", 2), (r#"up{tenant_id="acme"}"#, 1), ("count(up)", 1)];
    for (before, (query, times)) in questions.into_iter().enumerate() {
        let question = Ask::get("/api/v1/query", &[("query", query), ("time", &time)])
            .with_header("accept-encoding", "gzip");
        let answer = ask(&proxy, &question, Some(&token)).await;
        assert_eq!(
            answer.header("content-encoding"),
            "",
            "sizes can be compared"
        );
        eventually("it is compared", async || records(&file).len() > before).await;
        let record = records(&file).pop().expect("a record");
        let size = |key: &str| record[key].as_u64().unwrap_or_else(|| panic!("{record:#}"));
        let (open, enforced) = (size("open_series"), size("enforced_series"));
        assert!(enforced > 0, "{record:#}");
        assert_eq!(open, times * enforced, "{record:#}");
        assert_eq!(size("open_bytes"), answer.body.len() as u64);
        assert_eq!(size("enforced_bytes") < size("open_bytes"), open > enforced);
        assert_eq!(record["subject"], "tester");
        assert_eq!(record["shadow"], "rewritten");
        assert_eq!(record["queries"][0], query);
    }
    let of = |series: &'static str| metric(&proxy, series);
    assert!(
        of("partywall_shadow_comparisons_total{upstream=\"metrics\",result=\"smaller\"}").await
            > 0.5
    );
    assert!(
        of("partywall_shadow_comparisons_total{upstream=\"metrics\",result=\"same\"}").await > 0.5
    );
    let open =
        of("partywall_shadow_answer_bytes_total{upstream=\"metrics\",answer=\"open\"}").await;
    let confined =
        of("partywall_shadow_answer_bytes_total{upstream=\"metrics\",answer=\"enforced\"}").await;
    assert!(open > confined && confined > 0.0, "{open} {confined}");
}

/// No copy is sent unless configured.
#[tokio::test]
async fn without_compare_one_request_is_forwarded() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.upstream_options = vec![shadow()];
    let proxy = Partywall::start(setup).await;
    let token = proxy.signer.tenant("acme");
    let question = Ask::get("/api/v1/query", &[("query", "up")]);
    for _ in 0..20 {
        ask(&proxy, &question, Some(&token)).await;
    }
    let seen = upstream.take();
    assert_eq!(seen.len(), 20);
    assert!(
        seen.iter()
            .all(|seen| seen.target == "/api/v1/query?query=up")
    );
}

/// The client's request first, unmodified; then its confined copy. There is none for one that would be
/// refused.
#[tokio::test]
async fn confined_copy_is_sent_after_the_response() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.upstream_options = vec![shadow_for(Duration::from_hours(1), ", compare: 1")];
    let proxy = Partywall::start(setup).await;
    let question = Ask::get("/api/v1/query", &[("query", "up")]);
    ask(&proxy, &question, None).await;
    let token = proxy.signer.tenant("acme");
    ask(&proxy, &question, Some(&token)).await;
    let same = "partywall_shadow_comparisons_total{upstream=\"metrics\",result=\"same\"}";
    eventually("it is compared", async || metric(&proxy, same).await > 0.5).await;
    let queries: Vec<_> = upstream
        .take()
        .iter()
        .map(|seen| seen.param("query"))
        .collect();
    assert_eq!(queries, [["up"], ["up"], [r#"up{tenant_id="acme"}"#]]);
}
