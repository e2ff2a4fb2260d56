//! The queries of the demo: each is sent once, and its answer is printed and checked.

use std::collections::BTreeSet;

use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Failure;
use super::data::TENANTS;
use super::http::get;
use super::stage::{Proxy, Stage};

/// One query and what its answer must show.
struct DemoQuery {
    sender: Sender,
    query: &'static str,
    /// The tenants whose series must be in the answer, and no others.
    sees: &'static [&'static str],
    title: &'static str,
}

enum Sender {
    /// Sends directly to the store.
    Direct,
    /// Sends through Partywall with this tenant's token.
    Tenant(&'static str),
    /// Sends through Partywall without a token.
    NoToken,
}

const ORDERS: &str = "sum by (tenant_id) (shop_orders_total)";

const QUERIES: [DemoQuery; 6] = [
    DemoQuery {
        sender: Sender::Direct,
        query: ORDERS,
        sees: &TENANTS,
        title: "The store itself shows the series of all tenants to every client",
    },
    DemoQuery {
        sender: Sender::Tenant("acme"),
        query: ORDERS,
        sees: &["acme"],
        title: "Through Partywall, acme sees only its own series",
    },
    DemoQuery {
        sender: Sender::Tenant("globex"),
        query: ORDERS,
        sees: &["globex"],
        title: "… and globex only its own",
    },
    DemoQuery {
        sender: Sender::Tenant("acme"),
        query: "shop_orders_total{tenant_id=\"globex\"}",
        sees: &[],
        title: "acme asks for the series of globex, and finds none",
    },
    DemoQuery {
        sender: Sender::Tenant("acme"),
        query: "topk(scalar(count(up)), {__name__=~\".+\", tenant_id=~\".*\"})",
        sees: &["acme"],
        title: "acme tries to match every tenant",
    },
    DemoQuery {
        sender: Sender::NoToken,
        query: ORDERS,
        sees: &[],
        title: "Without a token there is no answer",
    },
];

/// Prints what runs at which address.
#[allow(clippy::print_stdout)] // Printing is the demo's purpose.
pub(super) fn print_addresses(stage: &Stage, store: &str, proxy: &Proxy) {
    println!();
    println!("  Prometheus  {store}  (holds {})", TENANTS.join(" and "));
    println!("  Partywall   {}", proxy.url);
    println!("    admin     {}  (/metrics, /-/ready)", proxy.admin);
    println!(
        "    config    {}",
        stage.dir.join("partywall.yaml").display()
    );
}

/// Sends every query and prints it with its answer. Fails at the first wrong answer.
#[allow(clippy::print_stdout)] // Printing is the demo's purpose.
pub(super) async fn run_queries(store: &str, proxy: &Proxy) -> Result<(), Failure> {
    println!("\nTokens, valid for one day:\n");
    for tenant in TENANTS {
        println!("  {}={}", variable(tenant), proxy.token(tenant)?);
    }
    for demo in &QUERIES {
        let (base, token) = match demo.sender {
            Sender::Direct => (store, None),
            Sender::Tenant(tenant) => (proxy.url.as_str(), Some(proxy.token(tenant)?)),
            Sender::NoToken => (proxy.url.as_str(), None),
        };
        println!("\n{}:\n\n  {}\n", demo.title, as_curl(demo, base));
        let (status, answer) = get(&query_url(base, demo.query), token.as_deref()).await?;
        println!("  {answer}");
        check(demo, status, &answer)?;
    }
    Ok(())
}

fn as_curl(demo: &DemoQuery, base: &str) -> String {
    let token = match demo.sender {
        Sender::Tenant(tenant) => format!(" -H \"Authorization: Bearer ${}\"", variable(tenant)),
        Sender::Direct | Sender::NoToken => String::new(),
    };
    let query = demo.query;
    format!("curl -sG {base}/api/v1/query{token} --data-urlencode 'query={query}'")
}

fn variable(tenant: &str) -> String {
    tenant.to_ascii_uppercase()
}

fn query_url(base: &str, query: &str) -> String {
    format!(
        "{base}/api/v1/query?query={}",
        utf8_percent_encode(query, NON_ALPHANUMERIC)
    )
}

fn check(demo: &DemoQuery, status: StatusCode, answer: &str) -> Result<(), Failure> {
    let expected = match demo.sender {
        Sender::NoToken => StatusCode::UNAUTHORIZED,
        Sender::Direct | Sender::Tenant(_) => StatusCode::OK,
    };
    let seen = tenants_in(answer)?;
    if status != expected || !seen.iter().eq(demo.sees) {
        return Err(format!(
            "expected {expected} with series of {:?}, got {status} with {seen:?}",
            demo.sees
        ));
    }
    Ok(())
}

/// The tenants whose series an answer holds, in alphabetical order.
fn tenants_in(answer: &str) -> Result<BTreeSet<String>, Failure> {
    let json: Value =
        serde_json::from_str(answer).map_err(|cause| format!("the answer is not JSON: {cause}"))?;
    let results = json.pointer("/data/result").and_then(Value::as_array);
    let tenant = |result: &Value| {
        let label = result.pointer("/metric/tenant_id").and_then(Value::as_str);
        label.unwrap_or("a series without a tenant").to_owned()
    };
    Ok(results.into_iter().flatten().map(tenant).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_with_a_foreign_series_fails_the_check() {
        let answer = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"tenant_id":"acme"},"value":[0,"1"]},
            {"metric":{"tenant_id":"globex"},"value":[0,"1"]}]}}"#;
        let own = &QUERIES[1];
        assert!(check(own, StatusCode::OK, answer).is_err());
        assert!(check(&QUERIES[0], StatusCode::OK, answer).is_ok());
        assert!(check(own, StatusCode::UNAUTHORIZED, answer).is_err());
    }

    #[test]
    fn answer_with_a_series_without_a_tenant_fails_the_check() {
        let answer = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{},"value":[0,"1"]}]}}"#;
        assert!(check(&QUERIES[3], StatusCode::OK, answer).is_err());
    }
}
