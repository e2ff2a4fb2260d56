//! The API reference, generated from the tables that route and parse requests: what is not in them
//! is not served, so the reference is complete.
//!
//! | file | one idea |
//! |---|---|
//! | `operation` | the description of an endpoint |
//! | `metrics`, `traces`, `alerts`, `admin` | the endpoints, with the prose that the tables lack |
//! | `closed` | the refused endpoints |
//! | `problems` | the meaning of errors |
//! | `openapi` | the `OpenAPI` document |
//! | `page` | the same as an HTML page |
//!
//! Both are generated on each request, which are rare, and not kept in memory.
//!
//! The page is rendered here. Of the available renderers, most load their scripts from a CDN; the
//! one that bundles its own (Swagger UI) has megabytes of them. And a script on the admin address
//! could reload the config; so there is none, and a plain page is enough for reading. For more,
//! load `/-/api/openapi.json` into any tool for `OpenAPI` 3.1.

mod admin;
mod alerts;
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

/// The HTML page.
pub fn page() -> Page {
    page::render(&all(), &traces::calls())
}

fn all() -> Vec<operation::Operation> {
    let operations = metrics::operations().chain(traces::operations());
    let operations = operations.chain(alerts::operations());
    operations.chain(admin::operations()).collect()
}

#[cfg(test)]
mod tests;
