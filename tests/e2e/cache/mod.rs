//! Answers that are kept: who gets them, for how long, and which are not.

mod flights;
mod kept;
mod redis;
mod stores;

use crate::kit::client::{Answer, Ask, Client, Sent};
use crate::kit::dataset::LABEL;
use crate::kit::partywall::Setup;
use crate::kit::rig::Rig;
use crate::kit::stage::{PATIENCE, QUERY, Stage, VECTOR, eventually, json};
use crate::kit::upstream::{Reply, Upstream};
use crate::kit::wire::{Step, Wire};

/// For as long as a test takes.
const ON: &str = "cache: {ttl: 1h}\nreload: {poll_interval: 1h}\n";

/// A panel as Grafana asks for it.
fn panel() -> Ask {
    let params = [
        ("query", "rate(up[5m])"),
        ("start", "1735689600"),
        ("end", "1735693200"),
        ("step", "15"),
    ];
    Ask::new(Sent::Post, "/api/v1/query_range", &params)
}

/// Where the proxy says an answer comes from.
fn said(answer: &Answer) -> &str {
    answer.header("x-partywall-cache")
}

/// The same where one asks after the other: who comes right after may still wait with the first.
fn mark(answer: &Answer) -> &str {
    match said(answer) {
        "collapsed" => "hit",
        said => said,
    }
}

/// In front of an upstream that counts.
async fn stage(rest: &str) -> Stage<Upstream> {
    Stage::recorded(rest).await
}

impl<U> Stage<U> {
    async fn ask(&self, ask: &Ask) -> Answer {
        self.ask_as("acme", ask).await
    }

    async fn ask_as(&self, tenant: &str, ask: &Ask) -> Answer {
        let token = self.proxy.signer.tenant(tenant);
        self.ask_with(&token, ask).await
    }

    async fn ask_with(&self, token: &str, ask: &Ask) -> Answer {
        let client = Client::default();
        client.ask(&self.proxy.url, ask, Some(token)).await
    }

    async fn lookups(&self, result: &str) -> f64 {
        let series = format!("partywall_answer_cache_lookups_total{{result=\"{result}\"}}");
        self.metric(&series).await
    }

    async fn flush(&self, query: &str) -> Answer {
        flush(&self.proxy.admin, query).await
    }
}

async fn flush(admin: &str, query: &str) -> Answer {
    let request = hyper::Request::post(format!("{admin}/-/cache/flush{query}"))
        .header("content-type", "application/json");
    let request = request.body(http_body_util::Full::default());
    Client::default().send(request.expect("a request")).await
}
