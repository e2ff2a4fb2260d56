//! Traces
#![cfg(test)]
#![allow(unreachable_pub, missing_docs, reason = "the modules of a test")]

#[path = "../common/mod.rs"]
mod common;

#[tokio::test]
async fn push_dataset() {
    use common::tempo_data::Traces;
    let all = Traces::shared(common::token::now());
    all.push("http://127.0.0.1:13410").await;
    all.only("acme").push("http://127.0.0.1:13411").await;
    println!("anchor {} {} {}", all.anchor, all.spans(), all.only("acme").spans());
    all.wait_visible("http://127.0.0.1:13310").await;
    all.only("acme").wait_visible("http://127.0.0.1:13311").await;
}
