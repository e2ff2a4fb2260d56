//! The law for clusters: each one's part of an answer is the answer of a private store that holds
//! the tenant's data in that cluster alone.

use crate::kit::client::{Answer, Ask, Client, Sent};
use crate::kit::compare::{Strictness, differences};
use crate::kit::dataset::Dataset;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::Prometheus;
use crate::kit::token::now;

const QUERIES: [&str; 4] = [
    "up",
    "count({__name__=~\".+\"})",
    "sum by (tenant_id) ({__name__=~\".+_total\"})",
    "{tenant_id=\"beta\"}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_is_that_of_a_private_store() {
    // The same series, half an hour apart, so that no part can stand for the other.
    let (eu, us) = (Dataset::shared(now() - 30), Dataset::shared(now() - 1830));
    let (own_eu, own_us) = (eu.only(&["acme"]), us.only(&["acme"]));
    let (shared_eu, shared_us, private_eu, private_us) = tokio::join!(
        Prometheus::with_data("shared eu", &eu),
        Prometheus::with_data("shared us", &us),
        Prometheus::with_data("private eu", &own_eu),
        Prometheus::with_data("private us", &own_us),
    );
    let mut setup = Setup::new(&shared_eu.url);
    setup.upstream_options = vec![
        "cluster: eu".to_owned(),
        // A second upstream, in the place of the first one's last option.
        format!(
            "timeouts: {{connect: 5s}}\n  - {{name: us, api: prometheus, cluster: us, url: '{}'}}",
            shared_us.url
        ),
    ];
    let proxy = Partywall::start(setup).await;
    let (client, token) = (Client::default(), proxy.signer.tenant("acme"));
    let (start, end) = (us.start().to_string(), (eu.end + 10).to_string());
    let mut with_data = 0;
    for query in QUERIES {
        for (sent, path, times) in [
            (Sent::Get, "/api/v1/query", vec![("time", end.as_str())]),
            (Sent::Post, "/api/v1/query", vec![("time", start.as_str())]),
            (
                Sent::Post,
                "/api/v1/query_range",
                vec![("start", &start), ("end", &end), ("step", "60")],
            ),
        ] {
            let mut params = vec![("query", query)];
            params.extend(times);
            let alone = Ask::new(sent, path, &params);
            params.extend([("cluster", "us"), ("cluster", "eu")]);
            let ask = Ask::new(sent, path, &params);
            let both = client.ask(&proxy.url, &ask, Some(&token)).await;
            for (name, private) in [("eu", &private_eu), ("us", &private_us)] {
                let expected = client.ask(&private.url, &alone, None).await;
                let part = &both.json()["data"]["result"][name];
                with_data += usize::from(expected.text().contains("acme"));
                let got = Answer {
                    status: expected.status,
                    headers: expected.headers.clone(),
                    body: part.to_string().into(),
                };
                let found = differences(&expected, &got, Strictness::default());
                assert!(found.is_empty(), "{ask}\n{name}: {found:#?}");
                let below = Ask::new(sent, &format!("/clusters/{name}{path}"), &as_refs(&alone));
                let below = client.ask(&proxy.url, &below, Some(&token)).await;
                let found = differences(&expected, &below, Strictness::default());
                assert!(found.is_empty(), "{ask}\nbelow {name}: {found:#?}");
            }
        }
    }
    assert!(with_data >= 6, "{with_data} answers hold something");
}

fn as_refs(ask: &Ask) -> Vec<(&str, &str)> {
    let pairs = ask.params.iter();
    pairs.map(|(name, value)| (&**name, &**value)).collect()
}
