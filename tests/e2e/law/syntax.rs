//! The syntax of PromQL, judged by Prometheus' own parser and printer (`/api/v1/format_query`): what it
//! reads is not refused without a documented reason; what comes out is printed as the query is, with our
//! matchers in every selector and nothing else; and what it refuses is not made readable.
//!
//! Queries are those of [`generated`](super::generated), spelled in other ways, some with a slip.

use hyper::StatusCode;
use partywall::promql::{Agreements, ForeignMatchers, Problem, Refusal, confine};
use partywall::tenancy::{LabelMatcher, Matchers, Tenant, TenantSet};

use super::generated;
use crate::kit::client::{Ask, Client};
use crate::kit::prometheus::{Extras, Prometheus};
use crate::kit::random::{Random, seeds};

/// For each seed.
const QUERIES: usize = 800;

/// No query names it.
const OURS: &str = "zeta";

/// Words whose case does not matter, unless they are names.
const KEYWORDS: &[&str] = &[
    "sum",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "and",
    "or",
    "unless",
    "atan2",
    "start",
    "end",
    "inf",
    "nan",
    "topk",
    "quantile",
    "count",
    "avg",
];

/// What a slip puts anywhere.
const SLIPS: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[5m]",
    "[5m:]",
    ",",
    "=",
    "==",
    "=~",
    "-",
    "+",
    "@",
    "bool",
    "by",
    "(up)",
    "offset 5m",
    "{}",
    "{a=~\".*\"}",
    "up",
    "1",
    "\"x\"",
    "on()",
    ".",
    ":",
    "#",
    "'",
    "\\",
];

#[tokio::test]
async fn confined_queries_are_to_prometheus_the_same_with_our_matchers() {
    let prometheus = Prometheus::with_extras("syntax", &Extras::default()).await;
    let client = Client::default();
    let print = async |query: &str| {
        let ask = Ask::get("/api/v1/format_query", &[("query", query)]);
        let answer = client.ask(&prometheus.url, &ask, None).await;
        (answer.status == StatusCode::OK)
            .then(|| answer.json()["data"].as_str().expect("a text").to_owned())
    };
    let tenants = TenantSet::new([Tenant::new(OURS).unwrap()]).unwrap();
    let matchers = Matchers::new(LabelMatcher::new("tenant_id".into(), tenants), []);
    let agreements = Agreements::new(1 << 20);
    for seed in seeds("syntax") {
        let mut random = Random::of(seed);
        let (mut read, mut unread) = (0, 0);
        for query in generated::queries(seed, QUERIES) {
            let query = respelled(&query, &mut random);
            let printed = print(&query).await;
            let confined = confine(
                &query,
                &matchers,
                ForeignMatchers::Intersect,
                1000,
                &agreements,
            );
            let confined = match confined {
                Ok(confined) => confined,
                Err(refusal) => {
                    assert!(
                        printed.is_none() || is_documented(&refusal),
                        "Prometheus reads it: {refusal}: {query}"
                    );
                    continue;
                }
            };
            let again = print(confined.text()).await;
            let Some(printed) = printed else {
                unread += 1;
                assert_eq!(again, None, "made readable: {query}");
                continue;
            };
            read += 1;
            let again = again.unwrap_or_else(|| panic!("unreadable: {}", confined.text()));
            let (without, found) = without_ours(&squeezed(&again));
            assert_eq!(without, squeezed(&printed), "{query}");
            assert_eq!(found, confined.selectors(), "{query}");
        }
        println!("{read} queries compared, {unread} that Prometheus alone refuses");
        assert!(unread > 0, "no query was damaged enough to be refused");
        assert!(read > QUERIES / 3, "{read} of {QUERIES}");
    }
}

/// Although Prometheus reads it.
fn is_documented(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::UnconfinedInfo { .. }
            | Refusal::Malformed {
                problem: Problem::Forbidden,
                ..
            }
    )
}

/// Without spaces and lines, which the printer sets by a query's length.
fn squeezed(printed: &str) -> String {
    printed.split_whitespace().collect()
}

/// A printed query without our matchers, and how many there were. The printer sorts a selector's matchers,
/// and writes no braces around none.
fn without_ours(printed: &str) -> (String, usize) {
    let is_ours = |matcher: &&str| {
        let value = matcher.strip_prefix("tenant_id=");
        let value = value.map(|value| value.strip_prefix('~').unwrap_or(value));
        let value = value.and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
        value == Some(OURS)
    };
    let (mut without, mut rest, mut found) = (String::new(), printed, 0);
    while let Some((before, after)) = split_unquoted(rest, '{') {
        let (inside, after) = split_unquoted(after, '}').expect("a closing brace");
        let mut matchers = Vec::new();
        let mut left = inside;
        while let Some((matcher, after)) = split_unquoted(left, ',') {
            matchers.push(matcher);
            left = after;
        }
        matchers.push(left);
        if let Some(at) = matchers.iter().position(is_ours) {
            matchers.remove(at);
            found += 1;
        }
        without.push_str(before);
        if !matchers.is_empty() {
            without.extend(["{", &matchers.join(","), "}"]);
        }
        rest = after;
    }
    without.push_str(rest);
    (without, found)
}

/// What is before and after the first such character outside of a string.
fn split_unquoted(text: &str, wanted: char) -> Option<(&str, &str)> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        if c == wanted && !is_quoted {
            let (before, after) = text.split_at(at);
            return Some((before, after.strip_prefix(wanted)?));
        }
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
    }
    None
}

/// The same tokens in another spelling; one in four with a slip.
fn respelled(query: &str, random: &mut Random) -> String {
    let mut tokens = tokens(query);
    if random.chance(25) {
        let at = random.below(tokens.len());
        match random.below(4) {
            0 => drop(tokens.remove(at)),
            1 => {
                let twice = tokens[at].clone();
                tokens.insert(at, twice);
            }
            2 => tokens.insert(at, random.word(SLIPS).to_owned()),
            _ => {
                let other = random.below(tokens.len());
                tokens.swap(at, other);
            }
        }
    }
    let is_word =
        |token: &str| token.starts_with(|c: char| c.is_alphanumeric() || "_:.".contains(c));
    let mut spelled = String::new();
    let mut was_word = false;
    for token in tokens {
        let gap = match random.below(12) {
            0 => "  ",
            1 => "\t",
            2 => "\n",
            3 => " # {x=\"y\n",
            4 | 5 => " ",
            _ => "",
        };
        let is_word = is_word(&token);
        spelled.push_str(if was_word && is_word && gap.is_empty() {
            " "
        } else {
            gap
        });
        spelled.push_str(&other_case_or_quotes(&token, random));
        was_word = is_word;
    }
    spelled
}

fn other_case_or_quotes(token: &str, random: &mut Random) -> String {
    if KEYWORDS.contains(&&*token.to_lowercase()) && random.chance(15) {
        return token.to_uppercase();
    }
    let inside = token
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(inside) if !inside.contains(['"', '\'', '`', '\\']) => {
            let quote = random.word(&["\"", "'", "`"]);
            format!("{quote}{inside}{quote}")
        }
        _ => token.to_owned(),
    }
}

/// Strings, words and numbers, operators, and other characters one by one.
fn tokens(query: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = query.chars().peekable();
    while let Some(first) = chars.next() {
        if first.is_whitespace() {
            continue;
        }
        let mut token = String::from(first);
        if matches!(first, '"' | '\'' | '`') {
            while let Some(c) = chars.next() {
                token.push(c);
                if c == '\\' && first != '`' {
                    token.extend(chars.next());
                } else if c == first {
                    break;
                }
            }
        } else {
            let of_word = |c: char| c.is_alphanumeric() || "_:.".contains(c);
            let of_operator = |c: char| "=!<>~".contains(c);
            while let Some(&c) = chars.peek()
                && ((of_word(first) && of_word(c)) || (of_operator(first) && of_operator(c)))
            {
                token.push(c);
                chars.next();
            }
        }
        tokens.push(token);
    }
    tokens
}
