//! Grafana's requests to the real binary, in front of answers recorded from a real Tempo: what
//! is forwarded, what is returned, what is refused. `T1` and its like are rows of the list of attacks.

mod exact;
mod grpc;
mod names;
mod org_id;
mod outlined;
mod refused;
mod sent;
mod shown;
mod tags;

use serde_json::Value;

use crate::kit::client::{Answer, Ask, Client};
use crate::kit::grpc::{Call, CallAnswer, call};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::upstream::Seen;

/// The recordings' tenant, whose stage every query has.
pub const TENANT: &str = "A";
pub const STAGE: &str = r#"{ resource.tenant_id = "A" }"#;

pub struct Door {
    pub upstream: TempoUpstream,
    pub proxy: Partywall,
    client: Client,
    token: String,
}

impl Door {
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// With a search that says which traces have the tenant's spans alone, and no other.
    pub async fn verifying() -> Self {
        let setup = "traces:\n  search_metadata: verify\n";
        Self::with(|config| setup.clone_into(&mut config.rest)).await
    }

    /// With a changed config.
    pub async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let upstream = TempoUpstream::start().await;
        let mut setup = Setup::tempo(&upstream.url);
        change(&mut setup);
        let proxy = Partywall::start(setup).await;
        let token = proxy.signer.tenant(TENANT);
        Self {
            upstream,
            proxy,
            client: Client::default(),
            token,
        }
    }

    pub async fn ask(&self, ask: &Ask) -> Answer {
        self.client
            .ask(&self.proxy.url, ask, Some(&self.token))
            .await
    }

    /// `target` is a path, perhaps with a query.
    pub async fn get(&self, target: &str) -> Answer {
        self.ask(&Ask::get(target, &[])).await
    }

    pub async fn get_as(&self, target: &str, accept: &str) -> Answer {
        self.ask(&Ask::get(target, &[]).with_header("accept", accept))
            .await
    }

    pub async fn search(&self, params: &[(&str, &str)]) -> Answer {
        self.ask(&Ask::get("/api/search", params)).await
    }

    pub async fn call(&self, one: &Call) -> CallAnswer {
        call(&self.proxy.url, one, Some(&self.token)).await
    }

    /// The request that was forwarded first; side requests for a page follow it.
    pub fn took_first(&self) -> Seen {
        let mut seen = self.upstream.take();
        assert!(!seen.is_empty(), "nothing was forwarded");
        seen.remove(0)
    }

    pub fn assert_nothing_forwarded(&self, what: &str) {
        let seen = self.upstream.take();
        assert!(seen.is_empty(), "{what}: this was forwarded: {seen:#?}");
    }
}

pub fn assert_plain(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        "text/plain; charset=utf-8",
        "{what}"
    );
    assert!(!answer.body.is_empty(), "{what}: no text");
}

/// Words that are B's alone in the recordings.
pub fn assert_no_foreign(what: &str, text: &str) {
    for word in ["SECRET", "b-web", "B-ROOT", "6.6.6", "b.attr"] {
        assert!(!text.contains(word), "{what}: {word} in {text}");
    }
}

pub fn found<'a>(page: &'a Value, end: &str) -> &'a Value {
    let traces = page["traces"].as_array().expect("a page");
    let mut found = traces.iter().filter(|trace| {
        let id = trace["traceID"].as_str().unwrap_or_default();
        id.trim_start_matches('0')
            .trim_start_matches("abc")
            .trim_start_matches('0')
            == end
    });
    found
        .next()
        .unwrap_or_else(|| panic!("no trace {end} in {page}"))
}
