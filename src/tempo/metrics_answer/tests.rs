use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;
use crate::tempo::testing::{
    self, Any, AnyValue, InstantResponse, KeyValue, RangeResponse, fixture,
};

const GUARDED: Rules<'_> = Rules {
    trust: false,
    hide: &[],
};
const TRUSTED: Rules<'_> = Rules {
    trust: true,
    hide: &[],
};

fn filtered(answer: &[u8], rules: &Rules<'_>) -> serde_json::Value {
    testing::json(&filter(answer, Format::Json, rules).unwrap())
}

/// How many series are left of one with these labels.
fn left(labels: &[&str], rules: &Rules<'_>) -> usize {
    let labels: Vec<_> = labels
        .iter()
        .map(|key| json!({"key": key, "value": {"stringValue": "x"}}))
        .collect();
    let answer = json!({"series": [{"labels": labels, "samples": []}]}).to_string();
    filtered(answer.as_bytes(), rules)["series"]
        .as_array()
        .unwrap()
        .len()
}

#[test]
fn confined_answer_loses_only_its_measures() {
    for name in [
        "metrics-range-quantile.json",
        "metrics-instant-tenantA.json",
    ] {
        let answer = fixture(name);
        let mut expected = testing::json(&answer);
        expected["metrics"] = json!({"completedJobs": 1, "totalJobs": 1});
        assert_eq!(filtered(&answer, &GUARDED), expected, "{name}");
    }
    for message in testing::stream("grpc-http-port-MetricsQueryRange-tenantA.bin") {
        let made = filter(&message, Format::Protobuf, &GUARDED).unwrap();
        let mut expected = RangeResponse::decode(&message[..]).unwrap();
        let metrics = expected.metrics.as_mut().unwrap();
        (metrics.inspected_bytes, metrics.inspected_spans) = (0, 0);
        metrics.inspected_traces = 0;
        assert_eq!(RangeResponse::decode(&made[..]).unwrap(), expected);
    }
    for message in testing::stream("grpc-http-port-MetricsQueryInstant-tenantA.bin") {
        let made = filter(&message, Format::Protobuf, &GUARDED).unwrap();
        let mut expected = InstantResponse::decode(&message[..]).unwrap();
        let metrics = expected.metrics.as_mut().unwrap();
        (metrics.inspected_bytes, metrics.inspected_spans) = (0, 0);
        metrics.inspected_traces = 0;
        assert_eq!(InstantResponse::decode(&made[..]).unwrap(), expected);
    }
}

#[test]
fn series_about_whole_traces_are_dropped_unless_trusted() {
    for labels in [
        &["__meta_type", "rootName"][..],
        &["__meta_type", "rootServiceName"],
        &["__meta_type", "span:childCount"],
        &["rootName"],
        &["name", "trace:duration"],
    ] {
        assert_eq!(left(labels, &GUARDED), 0, "{labels:?}");
        assert_eq!(left(labels, &TRUSTED), 1, "{labels:?}");
    }
    for labels in [
        &["__meta_type", "name"][..],
        &["__meta_type", "resource.tenant_id"],
        &["span:childCount"],
        &["span.rootName"],
        &[],
    ] {
        assert_eq!(left(labels, &GUARDED), 1, "{labels:?}");
    }
}

#[test]
fn exemplar_labels_about_whole_traces_and_hidden_ones_are_dropped() {
    let answer = json!({"series": [{"labels": [], "exemplars": [{
        "labels": [
            {"key": "trace:id", "value": {"stringValue": "1"}},
            {"key": "rootName", "value": {"stringValue": "B"}},
            {"key": "resource.tenant_id", "value": {"stringValue": "A"}},
        ],
        "value": 2, "timestampMs": "5"}]}]});
    let hiding = Rules {
        trust: false,
        hide: &["resource.tenant_id"],
    };
    assert_eq!(
        filtered(answer.to_string().as_bytes(), &hiding)["series"][0]["exemplars"],
        json!([{"labels": [{"key": "trace:id", "value": {"stringValue": "1"}}],
                "value": 2, "timestampMs": "5"}])
    );
}

#[test]
fn protobuf_is_filtered_like_json() {
    let label = |key: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Any::Text("x".to_owned())),
        }),
    };
    let series = |keys: &[&str]| testing::Series {
        labels: keys.iter().map(|key| label(key)).collect(),
        samples: vec![testing::Sample {
            value: 1.5,
            timestamp_ms: 7,
        }],
        exemplars: vec![testing::Exemplar {
            labels: ["trace:id", "rootName", "resource.tenant_id"]
                .map(label)
                .into(),
            value: 2.5,
            timestamp_ms: 8,
        }],
    };
    let answer = RangeResponse {
        series: vec![
            series(&["__meta_type", "rootName"]),
            series(&["__meta_type", "span:childCount"]),
            series(&["__meta_type", "name"]),
        ],
        metrics: None,
        status: 1,
        message: "partial".to_owned(),
    };
    let hiding = Rules {
        trust: false,
        hide: &["resource.tenant_id"],
    };
    let made = filter(&answer.encode_to_vec(), Format::Protobuf, &hiding).unwrap();
    let mut expected = answer.clone();
    expected.series.drain(..2);
    expected.series[0].exemplars[0].labels.truncate(1);
    assert_eq!(RangeResponse::decode(&made[..]).unwrap(), expected);
    let kept = filter(&answer.encode_to_vec(), Format::Protobuf, &TRUSTED).unwrap();
    assert_eq!(RangeResponse::decode(&kept[..]).unwrap(), answer);
}

#[test]
fn unknown_fields_are_dropped() {
    let answer = br#"{"series":[{"labels":[],"secret":1,"exemplars":[{"x":1}]}],"also":2}"#;
    assert_eq!(
        filtered(answer, &TRUSTED),
        json!({"series": [{"exemplars": [{}]}]})
    );
    let unknown = filter(b"\x2a\x01x", Format::Protobuf, &TRUSTED).unwrap();
    assert!(unknown.is_empty());
}

proptest! {
    #[test]
    fn mutated_answers_do_not_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mutate = |mut answer: Vec<u8>| {
            for (index, byte) in &changes {
                let at = index.index(answer.len());
                answer[at] = *byte;
            }
            answer
        };
        let _ = filter(&mutate(fixture("metrics-range-quantile.json")), Format::Json, &GUARDED);
        for message in testing::stream("grpc-http-port-MetricsQueryRange-tenantA.bin") {
            if !message.is_empty() {
                let _ = filter(&mutate(message), Format::Protobuf, &GUARDED);
            }
        }
    }
}
