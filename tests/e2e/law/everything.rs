//! Selectors of everything in a `match[]` (`{}`, `{job=~".*"}`): what each store makes of them.

use crate::kit::client::{Ask, Client, Sent};
use crate::kit::compare::{Strictness, differences};
use crate::kit::dataset::Dataset;
use crate::kit::door::Door;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::Prometheus;
use crate::kit::token::now;
use crate::kit::upstream::Reply;

const SERIES: &str = "/api/v1/series";
const LABELS: &str = "/api/v1/labels";
const VALUES: &str = "/api/v1/label/job/values";
/// What Partywall asks first.
const EXAMPLE: &str =
    "/api/v1/label/partywall_asks_whether_selectors_of_everything_are_accepted/values";

const REFUSAL: &str = "match[] must contain at least one non-empty matcher";

/// Sets of selectors, one of which selects everything.
const SETS: [&[&str]; 7] = [
    &["{}"],
    &["{ }", "up"],
    &["up", "{}"],
    &[r#"{job=~".*"}"#],
    &[r#"{tenant_id=~".*"}"#, "up"],
    &[r#"{tenant_id="",job!~"x"}"#],
    &[r#"{__name__=~".*"}"#],
];

fn asks() -> impl Iterator<Item = Ask> {
    let calls = [
        (Sent::Get, SERIES),
        (Sent::Post, SERIES),
        (Sent::Get, LABELS),
        (Sent::Post, LABELS),
        (Sent::Get, VALUES),
    ];
    calls.into_iter().flat_map(|(sent, path)| {
        SETS.iter().map(move |set| {
            let params: Vec<_> = set.iter().map(|selector| ("match[]", *selector)).collect();
            Ask::new(sent, path, &params)
        })
    })
}

#[tokio::test]
async fn selector_of_everything_is_the_error_of_a_private_prometheus() {
    let data = Dataset::shared(now() - 30);
    let own = data.only(&["acme"]);
    let (shared, private) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private", &own)
    );
    let proxy = Partywall::start(Setup::new(&shared.url)).await;
    let token = proxy.signer.tenant("acme");
    let client = Client::default();
    for ask in asks() {
        let expected = client.ask(&private.url, &ask, None).await;
        let got = client.ask(&proxy.url, &ask, Some(&token)).await;
        assert_eq!(expected.status, 400, "{ask}: {}", expected.text());
        let found = differences(&expected, &got, Strictness::default());
        assert!(found.is_empty(), "{ask}: {found:?} {}", got.text());
        assert_eq!(expected.json()["error"], got.json()["error"], "{ask}");
    }
    // With a matcher more, both answer.
    let ask = Ask::get(SERIES, &[("match[]", r#"{job=~".*",instance!=""}"#)]);
    let expected = client.ask(&private.url, &ask, None).await;
    let got = client.ask(&proxy.url, &ask, Some(&token)).await;
    assert!(expected.text().contains("acme"));
    assert!(differences(&expected, &got, Strictness::default()).is_empty());
}

fn list(warnings: &str) -> Reply {
    Reply::json(&format!(r#"{{"status":"success","data":[]{warnings}}}"#))
}

fn error(status: u16, text: &str) -> Reply {
    let kind = if status == 400 {
        "bad_data"
    } else {
        "execution"
    };
    Reply {
        status,
        ..Reply::json(&format!(
            r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#
        ))
    }
}

/// The calls for labels, as a client sends them, with what is to be forwarded of each selector.
const CALLS: [(&str, &str, &str); 6] = [
    (LABELS, "{}", r#"{tenant_id="acme",}"#),
    (VALUES, "{}", r#"{tenant_id="acme",}"#),
    (LABELS, r#"{job=~".*"}"#, r#"{tenant_id="acme",job=~".*"}"#),
    (VALUES, r#"{job=~".*"}"#, r#"{tenant_id="acme",job=~".*"}"#),
    (SERIES, r#"{job=~".*"}"#, r#"{tenant_id="acme",job=~".*"}"#),
    (
        SERIES,
        r#"{tenant_id=~".*"}"#,
        r#"{tenant_id="acme",tenant_id=~".*"}"#,
    ),
];

/// Thanos' stores that hold blocks or a database of their own accept it; so does Thanos Query, which
/// counts `{}` as no selector in calls for labels (`pkg/api/query/v1.go`, `pkg/store/proxy.go`).
#[tokio::test]
async fn selector_of_everything_is_confined_where_the_store_accepts_it() {
    let door = Door::open().await;
    door.upstream.reply(list(""));
    // Of a store that is down.
    let down = r#","warnings":["receive Addr: 10.0.0.1:10901: connection refused"]"#;
    for warnings in ["", down] {
        door.upstream.reply_at(EXAMPLE, list(warnings));
        for (path, selector, confined) in CALLS {
            let target = format!("{path}?start=5&match[]={selector}&match[]=up");
            let answer = door.get(&target).await;
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            let seen = door.upstream.take();
            assert_eq!(seen.len(), 2, "{target}: {seen:#?}");
            let (example, sent) = (&seen[0], &seen[1]);
            assert_eq!(example.path(), EXAMPLE, "{target}");
            let of_nobody = if selector == "{}" {
                "{}"
            } else {
                r#"{__name__=~".*"}"#
            };
            assert_eq!(example.param("match[]"), [of_nobody], "{target}");
            assert_eq!(sent.path(), path);
            let both = [confined, r#"up{tenant_id="acme"}"#];
            assert_eq!(sent.param("match[]"), both, "{target}");
            assert_eq!(sent.param("start"), ["5"], "{target}");
        }
    }
    // Thanos refuses this one itself, in other words.
    let none = door.get(&format!("{SERIES}?match[]={{}}")).await;
    door.assert_refused("{} in /series", &none, &[400]);
    // What selects something is not asked about.
    let some = door.get(&format!("{LABELS}?match[]=up")).await;
    door.assert_sent("up", &some);
}

/// Prometheus does not; nor do those of Thanos' stores that ask one, and what they say is a warning.
#[tokio::test]
async fn selector_of_everything_is_refused_where_part_of_the_store_refuses_it() {
    let door = Door::open().await;
    door.upstream.reply(list(""));
    let sidecar = format!(
        r#","warnings":["Addr: 10.0.0.1:10901 LabelSets: {{replica=\"globex\"}}: rpc error: code = InvalidArgument desc = expected 2xx response, got 400. Body: invalid parameter: {REFUSAL}"]"#
    );
    for refusal in [
        error(400, REFUSAL),
        error(422, "fetch: expected 2xx response, got 400. Body: globex"),
        list(&sidecar),
    ] {
        door.upstream.reply_at(EXAMPLE, refusal);
        for (path, selector, _) in CALLS {
            let target = format!("{path}?match[]={selector}");
            let answer = door.get(&target).await;
            assert_eq!(answer.status, 400, "{target}: {}", answer.text());
            assert!(answer.text().contains(REFUSAL), "{}", answer.text());
            assert!(!answer.text().contains("globex"), "{}", answer.text());
            let seen = door.upstream.take();
            assert_eq!(seen.len(), 1, "{target}: {seen:#?}");
            assert_eq!(seen[0].path(), EXAMPLE);
        }
    }
    // Whoever cannot be asked has not accepted it.
    door.upstream.reply_at(EXAMPLE, error(503, "globex"));
    for (path, selector, _) in CALLS {
        let answer = door.get(&format!("{path}?match[]={selector}")).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(!answer.text().contains("globex"), "{}", answer.text());
        assert_eq!(door.upstream.take().len(), 1);
    }
}

#[tokio::test]
async fn selector_of_everything_of_all_tenants_is_forwarded_unmodified() {
    let door = Door::open().await;
    door.upstream.reply(list(""));
    let ask = Ask::get(LABELS, &[("match[]", "{}")]);
    let token = door.proxy.signer.admin();
    let answer = Client::default()
        .ask(&door.proxy.url, &ask, Some(&token))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(door.upstream.take_one().param("match[]"), ["{}"]);
}
