//! The requests of the demo: each asked once, its answer printed and checked.

use std::collections::BTreeSet;

use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Failure;
use super::data::TENANTS;
use super::http::get;
use super::stage::{Proxy, Stage};

/// One request and what its answer must show.
struct Question {
    who: Who,
    query: &'static str,
    /// Whose series must be in the answer, and nobody else's.
    sees: &'static [&'static str],
    says: &'static str,
}

enum Who {
    /// Straight to the store.
    Anyone,
    /// Through the proxy, with this tenant's token.
    Tenant(&'static str),
    /// Through the proxy, without a token.
    Stranger,
}

const ORDERS: &str = "sum by (tenant_id) (shop_orders_total)";

const QUESTIONS: [Question; 6] = [
    Question {
        who: Who::Anyone,
        query: ORDERS,
        sees: &TENANTS,
        says: "The store itself shows everybody's series to anyone",
    },
    Question {
        who: Who::Tenant("acme"),
        query: ORDERS,
        sees: &["acme"],
        says: "Through Partywall, acme sees its own",
    },
    Question {
        who: Who::Tenant("globex"),
        query: ORDERS,
        sees: &["globex"],
        says: "… and globex its own",
    },
    Question {
        who: Who::Tenant("acme"),
        query: "shop_orders_total{tenant_id=\"globex\"}",
        sees: &[],
        says: "acme asks for globex' series: for acme there are none",
    },
    Question {
        who: Who::Tenant("acme"),
        query: "topk(scalar(count(up)), {__name__=~\".+\", tenant_id=~\".*\"})",
        sees: &["acme"],
        says: "acme tries harder",
    },
    Question {
        who: Who::Stranger,
        query: ORDERS,
        sees: &[],
        says: "Without a token there is no answer",
    },
];

/// What runs where, and the requests to copy.
#[allow(clippy::print_stdout)] // The show is what it prints.
pub(super) fn print_programme(stage: &Stage, store: &str, proxy: &Proxy) {
    println!();
    println!("  Prometheus  {store}  (holds {})", TENANTS.join(" and "));
    println!("  Partywall   {}", proxy.url);
    println!("    admin     {}  (/metrics, /-/ready)", proxy.admin);
    println!(
        "    config    {}",
        stage.dir.join("partywall.yaml").display()
    );
}

/// Prints every request with its answer; fails at the first answer that is not as it must be.
#[allow(clippy::print_stdout)] // The show is what it prints.
pub(super) async fn ask_everything(store: &str, proxy: &Proxy) -> Result<(), Failure> {
    println!("\nTokens, good for one day:\n");
    for tenant in TENANTS {
        println!("  {}={}", variable(tenant), proxy.token(tenant)?);
    }
    for question in &QUESTIONS {
        let (base, token) = match question.who {
            Who::Anyone => (store, None),
            Who::Tenant(tenant) => (proxy.url.as_str(), Some(proxy.token(tenant)?)),
            Who::Stranger => (proxy.url.as_str(), None),
        };
        println!("\n{}:\n\n  {}\n", question.says, as_curl(question, base));
        let (status, answer) = get(&query_url(base, question.query), token.as_deref()).await?;
        println!("  {answer}");
        check(question, status, &answer)?;
    }
    Ok(())
}

fn as_curl(question: &Question, base: &str) -> String {
    let token = match question.who {
        Who::Tenant(tenant) => format!(" -H \"Authorization: Bearer ${}\"", variable(tenant)),
        Who::Anyone | Who::Stranger => String::new(),
    };
    let query = question.query;
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

fn check(question: &Question, status: StatusCode, answer: &str) -> Result<(), Failure> {
    let expected = match question.who {
        Who::Stranger => StatusCode::UNAUTHORIZED,
        Who::Anyone | Who::Tenant(_) => StatusCode::OK,
    };
    let seen = tenants_in(answer)?;
    if status != expected || !seen.iter().eq(question.sees) {
        return Err(format!(
            "this should have been {expected} with series of {:?}, and is {status} with {seen:?}",
            question.sees
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
    fn an_answer_with_a_foreign_series_fails_the_check() {
        let answer = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"tenant_id":"acme"},"value":[0,"1"]},
            {"metric":{"tenant_id":"globex"},"value":[0,"1"]}]}}"#;
        let own = &QUESTIONS[1];
        assert!(check(own, StatusCode::OK, answer).is_err());
        assert!(check(&QUESTIONS[0], StatusCode::OK, answer).is_ok());
        assert!(check(own, StatusCode::UNAUTHORIZED, answer).is_err());
    }

    #[test]
    fn a_series_without_a_tenant_fails_the_check() {
        let answer = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{},"value":[0,"1"]}]}}"#;
        assert!(check(&QUESTIONS[3], StatusCode::OK, answer).is_err());
    }
}
