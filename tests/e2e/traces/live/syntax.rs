//! The syntax of TraceQL, judged by a real Tempo: what it reads is not refused without a documented
//! reason, and of what is confined it reads both or neither.
//!
//! Queries are those of [`generated`](super::generated), half of them with a slip. The Tempo runs at
//! `TEMPO_SYNTAX_URL`; its data does not matter.

use hyper::StatusCode;
use partywall::tenancy::{Tenant, TenantSet};
use partywall::traceql::{Refusal, TenantPredicate, TraceIntrinsics, confine_search};

use super::generated;
use crate::kit::client::{Ask, Client};
use crate::kit::evidence;
use crate::kit::random::{Random, seeds};
use crate::kit::token::now;

/// For each seed.
const QUERIES: usize = 1000;

/// What a slip puts anywhere.
const SLIPS: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "{}",
    "|",
    " | ",
    "&&",
    "||",
    ">>",
    "!>",
    "&~",
    "=",
    "!=",
    "=~",
    "-",
    "!",
    "+",
    "^",
    ".a",
    "span.",
    "parent.b",
    "resource.\"x y\"",
    "nil",
    "true",
    "1",
    "-1.5",
    "2h",
    "\"s\"",
    "`b`",
    "count()",
    "by(",
    "rate()",
    "select(.a)",
    " with(most_recent=true)",
    "/*",
    "*/",
    "//",
    "\n",
    "trace:id",
    "event:name",
    "childCount",
    "kind",
    "error",
    "0x1f",
    "1e3",
    "\u{e9}",
    "#",
];

#[tokio::test]
async fn live_syntax_is_read_as_tempo_reads_it() {
    let what = "a running Tempo (see the head of tests/e2e/traces/live/syntax.rs)";
    let Some([tempo]) = evidence::running_stores(["TEMPO_SYNTAX_URL"], what) else {
        return;
    };
    let client = Client::default();
    let (start, end) = ((now() - 60).to_string(), now().to_string());
    let is_read = async |query: &str| {
        let params = [
            ("q", query),
            ("start", &*start),
            ("end", &*end),
            ("limit", "1"),
        ];
        let answer = client
            .ask(&tempo, &Ask::get("/api/search", &params), None)
            .await;
        match answer.status {
            StatusCode::OK => true,
            StatusCode::BAD_REQUEST => false,
            status => panic!("{status}: {}: {query}", answer.text()),
        }
    };
    let acme = TenantSet::new([Tenant::new("acme").unwrap()])
        .unwrap()
        .into();
    let predicate = TenantPredicate::new([("tenant_id", &acme)]).unwrap();
    for seed in seeds("TraceQL syntax") {
        let mut random = Random::of(seed);
        let (mut read, mut neither) = (0, 0);
        let queries = generated::searches(seed, QUERIES / 2);
        for query in queries
            .into_iter()
            .chain(generated::metrics(seed, QUERIES / 2))
        {
            let query = slipped(query, &mut random);
            let is_whole = is_read(&query).await;
            match confine_search(&query, &predicate, TraceIntrinsics::Trust, 1 << 20) {
                Ok(confined) => {
                    assert_eq!(is_read(&confined).await, is_whole, "{query}\n{confined}");
                    read += usize::from(is_whole);
                }
                Err(Refusal::Unverified) => panic!("unverified: {query}"),
                Err(refusal) => {
                    assert!(!is_whole, "Tempo reads it: {refusal}: {query}");
                    neither += 1;
                }
            }
        }
        println!("{read} queries that both read, {neither} that neither reads");
        assert!(
            read > QUERIES / 3 && neither > 10,
            "{read} and {neither} of {QUERIES}"
        );
    }
}

fn slipped(mut query: String, random: &mut Random) -> String {
    if random.chance(50) {
        let starts: Vec<usize> = query.char_indices().map(|(at, _)| at).collect();
        let at = starts[random.below(starts.len())];
        match random.below(3) {
            0 => drop(query.remove(at)),
            1 => query.insert_str(at, random.word(SLIPS)),
            _ => query.truncate(at),
        }
    }
    query
}
