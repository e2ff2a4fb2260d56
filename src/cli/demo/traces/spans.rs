//! The demo's spans: a trace of each tenant's, and one that both have spans in.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::http::{self, Body};
use super::super::{Failure, data};

/// How long a Tempo may take to show what it was sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The traces' ids, 32 hexadecimal digits each.
#[derive(Clone)]
pub(super) struct Ids {
    pub(super) acme: String,
    pub(super) globex: String,
    pub(super) shared: String,
}

impl Ids {
    /// Those in the recorded answers.
    pub(super) fn recorded() -> Self {
        Self::of_run(0)
    }

    /// Of the spans sent in the second `run`, so that two runs do not meet.
    fn of_run(run: u64) -> Self {
        let id = |trace: u64| format!("{:016x}{run:016x}", 0xde30_0000 + trace);
        Self {
            acme: id(1),
            globex: id(2),
            shared: id(3),
        }
    }
}

/// Sends the spans to an OTLP/HTTP receiver and waits until the Tempo behind it shows them.
pub(super) async fn push(otlp: &str, tempo: &str) -> Result<Ids, Failure> {
    let now = data::now();
    let ids = Ids::of_run(now);
    send(otlp, &ids, now).await?;
    let visible = async {
        for id in [&ids.acme, &ids.globex, &ids.shared] {
            let query = format!("{{ trace:id = \"{}\" }}", id.trim_start_matches('0'));
            let url = http::with_query(&format!("{tempo}/api/search"), &[("q", &query)]);
            while !http::get(&url, None).await?.text.contains("traceID") {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Ok(ids)
    };
    tokio::time::timeout(PATIENCE, visible)
        .await
        .unwrap_or_else(|_| Err(format!("{tempo} does not show the spans sent to {otlp}")))
}

async fn send(otlp: &str, ids: &Ids, now: u64) -> Result<(), Failure> {
    let url = format!("{}/v1/traces", otlp.trim_end_matches('/'));
    let spans = json!({ "resourceSpans": resources(ids, now) });
    let answer = http::send(&url, None, Body::Json(spans.to_string())).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(format!("POST {url}: {} {}", answer.status, answer.text))
}

/// All as OTLP/JSON has it.
fn resources(ids: &Ids, now: u64) -> Vec<Value> {
    let start = now.saturating_sub(30);
    let acme = |spans: &[Value]| resource("acme", "acme-shop", spans);
    let globex = |spans: &[Value]| resource("globex", "globex-pay", spans);
    vec![
        acme(&[
            span(&ids.acme, 1, 0, "acme: order", start, 90),
            span(&ids.acme, 2, 1, "acme: store order", start, 40),
        ]),
        globex(&[span(&ids.globex, 1, 0, "globex: payment", start + 1, 60)]),
        globex(&[
            span(
                &ids.shared,
                1,
                0,
                "globex: payment for acme",
                start + 2,
                200,
            ),
            span(&ids.shared, 3, 2, "globex: book", start + 2, 30),
        ]),
        acme(&[span(&ids.shared, 2, 1, "acme: confirm", start + 2, 50)]),
    ]
}

fn resource(tenant: &str, service: &str, spans: &[Value]) -> Value {
    let attribute = |key, value| json!({ "key": key, "value": { "stringValue": value } });
    let attributes = [
        attribute("service.name", service),
        attribute("tenant_id", tenant),
    ];
    json!({
        "resource": { "attributes": attributes },
        "scopeSpans": [{ "scope": { "name": "demo" }, "spans": spans }],
    })
}

fn span(trace: &str, number: u32, parent: u32, name: &str, start: u64, milliseconds: u64) -> Value {
    let id = |number: u32| format!("de30{number:012x}");
    let nanos = |milliseconds: u64| (start * 1_000_000_000 + milliseconds * 1_000_000).to_string();
    let early = u64::from(number) * 10;
    let parent = (parent != 0).then(|| id(parent)).unwrap_or_default();
    json!({
        "traceId": trace,
        "spanId": id(number),
        "parentSpanId": parent,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": nanos(early),
        "endTimeUnixNano": nanos(early + milliseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `TEMPO_URL=… TEMPO_OTLP_URL=… cargo test record -- --ignored` writes the replay's answers
    /// anew, from a Tempo that holds nothing else.
    #[tokio::test]
    #[ignore = "asks a real Tempo for the answers that the replay gives"]
    async fn record() {
        let variable = |name| std::env::var(name).expect(name);
        let (tempo, otlp) = (variable("TEMPO_URL"), variable("TEMPO_OTLP_URL"));
        let ids = Ids::recorded();
        send(&otlp, &ids, data::now()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        for recording in super::super::replay::recordings() {
            let path = recording.path_of(&ids);
            let params: Vec<(&str, &str)> = recording.query.iter().map(|q| ("q", &**q)).collect();
            let url = http::with_query(&format!("{tempo}{path}"), &params);
            let wanted = Body::Nothing(recording.accept);
            let answer = http::send(&url, None, wanted).await.unwrap();
            assert!(answer.status.is_success(), "{url}: {}", answer.text);
            let file = format!(
                "{}/src/cli/demo/traces/recorded/{}",
                env!("CARGO_MANIFEST_DIR"),
                recording.file
            );
            std::fs::write(&file, &answer.body).unwrap();
            println!("{file}: {} bytes", answer.body.len());
        }
    }
}
