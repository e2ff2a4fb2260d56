//! The API reference, made from the tables that requests are routed and read by: what is not in
//! them is not served, so the reference tells all there is and nothing else.
//!
//! | file | one idea |
//! |---|---|
//! | `operation` | what is told of an endpoint |
//! | `metrics`, `traces`, `admin` | the endpoints, with the prose that stands beside the tables |
//! | `closed` | what is refused |
//! | `problems` | what errors mean |
//! | `openapi` | the document |
//! | `page` | the same for a browser |
//!
//! Both forms are made anew whenever they are asked for, by an operator now and then, and nothing
//! of them is kept in memory meanwhile.
//!
//! The page is rendered here. Of the renderers among the crates, most load their scripts from a
//! CDN; the one that brings its own (Swagger UI) has megabytes of them. And a script that runs on
//! the admin address could reload the config; so none does, and a plain page is enough to read.
//! For more than reading, load `/-/api/openapi.json` into any tool for `OpenAPI` 3.1.

mod admin;
mod closed;
mod metrics;
mod openapi;
mod operation;
mod page;
mod problems;
mod traces;

use serde_json::Value;

pub use self::page::Page;

/// The `OpenAPI` 3.1 document.
pub fn openapi() -> Value {
    openapi::document(&all())
}

/// The page.
pub fn page() -> Page {
    page::render(&all(), &traces::calls())
}

fn all() -> Vec<operation::Operation> {
    let operations = metrics::operations().chain(traces::operations());
    operations.chain(admin::operations()).collect()
}

#[cfg(test)]
mod tests;
